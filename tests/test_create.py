"""Creating codes: one or many on the same route, all of a list or none."""

import json
import time
from typing import Any

import pytest
from flask.testing import FlaskClient

from barring.domain import AuthorizationCode, Owner
from tests.service import codes_path

PATH = codes_path()


def faults(client: FlaskClient, body: Any) -> Any:
    """What `errors` says of a body that must be refused."""
    answer = client.post(PATH, data=json.dumps(body), content_type="application/json")
    assert answer.status_code == 400
    assert answer.json
    assert answer.json["message"]
    return answer.json["errors"]["json"]


def stored(client: FlaskClient) -> list[str]:
    """The codes that are there."""
    answer = client.get(PATH).json
    assert answer
    return [item["code"] for item in answer["authCodes"]]


def test_one_code_is_created_and_located(client: FlaskClient) -> None:
    """A single code answers 201 {} with the Location where it is read."""
    answer = client.post(PATH, json={"code": "03", "description": "Kitchen"})
    assert (answer.status_code, answer.json) == (201, {})
    assert client.get(answer.headers["Location"]).json == {"code": "03", "description": "Kitchen"}


def test_location_escapes_what_a_path_cannot_hold(client: FlaskClient) -> None:
    """A Location can be followed for a code and a user with characters that paths reserve."""
    path = codes_path(user="zoë k+1@example.com")
    location = client.post(path, json={"code": "#1*"}).headers["Location"]
    assert location.isascii()
    assert client.get(location).json == {"code": "#1*", "description": ""}


def test_list_is_created_without_location(client: FlaskClient) -> None:
    """A list answers 201 {}; there is no one place that it went to."""
    answer = client.post(PATH, json={"authCodes": [{"code": "04"}, {"code": "03"}]})
    assert (answer.status_code, answer.json) == (201, {})
    assert "Location" not in answer.headers
    assert stored(client) == ["03", "04"]


def test_ten_thousand_codes_fit_one_list(client: FlaskClient) -> None:
    """A list of 10,000 codes is stored as a whole."""
    codes = [{"code": f"{n:014}", "description": "x" * 80} for n in range(10_000)]
    assert client.post(PATH, json={"authCodes": codes}).status_code == 201
    assert client.get(PATH).json == {"authCodes": codes}


def test_class_of_service_does_not_slow_down_a_long_list(client: FlaskClient) -> None:
    """A list of 20,000 codes with a class of service is stored within three seconds."""
    codes = [{"code": f"{n:014}", "classOfService": "national"} for n in range(20_000)]
    began = time.monotonic()
    assert client.post(PATH, json={"authCodes": codes}).status_code == 201
    assert time.monotonic() - began < 3
    assert client.get(PATH + "00000000019999/").json == {**codes[-1], "description": ""}


def test_existing_codes_are_named_and_nothing_is_stored(client: FlaskClient) -> None:
    """Every code that exists already is named by its index, and the others are not stored."""
    client.post(PATH, json={"authCodes": [{"code": "01"}, {"code": "02"}]})
    new = [{"code": code} for code in ("05", "02", "06", "01")]
    exists = {"code": ["This code exists already."]}
    assert faults(client, {"authCodes": new}) == {"authCodes": {"1": exists, "3": exists}}
    assert faults(client, {"code": "01"}) == exists
    assert stored(client) == ["01", "02"]


def test_repeated_code_is_named_beside_existing_ones(client: FlaskClient) -> None:
    """Of a valid list, codes that stand twice and codes that exist are named together."""
    client.post(PATH, json={"code": "01"})
    errors = faults(client, {"authCodes": [{"code": c} for c in ("02", "01", "02", "03")]})
    assert errors["authCodes"] == {
        "1": {"code": ["This code exists already."]},
        "2": {"code": ["Repeats the code of item 0."]},
    }
    assert stored(client) == ["01"]


def test_repeated_code_is_named_beside_other_faults(client: FlaskClient) -> None:
    """A code twice in one list is a fault of the later item, told together with all others."""
    items = [{"code": "11"}, {"code": "x" * 15}, {"code": "11"}, {"code": 5}, "11"]
    errors = faults(client, {"authCodes": items})["authCodes"]
    assert errors["2"] == {"code": ["Repeats the code of item 0."]}
    assert list(errors) == ["1", "2", "3", "4"]
    assert stored(client) == []


