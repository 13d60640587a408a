"""The OpenAPI document and the pages that show it."""

import re
from typing import Any

import pytest
from flask.testing import FlaskClient

from barring import __version__


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


def test_paths_are_the_documents_own(document: dict[str, Any]) -> None:
    """The paths are written as the document writes them, with their slash at the end."""
    base = (
        "/api/v1/tenants/{tenant_id}/groups/{group_id}/users/{user_id}"
        "/services/outgoing_call_barring/codes/"
    )
    assert list(document["paths"]) == [base, base + "{code}/"]


def test_operations_have_names_and_words(operations: dict[str, dict[str, Any]]) -> None:
    """Each operation has an id of its own and a summary."""
    assert list(operations) == [
        "listAuthorizationCodes",
        "createAuthorizationCodes",
        "deleteAuthorizationCodes",
        "getAuthorizationCode",
        "deleteAuthorizationCode",
    ]
    assert all(operation["summary"] for operation in operations.values())


@pytest.mark.parametrize(
    ("operation", "statuses"),
    [
        ("listAuthorizationCodes", "200 400 401 403 404 500 503"),
        ("createAuthorizationCodes", "201 400 401 403 404 408 413 415 500 503"),
        ("deleteAuthorizationCodes", "200 400 401 403 404 408 413 415 500 503"),
        ("getAuthorizationCode", "200 400 401 403 404 500 503"),
        ("deleteAuthorizationCode", "200 400 401 403 404 500 503"),
    ],
)
def test_every_status_has_an_entry(
    operations: dict[str, dict[str, Any]], operation: str, statuses: str
) -> None:
    """Each operation lists every status that it can answer, and no other."""
    assert " ".join(sorted(operations[operation]["responses"])) == statuses


def test_operations_are_secured_by_the_role(
    document: dict[str, Any], operations: dict[str, dict[str, Any]]
) -> None:
    """Every operation names the security scheme, which is the role header."""
    assert all(operation["security"] == [{"caller": []}] for operation in operations.values())
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
    description = document["components"]["schemas"]["NewCode"]["properties"]["description"]
    assert description["maxLength"] == 80


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
        with client.get(name) as file:
            assert file.status_code == 200, name
