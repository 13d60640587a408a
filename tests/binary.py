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


class Binaries:
    """The binaries that run: `service`, and one for each other choice of settings.

    All work on one database. The last few that were started go on, for later tests.
    """

    KEPT = 4

    def __init__(self, service: Service) -> None:
        self.service = service
        self._others: dict[frozenset[tuple[str, object]], tuple[Service, ExitStack]] = {}

    @property
    def database_url(self) -> str:
        """The URL of the one database."""
        return f"sqlite:///{self.service.database}"

    def empty(self) -> None:
        """Delete every code."""
        with closing(pysqlite3.connect(self.service.database)) as connection, connection:
            connection.execute("DELETE FROM authorization_codes")
            connection.execute("DELETE FROM lockouts")

    def with_settings(self, settings: dict[str, object]) -> Service:
        """The one with these settings, which are fields of Settings; started if it is not there."""
        key = frozenset(settings.items())
        if not key:
            return self.service
        if key not in self._others:
            if len(self._others) == self.KEPT:
                _, oldest = self._others.pop(next(iter(self._others)))
                oldest.close()
            self._others[key] = self._start(settings)
        return self._others[key][0]

    def close(self) -> None:
        """End those that were started here."""
        for _, started in self._others.values():
            started.close()

    def _start(self, settings: dict[str, object]) -> tuple[Service, ExitStack]:
        variables = {f"BARRING_{name.upper()}": str(value) for name, value in settings.items()}
        place = {"BARRING_DATABASE_URL": self.database_url, "BARRING_WORKERS": "1"}
        with ExitStack() as started:
            folder = Path(started.enter_context(tempfile.TemporaryDirectory()))
            service = running(folder, command=SERVE, **place | variables)
            return started.enter_context(service), started.pop_all()


class Forwarder:
    """A WSGI application that passes each request to the binary with the same settings."""

    def __init__(self, app: Flask, binaries: Binaries, settings: dict[str, object]) -> None:
        self.here = app.wsgi_app
        self.binaries = binaries
        self.settings = settings

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Send a request as it is, and give the answer as it came."""
        if environ["REMOTE_ADDR"] != "127.0.0.1":
            return self.here(environ, start_response)  # From there no test can ask.
        with self.binaries.with_settings(self.settings).connect() as connection:
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