@pytest.mark.parametrize(
    ("item", "field"),
    [
        ({"code": "1"}, "code"),
        ({"code": "1" * 15}, "code"),
        ({"code": "."}, "code"),
        ({"code": ".."}, "code"),
        ({"code": "1 2"}, "code"),
        ({"code": "12\n"}, "code"),
        ({"code": "é1"}, "code"),
        ({"code": "١٢"}, "code"),  # Arabic digits
        ({"code": 12}, "code"),
        ({"code": None}, "code"),
        ({"code": True}, "code"),
        ({"code": ["12"]}, "code"),
        ({"description": "no code"}, "code"),
        ({"code": "12", "description": "x" * 81}, "description"),
        ({"code": "12", "description": "a\0b"}, "description"),
        ({"code": "12", "description": None}, "description"),
        ({"code": "12", "description": 5}, "description"),
        ({"code": "12", "valid": True}, "valid"),
    ],
)
def test_item_at_fault_is_named_by_its_field(
    client: FlaskClient, item: dict[str, Any], field: str
) -> None:
    """An invalid item is refused with its field named, alone and in a list; nothing is stored."""
    listed = faults(client, {"authCodes": [{"code": "99"}, item]})
    assert list(listed["authCodes"]) == ["1"]
    assert list(listed["authCodes"]["1"]) == [field]
    if "code" in item:
        assert list(faults(client, item)) == [field]
    assert stored(client) == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        "12",
        7,
        None,
        {"authCodes": []},
        {"authCodes": {}},
        {"authCodes": None},
        {"authCodes": "12"},
        {"authCodes": [[]]},
        {"authCodes": [{"code": "12"}], "code": "13"},
        {"authCodes": [{"code": "12"}], "more": 1},
        {"description": "no code"},
    ],
)
def test_shape_that_is_neither_one_nor_many_is_refused(client: FlaskClient, body: Any) -> None:
    """Both shapes at once, neither, an empty list and unknown fields are refused."""
    assert faults(client, body)
    assert stored(client) == []


def test_no_more_faults_are_named_than_anyone_reads(client: FlaskClient) -> None:
    """Of a list that is nothing but faults the first 10,000 are named."""
    assert len(faults(client, {"authCodes": [1] * 30_000})["authCodes"]) == 10_000
    answer = client.delete(PATH, json={"authCodes": [{}] * 30_000})
    assert answer.json
    assert len(answer.json["errors"]["json"]["authCodes"]) == 10_000


def test_limits_count_code_points(client: FlaskClient) -> None:
    """A description of 80 code points fits, however many bytes they take."""
    assert client.post(PATH, json={"code": "1" * 14, "description": "😀" * 80}).status_code == 201


def test_leading_zeros_and_case_make_codes_differ(client: FlaskClient) -> None:
    """Codes are strings: "01", "001", "aa" and "AA" are four."""
    codes = ["001", "01", "AA", "aa"]
    client.post(PATH, json={"authCodes": [{"code": code} for code in codes]})
    assert stored(client) == codes


def test_operator_can_narrow_the_alphabet(make_client: Any) -> None:
    """With BARRING_CODE_PATTERN only what matches it from end to end is created."""
    client = make_client(code_pattern="[0-9]+|#[0-9/]+")
    assert client.post(PATH, json={"code": "#1/2"}).status_code == 400  # No path could name it.
    assert client.post(PATH, json={"code": "0123"}).status_code == 201
    assert client.post(PATH, json={"code": "#123"}).status_code == 201
    assert client.post(PATH, json={"code": "12a"}).status_code == 400
    assert client.post(PATH, json={"authCodes": [{"code": "a12"}]}).status_code == 400
    document = client.get("/openapi.json").get_data(as_text=True)
    assert "^(?:[0-9]+|#[0-9/]+)$" in document


def test_code_that_no_path_can_name_is_removed_in_a_list(client: FlaskClient) -> None:
    """The code .. of an earlier release is still listed, and removed like any other."""
    client.application.extensions["barring.storage"].add(
        Owner("footenant", "foogroup", "foouser"), [AuthorizationCode("..", "")]
    )
    assert stored(client) == [".."]
    assert client.delete(PATH, json=client.get(PATH).json).status_code == 200
    assert stored(client) == []
    assert client.post(PATH, json={"code": "..."}).status_code == 201
