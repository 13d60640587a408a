"""Which paths there are: strict in what an id may be, lenient about the slash at the end."""

import pytest
from flask.testing import FlaskClient

from tests.service import codes_path

PATH = codes_path()


@pytest.mark.parametrize(
    "user", ["anna@example.com", "a b+c", "zoë", "山田", "%41", "x" * 161, "a,b"]
)
def test_ids_may_hold_what_people_are_called(client: FlaskClient, user: str) -> None:
    """An id may hold @, spaces, +, accents, CJK, and up to 161 characters."""
    path = codes_path(user=user)
    assert client.post(path, json={"code": "12"}).status_code == 201
    assert client.get(path + "12/").status_code == 200
    assert client.get(PATH).json == {"authCodes": []}


@pytest.mark.parametrize("part", ["tenants/footenant", "groups/foogroup", "users/foouser"])
@pytest.mark.parametrize(
    "bad", ["", ".", "..", "%2E", "%00", "%0A", "a%0a", "%7F", "%C2%80", "x" * 162]
)
def test_what_cannot_be_an_id_is_not_found(client: FlaskClient, part: str, bad: str) -> None:
    """An empty, dotted, controlling or overlong segment is 404 in each of the three places."""
    paths = {PATH, codes_path(user=""), codes_path(group="", user="")}
    for path in {p.replace(part, f"{part.partition('/')[0]}/{bad}") for p in paths if part in p}:
        for call in (("GET", path), ("POST", path), ("DELETE", path), ("PATCH", f"{path}12/")):
            answer = client.open(call[1], method=call[0])
            assert answer.status_code == 404
            assert answer.json
            assert answer.json["code"] == 404


@pytest.mark.parametrize("raw", ["a%2Fb", "a%2fb"])
def test_escaped_slash_is_refused(client: FlaskClient, raw: str) -> None:
    """%2F is 400 in an id and in a code: nothing here holds a slash."""
    group = codes_path(user="")
    for path in (PATH.replace("foouser", raw), f"{PATH}{raw}/", group.replace("foogroup", raw)):
        assert client.get(path).status_code == 400


def test_slash_at_the_end_does_not_matter(client: FlaskClient) -> None:
    """Both forms of a path answer alike, without a redirect."""
    assert client.post(PATH.rstrip("/"), json={"code": "12"}).status_code == 201
    assert client.get(PATH.rstrip("/")).json == client.get(PATH).json
    assert client.delete(f"{PATH}12").status_code == 200
    named = {"authCodes": [{"code": "12"}]}
    assert client.delete(PATH.rstrip("/"), json=named).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1",
        PATH.replace("/users", "//users"),
        PATH.replace("/foogroup", ""),
        PATH.replace("/foouser", ""),
        PATH.replace("/users/foouser", "/users"),
        PATH.replace("/groups/foogroup", ""),
        PATH + "/",
        PATH + "12//",
        PATH + "12/13/",
        PATH.replace("/api/v1", "/API/v1"),
        "/docs/nothing.js",
    ],
)
def test_other_paths_are_not_found(client: FlaskClient, path: str) -> None:
    """Slashes are not merged, and nothing else is there."""
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.json
    assert answer.json["status"] == "Not Found"


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (PATH, {"GET", "HEAD", "OPTIONS", "POST", "DELETE"}),
        (PATH.rstrip("/"), {"GET", "HEAD", "OPTIONS", "POST", "DELETE"}),
        (PATH + "12/", {"GET", "HEAD", "OPTIONS", "PATCH", "DELETE"}),
        (PATH + "12", {"GET", "HEAD", "OPTIONS", "PATCH", "DELETE"}),
        (codes_path(user=""), {"GET", "HEAD", "OPTIONS", "POST", "DELETE"}),
        (codes_path(user="") + "12/", {"GET", "HEAD", "OPTIONS", "PATCH", "DELETE"}),
        (codes_path(group="", user=""), {"GET", "HEAD", "OPTIONS", "POST", "DELETE"}),
        (codes_path(group="", user="") + "12/", {"GET", "HEAD", "OPTIONS", "PATCH", "DELETE"}),
        ("/docs", {"GET", "HEAD", "OPTIONS"}),
        ("/openapi.json", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_other_methods_name_the_allowed_ones(
    client: FlaskClient, path: str, allowed: set[str]
) -> None:
    """405, and 204 to OPTIONS, list in Allow what the path takes, whoever asks."""
    for method in {"PUT", "PATCH", "TRACE", "POST", "DELETE"} - allowed:
        answer = client.open(path, method=method, headers={"X-Role": "nobody"})
        assert answer.status_code == 405
        assert set(answer.headers["Allow"].split(", ")) == allowed
        assert answer.json
        assert answer.json["code"] == 405
    answer = client.options(path, headers={"X-Role": "nobody"})
    assert (answer.status_code, answer.data) == (204, b"")
    assert "Content-Type" not in answer.headers
    assert set(answer.headers["Allow"].split(", ")) == allowed


def test_options_of_no_path_are_not_found(client: FlaskClient) -> None:
    """OPTIONS is 404 where nothing is, and 400 where the path is malformed."""
    assert client.options("/api/v1").status_code == 404
    assert client.options(f"{PATH}a%2Fb/").status_code == 400
