"""Bodies that are not one JSON value of the right kind and size are refused before they count."""

import gzip

import pytest
from flask.testing import FlaskClient

from tests.service import codes_path

PATH = codes_path()
GOOD = '{"code": "12"}'


def status(client: FlaskClient, body: str | bytes, content_type: str = "application/json") -> int:
    """The answer to a creation with this body; a refusal says why and stores nothing."""
    answer = client.post(PATH, data=body, content_type=content_type)
    if answer.status_code != 201:
        assert answer.json
        assert answer.json["code"] == answer.status_code
        assert answer.json["message"]
        assert client.get(PATH).json == {"authCodes": []}
    return answer.status_code


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        '"application/json"',
        "application/json; charset=utf-8",
        "Application/JSON",
        '"application/json"; charset=utf-8',
    ],
)
def test_json_is_taken_however_it_is_declared(client: FlaskClient, content_type: str) -> None:
    """The content type may carry parameters, capitals and one pair of quotation marks."""
    assert status(client, GOOD, content_type) == 201


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "application/xml",
        "application/json-seq",
        "json",
        '"application/json',
        '"application/json"x',
    ],
)
def test_other_content_types_are_refused(client: FlaskClient, content_type: str) -> None:
    """Another content type, or none, is 415 even where the body is JSON."""
    assert status(client, GOOD, content_type) == 415


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "nope",
        '{"code": "12"} {}',
        '{"code": NaN}',
        '{"code": Infinity}',
        '{"code": 1e999}',
        '{"code": "12", "description": "\\ud800"}',
        '{"code": "12", "\\udfff": 1}',
        '{"code": "12", "code": "13"}',
        '{"authCodes": [{"code": "12", "description": "", "description": "x"}]}',
        '{"code": ' + "9" * 5000 + "}",
        "[" * 100_000 + "]" * 100_000,
        '{"a":' * 100_000 + "1" + "}" * 100_000,
        b'{"code": "12", "description": "\xff"}',
        '{"code": "12\t"}',
    ],
)
def test_what_is_not_strict_json_is_refused(client: FlaskClient, body: str | bytes) -> None:
    """Not JSON, or JSON that two readers may read differently, is 400."""
    assert status(client, body) == 400


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_mark_is_named(client: FlaskClient, encoding: str) -> None:
    """A byte order mark before JSON, which editors hide, is 400 and named."""
    answer = client.post(PATH, data=GOOD.encode(encoding), content_type="application/json")
    assert answer.status_code == 400
    assert answer.json
    assert "byte order mark" in answer.json["message"]


@pytest.mark.parametrize("method", ["POST", "DELETE", "PATCH"])
@pytest.mark.parametrize("content_type", ["application/json", "text/plain", None])
def test_missing_body_is_named(client: FlaskClient, method: str, content_type: str | None) -> None:
    """Where a body is needed, an empty one is 400 and named, whatever its content type."""
    path = PATH + "12/" * (method == "PATCH")
    answer = client.open(path, method=method, content_type=content_type)
    assert answer.status_code == 400
    assert answer.json
    assert answer.json["message"].startswith("The body is empty")


@pytest.mark.parametrize("coding", ["gzip", "BR", "identity, gzip", "x" * 100])
def test_encoded_body_is_refused(client: FlaskClient, coding: str) -> None:
    """A body with a Content-Encoding is 415; the response names it and says what is accepted."""
    for body in (gzip.compress(GOOD.encode()), GOOD):
        answer = client.post(PATH, data=body, headers={"Content-Encoding": coding})
        assert answer.status_code == 415
        assert answer.json
        assert f"Content-Encoding: {coding[:40]}." in answer.json["message"]
        assert answer.headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("coding", ["identity", "Identity", ""])
def test_body_that_is_not_encoded_may_say_so(client: FlaskClient, coding: str) -> None:
    """The Content-Encoding `identity` changes nothing."""
    headers = {"Content-Encoding": coding}
    assert client.post(PATH, json={"code": "12"}, headers=headers).status_code == 201


def test_surrogate_pairs_are_one_character(client: FlaskClient) -> None:
    """A pair of surrogate escapes is the character that it stands for."""
    assert status(client, '{"code": "12", "description": "\\ud83d\\ude00"}') == 201
    assert client.get(f"{PATH}12/").json == {"code": "12", "description": "😀"}


def test_body_at_the_limit_fits_and_beyond_it_is_refused(make_client: type) -> None:
    """A body of the greatest size is read, and one byte more is 413 with the limit named."""
    client = make_client(max_body_bytes=1024)
    assert status(client, "{".ljust(1025)) == 413
    assert status(client, "{".ljust(1024)) == 400
    assert status(client, GOOD.ljust(1024)) == 201


def test_size_is_checked_before_type_and_type_before_content(make_client: type) -> None:
    """413 goes before 415, and 415 before 400."""
    client = make_client(max_body_bytes=1024)
    assert status(client, "{" * 2000, "text/plain") == 413
    assert status(client, "{", "text/plain") == 415


def test_removal_reads_its_body_as_strictly(client: FlaskClient) -> None:
    """DELETE with a body answers 415 and 400 as POST does."""
    assert client.delete(PATH, data=GOOD, content_type="text/plain").status_code == 415
    body = '{"authCodes": [{"code": "1", "code": "2"}]}'
    assert client.delete(PATH, data=body, content_type="application/json").status_code == 400


def test_fault_of_a_body_is_told_without_quoting_it(client: FlaskClient) -> None:
    """The message for broken JSON gives its place and not its text."""
    answer = client.post(PATH, data='{"code": secret4711}', content_type="application/json")
    assert "secret4711" not in answer.get_data(as_text=True)
    assert "column 10" in answer.get_data(as_text=True)


@pytest.mark.parametrize("wrapped", [False, True])
def test_object_with_very_many_keys_is_refused_at_once(client: FlaskClient, wrapped: bool) -> None:
    """The response to thousands of unknown keys, which take long to check, names none of them."""
    many = {f"key{number}": 1 for number in range(10_000)}
    answer = client.post(PATH, json={"authCodes": [many]} if wrapped else many)
    assert answer.status_code == 400
    assert "more than 100 keys" in answer.text
    assert len(answer.data) < 500
