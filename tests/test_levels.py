"""Codes of users, groups and tenants: the same operations, each level with codes of its own."""

from typing import Any
from urllib.parse import quote

import pytest
import schemathesis
from flask.testing import FlaskClient

from tests.service import LEVELS, TENANT_ADMIN, Service, codes_path

OWNERS = {
    "": {"tenant_id": "acme", "group_id": "sales & more", "user_id": "zoë@example.com"},
    "Group": {"tenant_id": "acme", "group_id": "sales & more"},
    "Tenant": {"tenant_id": "acme"},
}
"""By the word in the ids of a level's operations: the path parameters of an owner."""


@pytest.mark.parametrize("level", OWNERS)
def test_client_made_from_the_document_works(service: Service, level: str) -> None:
    """By the document's ids and parameters alone, a client uses every operation of a level."""
    document = schemathesis.openapi.from_url(f"{service.url}/openapi.json")

    def call(operation_id: str, body: Any = None, **code: str) -> Any:
        """What an operation responds, which must be as the document describes it."""
        operation = document.find_operation_by_id(operation_id)
        parameters = {name: quote(value) for name, value in (OWNERS[level] | code).items()}
        more = {"body": body, "media_type": "application/json"} if body else {}
        case = operation.Case(path_parameters=parameters, headers=TENANT_ADMIN, **more)
        response = case.call_and_validate()
        assert response.status_code < 300
        return response.json()

    one, many = f"{level}AuthorizationCode", f"{level}AuthorizationCodes"
    lobby = {"code": "#1", "description": "Lobby", "classOfService": "local"}
    gate = {"code": "12", "description": "Gate"}
    assert call(f"create{many}", {"authCodes": [lobby, {"code": "12"}]}) == {}
    assert call(f"create{many}", {"code": "13"}) == {}
    assert call(f"get{one}", code="#1") == lobby
    assert call(f"change{one}", {"description": "Gate"}, code="12") == gate
    assert call(f"delete{one}", code="13") == {}
    assert call(f"list{many}") == {"authCodes": [lobby, gate]}
    assert call(f"delete{many}", {"authCodes": [lobby, gate]}) == {}
    assert call(f"list{many}") == {"authCodes": []}


def test_each_level_has_codes_of_its_own(admin: FlaskClient) -> None:
    """The same code may be at every level; reads, changes and deletions reach one level alone."""
    for level, path in LEVELS.items():
        created = admin.post(path, json={"code": "12", "description": level})
        assert created.headers["Location"] == f"{path}12/"
        assert admin.post(path, json={"code": "12"}).status_code == 400
    for level, path in LEVELS.items():
        code = {"code": "12", "description": level}
        assert admin.get(f"{path}12/").json == code
        assert admin.get(path).json == {"authCodes": [code]}
    for level, path in LEVELS.items():
        assert admin.delete(f"{path}12/").status_code == 200
        response = admin.get(f"{path}12/")
        assert response.status_code == 404
        assert response.json
        assert response.json["message"] == f"This {level} has no such code."
    assert all(admin.get(path).json == {"authCodes": []} for path in LEVELS.values())


@pytest.mark.parametrize(
    ("owner", "others"),
    [
        (("t", "g", ""), [("t", "g", "g"), ("t", "t", "g"), ("t", "", ""), ("g", "t", "")]),
        (("t", "", ""), [("t", "t", ""), ("t", "t", "t"), ("T", "", ""), ("t ", "", "")]),
        (("t", "g", "u"), [("t", "g", ""), ("t", "u", ""), ("u", "", ""), ("t", "u", "g")]),
    ],
)
def test_owners_of_different_levels_do_not_meet(
    admin: FlaskClient, owner: tuple[str, ...], others: list[tuple[str, ...]]
) -> None:
    """An owner's codes are shown under no other owner of whatever level, nor deleted there."""
    path = codes_path(*owner)
    assert admin.post(path, json={"authCodes": [{"code": "12"}, {"code": "13"}]}).status_code == 201
    before = admin.get(path).data
    for other in map(lambda ids: codes_path(*ids), others):
        assert admin.get(other).json == {"authCodes": []}
        assert admin.get(f"{other}12/").status_code == 404
        assert admin.delete(other, data=before, content_type="application/json").status_code == 200
        assert admin.delete(f"{other}12/").status_code == 200
    assert admin.get(path).data == before


@pytest.mark.parametrize("path", LEVELS.values(), ids=LEVELS)
def test_a_list_is_one_unit_at_every_level(admin: FlaskClient, path: str) -> None:
    """A list with an existing or repeated code is refused as a whole, with each fault named."""
    admin.post(path, json={"code": "12"})
    body = {"authCodes": [{"code": code} for code in ("11", "12", "13", "11")]}
    response = admin.post(path, json=body)
    assert response.status_code == 400
    assert response.json
    assert response.json["errors"]["json"]["authCodes"] == {
        "1": {"code": ["This code exists already."]},
        "3": {"code": ["Repeats the code of item 0."]},
    }
    assert admin.get(path).json == {"authCodes": [{"code": "12", "description": ""}]}


@pytest.mark.parametrize("level", LEVELS)
def test_refusal_names_the_level(client: FlaskClient, level: str) -> None:
    """A caller outside of its scope is told that it is the user, the group or the tenant."""
    headers = {**TENANT_ADMIN, "X-Tenant-Id": "another"}
    response = client.get(LEVELS[level], headers=headers)
    assert response.status_code == 403
    assert response.json
    assert response.json["message"] == f"This {level} is outside the caller's scope."
