"""Audit lines: who changed whose codes, with descriptions in place of the codes."""

import json
from typing import Any

import httpx
import pytest

from tests.service import TENANT_ADMIN, Service, codes_path

DESCRIPTION = "Lobby, ground floor"
WITHHELD = "(withheld)"


@pytest.fixture(params=["user", "group", "tenant"])
def owner(request: pytest.FixtureRequest) -> dict[str, str]:
    """The ids of an owner of the test's own, for each level."""
    tenant = {"tenant": f"audit {request.node.name}"}
    group = {**tenant, "group": "sales"}
    return {"tenant": tenant, "group": group, "user": {**group, "user": "anna"}}[request.param]


def path_of(owner: dict[str, str]) -> str:
    """The path of an owner's codes."""
    return codes_path(owner["tenant"], owner.get("group", ""), owner.get("user", ""))


def lines(service: Service, response: httpx.Response) -> list[dict[str, Any]]:
    """The audit lines of a request."""
    return service.logged(event="audit", request_id=response.headers["X-Request-ID"])


def audited(service: Service, response: httpx.Response) -> tuple[str, int, list[str]]:
    """The operation, the count and the descriptions in the one audit line of a request."""
    response.raise_for_status()
    (line,) = lines(service, response)
    return line["operation"], line["count"], line["descriptions"]


def codes(first: int, count: int, **more: str) -> dict[str, Any]:
    """A list of codes, each with its number in the description."""
    return {
        "authCodes": [
            {"code": f"c4n4ry{first + n}", "description": f"no. {n}", **more} for n in range(count)
        ]
    }


def test_line_names_caller_owner_and_operation(service: Service, owner: dict[str, str]) -> None:
    """The line has the caller's role and scope, and those ids that the owner has."""
    scope = {"X-Tenant-Id": httpx.URL(path=owner["tenant"]).raw_path.decode().lstrip("/")}
    with service.client(**TENANT_ADMIN, **scope) as client:
        (line,) = lines(service, client.post(path_of(owner), json={"code": "12"}))
    del line["time"], line["request_id"]
    assert line == {
        "event": "audit",
        "role": "Tenant Admin",
        "scope": [owner["tenant"]],
        "owner": owner,
        "operation": "create",
        "count": 1,
        "descriptions": [""],
    }


def test_change_names_the_description_before(service: Service, owner: dict[str, str]) -> None:
    """The line of a change has the description that the code had, by which it is known."""
    path = f"{path_of(owner)}c4n4ry/"
    with service.client(**TENANT_ADMIN) as client:
        client.post(path_of(owner), json={"code": "c4n4ry", "description": DESCRIPTION})
        changed = client.patch(path, json={"description": "Roof"})
        again = client.patch(path, json={"classOfService": "local"})
        absent = client.patch(f"{path_of(owner)}c4n4ry2/", json={"description": "Roof"})
        invalid = client.patch(path, json={})
    assert audited(service, changed) == ("change", 1, [DESCRIPTION])
    assert audited(service, again) == ("change", 1, ["Roof"])
    assert lines(service, absent) == lines(service, invalid) == []


def test_deletion_names_the_descriptions(service: Service, owner: dict[str, str]) -> None:
    """The line of a deletion has the descriptions of the codes that were there, and their count."""
    path = path_of(owner)
    with service.client(**TENANT_ADMIN) as client:
        client.post(path, json=codes(10, 4)).raise_for_status()
        body = {"authCodes": [{"code": f"c4n4ry{n}", "description": "other"} for n in (10, 11, 99)]}
        several = client.request("DELETE", path, json=body)
        one = client.delete(f"{path}c4n4ry12/")
        none = client.delete(f"{path}c4n4ry12/")
    operation, count, descriptions = audited(service, several)
    assert (operation, count, sorted(descriptions)) == ("delete", 2, ["no. 0", "no. 1"])
    assert audited(service, one) == ("delete", 1, ["no. 2"])
    assert audited(service, none) == ("delete", 0, [])


@pytest.mark.parametrize("count", [20, 21, 3_000])
def test_line_has_at_most_twenty_descriptions(
    service: Service, owner: dict[str, str], count: int
) -> None:
    """Of many codes that are created or deleted, 20 descriptions are named, and all are counted."""
    path, body = path_of(owner), codes(1000, count)
    with service.client(**TENANT_ADMIN) as client:
        created = client.post(path, json=body)
        deleted = client.request("DELETE", path, json=body)
    for response, operation in ((created, "create"), (deleted, "delete")):
        assert audited(service, response)[:2] == (operation, count)
        named = audited(service, response)[2]
        assert len(named) == len(set(named)) == 20
        assert set(named) <= {code["description"] for code in body["authCodes"]}


@pytest.mark.parametrize("description", ["c4n4ry", "the c4n4ry!", "c4n4ryc4n4ry", "\nc4n4ry\t"])
def test_description_that_holds_its_code_is_withheld(
    service: Service, owner: dict[str, str], description: str
) -> None:
    """Where the description contains the code, the line says so instead of it."""
    path = path_of(owner)
    with service.client(**TENANT_ADMIN) as client:
        created = client.post(path, json={"code": "c4n4ry", "description": description})
        changed = client.patch(f"{path}c4n4ry/", json={"classOfService": "local"})
        one = client.delete(f"{path}c4n4ry/")
        both = [{"code": "c4n4ry", "description": description}, {"code": "11", "description": "1"}]
        client.post(path, json={"authCodes": both}).raise_for_status()
        deleted = client.request("DELETE", path, json={"authCodes": both})
    assert [audited(service, response) for response in (created, changed, one)] == [
        (operation, 1, [WITHHELD]) for operation in ("create", "change", "delete")
    ]
    assert sorted(audited(service, deleted)[2]) == [WITHHELD, "1"]


def test_no_line_holds_a_code(service: Service, owner: dict[str, str]) -> None:
    """Whatever is done with codes that their descriptions contain, no line of the log has one."""
    path = path_of(owner)
    secret = "s3cr3t-c0de"
    item = {"code": secret, "description": f"is {secret}", "classOfService": "local"}
    with service.client(**TENANT_ADMIN) as client:
        responses = [
            client.post(path, json=item),
            client.post(path, json={"authCodes": [item, {"code": "11"}]}),
            client.patch(f"{path}{secret}/", json={"description": f"was {secret}"}),
            client.patch(f"{path}{secret}/", json={"description": secret, "code": secret}),
            client.patch(f"{path}{secret}/", content=f'{{"description": {secret}'),
            client.get(f"{path}{secret}/"),
            client.request("DELETE", path, json={"authCodes": [item]}),
            client.post(path, json={"authCodes": [item]}),
            client.delete(f"{path}{secret}/"),
            client.patch(f"{path}{secret}/", json={"description": secret}),
        ]
    statuses = [response.status_code for response in responses]
    assert statuses == [201, 400, 200, 400, 415, 200, 200, 201, 200, 404]
    for response in responses:
        written = service.logged(request_id=response.headers["X-Request-ID"])
        assert written
        assert secret not in json.dumps(written)
