"""The examples of the document that this service was built from, sent as they stand there."""

import json

import pytest

from tests.service import Service, codes_path

PATH = (
    "/api/v1/tenants/footenant/groups/foogroup/users/foouser/services/outgoing_call_barring/codes/"
)
ONE_AND_TWO = """\
{
   "authCodes": [
      {
          "code": "01",
          "description": "test_code_01"
      },
      {
          "code": "02",
          "description": "test_code_02"
      }
   ]
}"""
THREE_AND_FOUR = ONE_AND_TWO.replace("01", "03").replace("02", "04")
THREE = '{\n  "code": "03",\n  "description": "test_code_03"\n}'
NAMES = '{\n   "authCodes": [\n {\n "code": "01"\n },\n {\n "code": "02"\n }\n ]\n}'


def send(service: Service, method: str, path: str, body: str, role: str) -> tuple[int, str, object]:
    """Send the bytes of an example over a socket of its own, with a role and this host.

    The response's body must be written without spaces, and with nothing that JSON does not show.
    """
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nX-Role: {role}\r\nConnection: close\r\n"
    if body:
        head += f'Content-Type: "application/json"\r\nContent-Length: {len(body)}\r\n'
    with service.connect() as connection:
        connection.sendall(f"{head}\r\n{body}".encode())
        with connection.makefile("rb") as stream:
            answer = stream.read().decode()
    start, _, payload = answer.partition("\r\n\r\n")
    assert "Content-Type: application/json\r\n" in start
    value = json.loads(payload)
    assert payload == json.dumps(value, separators=(",", ":")) + "\n"
    return int(start.split()[1]), start, value


@pytest.fixture
def prepared(service: Service) -> Service:
    """The document's owner with the codes that its examples start from, and no others."""
    with service.client() as client:
        path = codes_path()
        if stored := client.get(path).json()["authCodes"]:
            client.request("DELETE", path, json={"authCodes": stored})
        assert client.post(path, json=json.loads(ONE_AND_TWO)).status_code == 201
        assert client.post(path, json={"code": "fooCode"}).status_code == 201
    return service


@pytest.mark.parametrize(
    ("method", "suffix", "body", "role", "status", "answer"),
    [
        ("POST", "", THREE_AND_FOUR, "Group Admin", 201, {}),
        ("POST", "", THREE, "Group Admin", 201, {}),
        ("GET", "fooCode/", "", "End User", 200, {"code": "fooCode", "description": ""}),
        ("DELETE", "", NAMES, "Group Admin", 200, {}),
        ("DELETE", "fooCode/", "", "Group Admin", 200, {}),
    ],
)
def test_example(
    prepared: Service,
    method: str,
    suffix: str,
    body: str,
    role: str,
    status: int,
    answer: object,
) -> None:
    """Each example gets the status and the body that the document shows."""
    got = send(prepared, method, PATH + suffix, body, role)
    assert (got[0], got[2]) == (status, answer)


def test_list_example(prepared: Service) -> None:
    """The document's list is answered as shown."""
    send(prepared, "DELETE", PATH + "fooCode/", "", "Group Admin")
    status, _, answer = send(prepared, "GET", PATH, "", "End User")
    assert status == 200
    assert answer == json.loads(ONE_AND_TWO)


def test_absent_codes_are_removed_in_peace(prepared: Service) -> None:
    """Removing what is not there is a success, alone and in a list."""
    for _ in range(2):
        assert send(prepared, "DELETE", PATH, NAMES, "Group Admin")[::2] == (200, {})
        assert send(prepared, "DELETE", PATH + "01/", "", "Group Admin")[::2] == (200, {})
