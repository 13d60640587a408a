"""The OpenAPI document and the pages that show it."""

import re
from itertools import product
from json import dumps
from typing import Any
from urllib.parse import urljoin

import pytest
from flask.testing import FlaskClient

from barring import __version__

WITHOUT_BODY = "200 400 401 403 404 500 503"
WITH_BODY = "400 401 403 404 408 413 415 500 503"
OPERATIONS = {
    "listAuthorizationCodes": WITHOUT_BODY,
    "createAuthorizationCodes": f"201 {WITH_BODY}",
    "deleteAuthorizationCodes": f"200 {WITH_BODY}",
    "getAuthorizationCode": WITHOUT_BODY,
    "changeAuthorizationCode": f"200 {WITH_BODY}",
    "deleteAuthorizationCode": WITHOUT_BODY,
}
"""The statuses of each operation, at every level; the ids are those of the operations on users."""

LEVELS = ("", "Group", "Tenant")
"""What stands in the ids of a level's operations."""

TAGS = {
    "": "Authorization codes",
    "Group": "Group authorization codes",
    "Tenant": "Tenant authorization codes",
}


def id_of(operation: str, level: str) -> str:
    """The id of an operation at a level."""
    return operation.replace("Authorization", f"{level}Authorization")


@pytest.fixture
def document(client: FlaskClient) -> dict[str, Any]:
    """The document as it is served."""
    answer: dict[str, Any] | None = client.get("/openapi.json").json
    assert answer
    return answer


@pytest.fixture
def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every operation by its id."""
    return {
        operation["operationId"]: operation
        for path in document["paths"].values()
        for method, operation in path.items()
        if method != "parameters"
    }


def test_document_is_openapi_31(document: dict[str, Any]) -> None:
    """The document is OpenAPI 3.1 and has the service's one version."""
    assert document["openapi"].startswith("3.1.")
    assert document["info"]["version"] == __version__
    assert document["info"]["license"]["identifier"] == "Apache-2.0"
    assert [server["url"] for server in document["servers"]] == ["/"]


def test_paths_are_the_documents_own(document: dict[str, Any]) -> None:
    """The paths are written as the document writes them, with their slash at the end."""
    tenant = "/api/v1/tenants/{tenant_id}"
    group = f"{tenant}/groups/{{group_id}}"
    owners = (f"{group}/users/{{user_id}}", group, tenant)
    bases = [f"{owner}/services/outgoing_call_barring" for owner in owners]
    paths = [f"{base}/codes/{code}" for base in bases for code in ("", "{code}/")]
    paths += [f"{bases[0]}/verification/", f"{bases[0]}/lockout/"]
    assert list(document["paths"]) == paths


def test_operations_have_names_and_words(operations: dict[str, dict[str, Any]]) -> None:
    """Each operation has an id of its own, which does not change, and a summary."""
    assert list(operations) == [
        *(id_of(operation, level) for level in LEVELS for operation in OPERATIONS),
        *("verifyAuthorizationCode", "getLockout", "deleteLockout"),
    ]
    assert {
        "listAuthorizationCodes",
        "createAuthorizationCodes",
        "deleteAuthorizationCodes",
        "getAuthorizationCode",
        "deleteAuthorizationCode",
    } < operations.keys()
    assert all(operation["summary"] for operation in operations.values())


def test_each_level_has_its_tag(
    document: dict[str, Any], operations: dict[str, dict[str, Any]]
) -> None:
    """Each level has a tag of its own, and its operations have that tag alone."""
    assert [tag["name"] for tag in document["tags"]] == [*TAGS.values(), "Verification", "Lockout"]
    assert all(tag["description"] for tag in document["tags"])
    for level, operation in product(LEVELS, OPERATIONS):
        assert operations[id_of(operation, level)]["tags"] == [TAGS[level]]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_status_has_an_entry(
    operations: dict[str, dict[str, Any]], operation: str, level: str
) -> None:
    """Each operation lists every status that it can answer, and no other."""
    statuses = sorted(operations[id_of(operation, level)]["responses"])
    assert " ".join(statuses) == OPERATIONS[operation]


def test_operations_are_secured_by_the_role(
    document: dict[str, Any], operations: dict[str, dict[str, Any]]
) -> None:
    """Every operation names the security scheme, which is the role header."""
    by_role = [operation["security"][0] for operation in operations.values()]
    assert all(scheme == {"caller": []} for scheme in by_role)
    scheme = document["components"]["securitySchemes"]["caller"]
    assert (scheme["type"], scheme["in"], scheme["name"]) == ("apiKey", "header", "X-Role")


