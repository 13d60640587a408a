"""The class of service of a code: an optional text, at every level."""

import json
import time
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.service import LEVELS

WITH = {"code": "11", "description": "Lobby", "classOfService": "international"}
WITHOUT = {"code": "12", "description": "Kitchen"}


def test_it_is_shown_where_it_is_set(admin: FlaskClient, path: str) -> None:
    """A code alone and codes in a list show it after the description, and only if they have one."""
    assert admin.post(path, json={"authCodes": [WITHOUT, WITH]}).status_code == 201
    single = {"code": "13", "classOfService": "local"}
    location = admin.post(path, json=single).headers["Location"]
    shown = {"code": "13", "description": "", "classOfService": "local"}
    assert admin.get(location).get_data(as_text=True) == compact(shown)
    assert admin.get(f"{path}12/").get_data(as_text=True) == compact(WITHOUT)
    listed = {"authCodes": [WITH, WITHOUT, shown]}
    assert admin.get(path).get_data(as_text=True) == compact(listed)


def compact(value: Any) -> str:
    """JSON as the service writes it."""
    return json.dumps(value, separators=(",", ":")) + "\n"


@pytest.mark.parametrize("value", [None, "", "x" * 41, "😀" * 41, "a\0b", 5, True, ["x"], {}])
def test_what_is_no_class_is_refused(admin: FlaskClient, path: str, value: Any) -> None:
    """Null, the empty text, 41 characters, NUL and other types are refused, alone and in a list."""
    wrong = {"code": "11", "classOfService": value}
    for body, place in ((wrong, ()), ({"authCodes": [WITHOUT, wrong]}, ("authCodes", "1"))):
        response = admin.post(path, json=body)
        assert response.status_code == 400
        errors: Any = response.json
        errors = errors["errors"]["json"]
        for key in place:
            assert list(errors) == [key]
            errors = errors[key]
        assert list(errors) == ["classOfService"]
    assert admin.get(path).json == {"authCodes": []}


@pytest.mark.parametrize("value", ["x", "x" * 40, "😀" * 40, " ", "a\nb", "national + mobile"])
def test_it_may_be_any_text(admin: FlaskClient, path: str, value: str) -> None:
    """A class has 1 to 40 code points, and any character but NUL."""
    code = {"code": "11", "description": "", "classOfService": value}
    assert admin.post(path, json=code).status_code == 201
    assert admin.get(f"{path}11/").json == code


@pytest.mark.parametrize("value", [None, "", "x" * 99, "\0", 5, False, ["x"], {"a": None}])
def test_deletion_ignores_it(admin: FlaskClient, path: str, value: Any) -> None:
    """An item to delete may have a description and a class of any value."""
    admin.post(path, json={"authCodes": [WITH, WITHOUT]})
    named = {"code": "11", "description": value, "classOfService": value}
    assert admin.delete(path, json={"authCodes": [named]}).status_code == 200
    assert admin.get(path).json == {"authCodes": [WITHOUT]}


def test_what_was_read_can_be_sent_elsewhere(admin: FlaskClient) -> None:
    """The response to GET is a valid body for POST at another level, and then for DELETE."""
    admin.post(LEVELS["user"], json={"authCodes": [WITH, WITHOUT]})
    read = admin.get(LEVELS["user"]).data
    send = {"data": read, "content_type": "application/json"}
    for path in (LEVELS["group"], LEVELS["tenant"]):
        assert admin.post(path, **send).status_code == 201
        assert admin.get(path).data == read
    for path in LEVELS.values():
        assert admin.delete(path, **send).status_code == 200
        assert admin.get(path).json == {"authCodes": []}


def test_long_lists_may_have_it(admin: FlaskClient, path: str) -> None:
    """In a list of thousands each code keeps its own class, or none."""
    codes: list[dict[str, str]] = []
    for number in range(3_000):
        code = {"code": f"{number:04}", "description": f"no. {number}"}
        codes.append(code if number % 3 else {**code, "classOfService": f"class {number % 7}"})
    assert admin.post(path, json={"authCodes": codes}).status_code == 201
    assert admin.get(path).json == {"authCodes": codes}


def test_it_costs_no_time(admin: FlaskClient, path: str) -> None:
    """To create 10,000 codes with a class takes hardly longer than without one."""

    def seconds(first: int, **more: str) -> float:
        codes = [{"code": f"{first + number}", **more} for number in range(10_000)]
        started = time.perf_counter()
        assert admin.post(path, json={"authCodes": codes}).status_code == 201
        return time.perf_counter() - started

    assert seconds(20_000, classOfService="local") < 4 * seconds(10_000) + 1
