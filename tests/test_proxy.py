"""The service behind a proxy that gets no response from it."""

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tests.nginx import nginx, shipped
from tests.postgres import free_port
from tests.service import codes_path


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
