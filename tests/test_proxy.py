"""The service behind a proxy: under a path prefix, and when the proxy gets no response."""

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from flask.testing import FlaskClient

from barring.settings import Settings, SettingsError
from tests.nginx import nginx, shipped
from tests.postgres import free_port
from tests.service import codes_path

PREFIX = "/barring"


@pytest.fixture
def prefixed(make_client: Callable[..., FlaskClient]) -> FlaskClient:
    """A client of an application under the prefix."""
    return make_client(url_prefix=PREFIX)


@pytest.mark.parametrize("kept", [PREFIX, ""])
def test_every_link_begins_with_the_prefix(prefixed: FlaskClient, kept: str) -> None:
    """Whether or not the proxy strips the prefix, every link that the service makes has it."""
    answer = prefixed.post(f"{kept}{codes_path()}", json={"code": "*1#"})
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"{PREFIX}{codes_path()}%2A1%23/"
    assert prefixed.get(f"{kept}{codes_path()}%2A1%23").json == {"code": "*1#", "description": ""}
    for path in (f"{kept}/", kept or "/", f"{kept}/docs"):
        answer = prefixed.get(path)
        assert (answer.status_code, answer.headers["Location"]) == (302, f"{PREFIX}/docs/")
    document = prefixed.get(f"{kept}/openapi.json").json
    assert document
    assert [server["url"] for server in document["servers"]] == [PREFIX]
    assert not [path for path in document["paths"] if not path.startswith("/api/v1/")]
    missing = prefixed.get(f"{kept}/nothing").json
    assert missing
    assert f" {PREFIX}/openapi.json " in missing["message"]


def test_prefix_is_taken_off_once(prefixed: FlaskClient) -> None:
    """A second prefix, a longer name and another path are not the service's."""
    for start in (PREFIX * 2, f"{PREFIX}s", f"/x{PREFIX}", f"{PREFIX}/", "/BARRING"):
        assert prefixed.get(f"{start}{codes_path()}").status_code == 404, start


def test_without_a_prefix_nothing_changes(client: FlaskClient) -> None:
    """The document names the root, and the prefix of another service leads nowhere."""
    document = client.get("/openapi.json").json
    assert document
    assert [server["url"] for server in document["servers"]] == ["/"]
    assert client.get(f"{PREFIX}{codes_path()}").status_code == 404


def test_prefix_is_no_path_of_the_service(client: FlaskClient) -> None:
    """No path of the service begins with the prefix: it would have two meanings."""
    for rule in client.application.url_map.iter_rules():
        fixed = rule.rule.partition("/<")[0].strip("/").split("/")
        for length in range(1, len(fixed) + 1):
            prefix = "/" + "/".join(fixed[:length])
            with pytest.raises(SettingsError, match="BARRING_URL_PREFIX: Must be a path"):
                Settings.from_environment({"BARRING_URL_PREFIX": prefix})
    for prefix in ("", "/api/barring", "/healthy", "/a-b/c.d_e~1"):
        assert Settings.from_environment({"BARRING_URL_PREFIX": prefix}).url_prefix == prefix


def silent(connection: socket.socket) -> None:
    """Read a request, and wait until the client has given up."""
    while connection.recv(65536):
        pass


def broken(connection: socket.socket) -> None:
    """Read a request, and close the connection without a response."""
    connection.recv(65536)


@contextmanager
def upstream(serve: Callable[[socket.socket], None] | None) -> Iterator[int]:
    """The port of a server that serves each connection like this; without it, nobody listens."""
    if serve is None:
        yield free_port()
        return
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:

        def accept() -> None:
            with suppress(OSError):  # The listener is closed at the end.
                while True:
                    with listener.accept()[0] as connection:
                        serve(connection)

        pool.submit(accept)
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.long
@pytest.mark.parametrize(
    ("serve", "done"),
    [(None, "is unavailable; try again"), (broken, "may have been"), (silent, "may have been")],
)
def test_nginx_says_whether_a_request_may_have_been_carried_out(
    tmp_path: Path, serve: Callable[[socket.socket], None] | None, done: str
) -> None:
    """Without a response of the service the status is 503, as the body says."""
    port = free_port()
    # The path of verification has the short time limits, and needs no password.
    path = codes_path().replace("/codes/", "/verification/")
    with (
        upstream(serve) as service_port,
        nginx(tmp_path, shipped(tmp_path, port, service_port).replace(" 2s;", " 200ms;"), port),
        httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=False) as client,
    ):
        for method, said in (("GET", "is unavailable; try again"), ("POST", done)):
            answer = client.request(method, path, json={"code": "4711"})
            assert (answer.status_code, answer.json()["code"]) == (503, 503)
            assert said in answer.json()["message"]
            assert answer.headers["Retry-After"] == "1"
