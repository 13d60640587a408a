"""Reading codes, one or all, and removing them, one or many."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.service import END_USER, codes_path

PATH = codes_path()
CODES = [{"code": c, "description": f"for {c}"} for c in ("#1", "01", "0a", "0é", "AA", "aa")]


@pytest.fixture
def filled(make_client: Any) -> FlaskClient:
    """A client of an application in which CODES are stored, in another order."""
    client: FlaskClient = make_client(code_pattern=".+")
    assert client.post(PATH, json={"authCodes": CODES[::-1]}).status_code == 201
    return client


def test_list_is_ordered_by_code_point(filled: FlaskClient) -> None:
    """A list comes in the order of its codes' code points."""
    in_order = sorted(CODES, key=lambda item: item["code"])
    answer = filled.get(PATH, headers=END_USER)
    assert (answer.status_code, answer.json) == (200, {"authCodes": in_order})


def test_user_without_codes_has_an_empty_list(client: FlaskClient) -> None:
    """An owner that nobody wrote to is an empty list, not an error."""
    answer = client.get(codes_path("nobody"))
    assert (answer.status_code, answer.json) == (200, {"authCodes": []})


def test_one_code_is_read_with_its_description(filled: FlaskClient) -> None:
    """One code comes with its description, by either form of its path."""
    for path in (PATH + "01/", PATH + "01"):
        assert filled.get(path, headers=END_USER).json == {"code": "01", "description": "for 01"}


@pytest.mark.parametrize(
    "code", ["02", "1", "0", "x" * 500, "%20", "%00", "%0A", "é", ".", "AA%20"]
)
def test_absent_code_is_not_found_whatever_its_spelling(filled: FlaskClient, code: str) -> None:
    """Reading a code that is not there is 404, and removing it a success, however it is spelt."""
    assert filled.get(f"{PATH}{code}/").status_code == 404
    answer = filled.delete(f"{PATH}{code}/")
    assert (answer.status_code, answer.json) == (200, {})
    assert filled.get(PATH).json == {"authCodes": sorted(CODES, key=lambda item: item["code"])}


def test_removing_a_list_takes_what_is_there(filled: FlaskClient) -> None:
    """Of a list the codes that exist go; others, repeats and descriptions do not matter."""
    named = [{"code": "01"}, {"code": "01", "description": None}, {"code": "none\0"}, {"code": ""}]
    answer = filled.delete(PATH, json={"authCodes": [*named, *CODES[2:]]})
    assert (answer.status_code, answer.json) == (200, {})
    assert filled.get(PATH).json == {"authCodes": [CODES[0]]}


def test_a_list_that_was_read_can_be_sent_back(filled: FlaskClient) -> None:
    """What GET answered is a valid body for DELETE."""
    assert filled.delete(PATH, json=filled.get(PATH).json).status_code == 200
    assert filled.get(PATH).json == {"authCodes": []}


@pytest.mark.parametrize(
    "body",
    [
        {"code": "01"},
        {},
        {"authCodes": []},
        {"authCodes": ["01"]},
        {"authCodes": [{}]},
        {"authCodes": [{"code": 1}]},
        {"authCodes": [{"code": None}]},
        {"authCodes": [{"code": "01", "more": 1}]},
        {"authCodes": [{"code": "01"}], "code": "01"},
        [{"code": "01"}],
    ],
)
def test_invalid_removal_removes_nothing(filled: FlaskClient, body: Any) -> None:
    """A removal that does not say what it wants is refused as a whole."""
    answer = filled.delete(PATH, json=body)
    assert answer.status_code == 400
    assert answer.json
    assert answer.json["errors"]
    assert filled.get(PATH + "01/").status_code == 200


def test_owners_are_told_apart_to_the_code_point(client: FlaskClient) -> None:
    """Ids that differ in case, in Unicode form or in one part alone are different owners."""
    owners = [("t", "g", "u"), ("T", "g", "u"), ("t", "g", "U"), ("t", "u", "g")]
    owners += [("t", "g", "\u00e9"), ("t", "g", "e\u0301"), ("t", "g", " u"), ("t", "g", "u ")]
    for number, owner in enumerate(owners, 10):
        assert client.post(codes_path(*owner), json={"code": str(number)}).status_code == 201
    for number, owner in enumerate(owners, 10):
        only = {"authCodes": [{"code": str(number), "description": ""}]}
        assert client.get(codes_path(*owner)).json == only
