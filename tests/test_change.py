"""Changing a code: PATCH with a description, a class of service or both, at every level."""

import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.service import LEVELS, codes_path

CODE = {"code": "11", "description": "Lobby", "classOfService": "local"}
OTHER = {"code": "12", "description": "Kitchen"}


@pytest.fixture
def admin(admin: FlaskClient) -> FlaskClient:
    """The client, and at each level the same two codes."""
    for path in LEVELS.values():
        assert admin.post(path, json={"authCodes": [CODE, OTHER]}).status_code == 201
    return admin


def stored(client: FlaskClient) -> dict[str, Any]:
    """What is stored at each level."""
    return {path: client.get(path).json for path in LEVELS.values()}


@pytest.mark.parametrize("slash", ["/", ""])
@pytest.mark.parametrize(
    ("changes", "after"),
    [
        ({"description": "Gate"}, {**CODE, "description": "Gate"}),
        ({"description": ""}, {**CODE, "description": ""}),
        ({"classOfService": "premium"}, {**CODE, "classOfService": "premium"}),
        ({"classOfService": None}, {"code": "11", "description": "Lobby"}),
        ({"classOfService": "premium", "description": "é😀"}, CODE | {"description": "é😀"}),
        ({"classOfService": None, "description": "Gate"}, {"code": "11", "description": "Gate"}),
        ({"description": "Lobby", "classOfService": "local"}, CODE),
    ],
)
def test_named_fields_change(
    admin: FlaskClient, path: str, changes: dict[str, Any], after: dict[str, str], slash: str
) -> None:
    """The response and later reads show the changed code; nothing else changes at any level."""
    if changes.get("classOfService") and "classOfService" in after:
        after = {**after, "classOfService": changes["classOfService"]}
    expected = stored(admin) | {path: {"authCodes": [after, OTHER]}}
    response = admin.patch(f"{path}11{slash}", json=changes)
    assert response.status_code == 200
    assert response.content_type == "application/json"
    compact = json.dumps(after, separators=(",", ":"), ensure_ascii=False) + "\n"
    assert response.get_data(as_text=True) == compact
    assert admin.get(f"{path}11/").data == response.data
    assert stored(admin) == expected


def test_class_can_be_set_and_cleared(admin: FlaskClient, path: str) -> None:
    """A code that has no class gets one, and loses it again; to clear nothing is a success."""
    for value in ("premium", None, None, "x" * 40, None):
        response = admin.patch(f"{path}12/", json={"classOfService": value})
        assert response.json == (OTHER | {"classOfService": value} if value else OTHER)
    assert admin.get(path).json == {"authCodes": [CODE, OTHER]}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "_schema"),
        ([], "_schema"),
        ("Gate", "_schema"),
        (7, "_schema"),
        (None, "_schema"),
        ([{"description": "Gate"}], "_schema"),
        ({"description": None}, "description"),
        ({"description": None, "classOfService": None}, "description"),
        ({"description": 5}, "description"),
        ({"description": "x" * 81}, "description"),
        ({"description": "a\0b"}, "description"),
        ({"classOfService": ""}, "classOfService"),
        ({"classOfService": "x" * 41}, "classOfService"),
        ({"classOfService": "a\0b"}, "classOfService"),
        ({"classOfService": False}, "classOfService"),
        ({"description": "Gate", "code": "11"}, "code"),
        ({"code": "13"}, "code"),
        ({"description": "Gate", "class_of_service": "x"}, "class_of_service"),
        ({"authCodes": [{"code": "11", "description": "Gate"}]}, "authCodes"),
    ],
)
def test_invalid_change_is_refused(admin: FlaskClient, path: str, body: Any, field: str) -> None:
    """Another field, none, or a wrong value is a 400 that names it, also for an absent code."""
    before = stored(admin)
    for code in ("11", "99"):
        response = admin.patch(
            f"{path}{code}/", data=json.dumps(body), content_type="application/json"
        )
        assert response.status_code == 400
        assert response.json
        assert list(response.json["errors"]["json"]) == [field]
    assert stored(admin) == before


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        ("", "application/json", 400),
        ("{", "application/json", 400),
        ('{"description": "a", "description": "b"}', "application/json", 400),
        ('{"description": "\\ud800"}', "application/json", 400),
        ('{"description": "a"}', "text/plain", 415),
        ('{"description": "a"}', "application/merge-patch+json", 415),
        ('{"description": "a"}', "", 415),
        ('{"description": "a"}'.ljust(2000), "application/json", 413),
        ('{"description": "a"}', '"application/json"', 200),
    ],
)
def test_body_is_read_as_strictly_as_others(
    make_client: Any, body: str, content_type: str, status: int
) -> None:
    """A change must be strict JSON, be declared so, and not be too long."""
    client: FlaskClient = make_client(max_body_bytes=1024)
    assert client.post(codes_path(), json=CODE).status_code == 201
    response = client.patch(f"{codes_path()}11/", data=body, content_type=content_type)
    assert response.status_code == status
    assert response.json
    assert response.json.get("message") if status != 200 else response.json["description"] == "a"


@pytest.mark.parametrize("code", ["99", "1", "0" * 500, "%20", "%00", "é", "11%20"])
def test_absent_code_is_not_found(admin: FlaskClient, path: str, code: str) -> None:
    """A change of a code that is not there is 404, and creates nothing."""
    before = stored(admin)
    response = admin.patch(f"{path}{code}/", json={"description": "Gate"})
    assert response.status_code == 404
    assert response.json
    assert "no such code" in response.json["message"]
    assert stored(admin) == before


def test_code_of_another_level_is_not_found(admin: FlaskClient, path: str) -> None:
    """A change reaches the codes of its own level alone."""
    assert admin.delete(f"{path}11/").status_code == 200
    before = stored(admin)
    assert admin.patch(f"{path}11/", json={"description": "Gate"}).status_code == 404
    assert stored(admin) == before


def test_lists_are_not_changed(admin: FlaskClient, path: str) -> None:
    """PATCH of all codes is a 405 whose Allow has no PATCH, and a code's Allow has it."""
    response = admin.patch(path, json={"description": "Gate"})
    assert response.status_code == 405
    assert set(response.headers["Allow"].split(", ")) == {
        "GET",
        "HEAD",
        "OPTIONS",
        "POST",
        "DELETE",
    }
    response = admin.put(f"{path}11/", json={"description": "Gate"})
    assert response.status_code == 405
    assert set(response.headers["Allow"].split(", ")) == {
        "GET",
        "HEAD",
        "OPTIONS",
        "PATCH",
        "DELETE",
    }
