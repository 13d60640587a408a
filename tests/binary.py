"""The single binary, in the place of the checkout: `pytest --binary` asks it what tests ask."""

import http.client
import socket
import string
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pysqlite3
from flask import Flask

from tests.service import ROOT, Service, running

BINARY = ROOT / "dist" / "barring"
SERVE = (str(BINARY), "serve")

_NOT_OF_THE_APPLICATION = {"connection", "date", "server", "transfer-encoding"}


class Forwarder:
    """A WSGI application that asks the binary: `service`, or one started when first asked."""

    def __init__(
        self,
        app: Flask,
        settings: dict[str, object],
        started: ExitStack,
        service: Service | None = None,
    ) -> None:
        self.here = app.wsgi_app
        self.settings = {f"BARRING_{name.upper()}": str(value) for name, value in settings.items()}
        self.settings.setdefault("BARRING_WORKERS", "1")
        self.started = started
        self.service = service

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Send a request as it is, and give the answer as it came."""
        if environ["REMOTE_ADDR"] != "127.0.0.1":
            return self.here(environ, start_response)  # From there no test can ask.
        if self.service is None:
            folder = Path(self.started.enter_context(tempfile.TemporaryDirectory()))
            self.service = self.started.enter_context(
                running(folder, command=SERVE, **self.settings)
            )
        with self.service.connect() as connection:
            connection.sendall(_head(environ) + environ["wsgi.input"].read())
            connection.shutdown(socket.SHUT_WR)
            answer = http.client.HTTPResponse(connection, method=environ["REQUEST_METHOD"])
            answer.begin()
            body = answer.read()
        headers = [h for h in answer.getheaders() if h[0].lower() not in _NOT_OF_THE_APPLICATION]
        start_response(f"{answer.status} {answer.reason}", headers)
        return [body]


def _head(environ: dict[str, Any]) -> bytes:
    """A request's line and headers, of what WSGI made of them."""
    target = quote(environ["RAW_URI"], safe=string.punctuation)
    lines = [f"{environ['REQUEST_METHOD']} {target} HTTP/1.1", "Connection: close"]
    for name, value in environ.items():
        if name.startswith("HTTP_") or (name in ("CONTENT_TYPE", "CONTENT_LENGTH") and value):
            lines.append(f"{name.removeprefix('HTTP_').replace('_', '-')}: {value}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def empty(database: Path) -> None:
    """Delete every code."""
    with closing(pysqlite3.connect(database)) as connection, connection:
        connection.execute("DELETE FROM authorization_codes")