def test_creation_takes_one_of_two_shapes(
    document: dict[str, Any], operations: dict[str, dict[str, Any]]
) -> None:
    """POST documents both shapes as oneOf, each with an example from the domain."""
    content = operations["createAuthorizationCodes"]["requestBody"]["content"]["application/json"]
    name = content["schema"]["$ref"].rpartition("/")[2]
    shapes = {shape["$ref"] for shape in document["components"]["schemas"][name]["oneOf"]}
    prefix = "#/components/schemas/"
    assert shapes == {prefix + "NewCode", prefix + "NewCodeList"}
    assert ["authCodes" in example["value"] for example in content["examples"].values()] == [
        True,
        False,
    ]


def test_limits_are_documented(document: dict[str, Any]) -> None:
    """A reader of the document learns the limits that the service keeps."""
    code = document["components"]["schemas"]["NewCode"]["properties"]["code"]
    assert (code["minLength"], code["maxLength"]) == (2, 14)
    assert re.match(code["pattern"], "0*#._-9")
    for schema in ("NewCode", "CodeChanges"):
        properties = document["components"]["schemas"][schema]["properties"]
        assert properties["description"]["maxLength"] == 80
        service = properties["classOfService"]
        assert (service["minLength"], service["maxLength"]) == (1, 40)


def schema_names(value: Any) -> set[str]:
    """The names of the schemas that a part of the document refers to."""
    return set(re.findall(r"#/components/schemas/(\w+)", dumps(value)))


def test_responses_may_grow_and_requests_may_not(
    document: dict[str, Any], operations: dict[str, dict[str, Any]]
) -> None:
    """Schemas of responses allow further properties, and those of request bodies forbid them."""
    components = document["components"]
    responses = [operation["responses"] for operation in operations.values()]
    bodies = [operation.get("requestBody") for operation in operations.values()]
    used = {True: schema_names([responses, components["responses"]]), False: schema_names(bodies)}
    verification = {"Verification", "Lockout"}
    codes = {"AuthorizationCode", "AuthorizationCodes"}
    assert used[True] == {*codes, *verification, "EmptyObject", "Error"}
    assert used[False] == {"NewCodes", "CodesToRemove", "CodeChanges", "CodeToVerify"}
    for may_grow, names in used.items():
        while inner := schema_names([components["schemas"][name] for name in names]) - names:
            names |= inner
        for name in names - {"NewCodes"}:  # It is one of two others.
            assert components["schemas"][name]["additionalProperties"] is may_grow, name


def test_optional_properties_have_no_default(document: dict[str, Any]) -> None:
    """openapi-typescript takes a property with a default for required, so words say what it is."""
    assert "'default'" not in str(document["components"]["schemas"])
    new = document["components"]["schemas"]["NewCode"]
    assert new["required"] == ["code"]
    assert "left out" in new["properties"]["description"]["description"]


def test_an_empty_change_is_invalid(document: dict[str, Any]) -> None:
    """The document says that a change holds at least one field, and that null clears the class."""
    changes = document["components"]["schemas"]["CodeChanges"]
    assert changes["minProperties"] == 1
    assert changes["properties"]["classOfService"]["type"] == ["string", "null"]
    assert changes["properties"]["description"]["type"] == "string"


def test_every_reference_leads_somewhere(client: FlaskClient, document: dict[str, Any]) -> None:
    """No $ref dangles, and no component is named twice by different means."""
    text = client.get("/openapi.json").get_data(as_text=True)
    for reference in re.findall(r'"\$ref": "#/([^"]+)"', text):
        place: Any = document
        for key in reference.split("/"):
            place = place[key]


def test_root_leads_to_the_documentation(client: FlaskClient) -> None:
    """Who opens the service in a browser gets to Swagger UI."""
    answer = client.get("/")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/docs/")


def test_page_is_served_from_the_package(client: FlaskClient) -> None:
    """The page and all it names come from this server, under a policy without inline scripts."""
    with client.get("/docs/") as page:
        text = page.get_data(as_text=True)
        policy = page.headers["Content-Security-Policy"]
    assert "unsafe" not in policy.partition("style-src")[0]
    for name in re.findall(r'(?:src|href)="([^"]+)"', text):
        with client.get(urljoin("/docs/", name)) as file:
            assert file.status_code == 200, name
