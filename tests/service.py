"""Starts the real service, as its users start it, for tests that talk to it over the network."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

ROOT = Path(__file__).parent.parent
GROUP_ADMIN = {"X-Role": "Group Admin"}
END_USER = {"X-Role": "End User"}
TENANT_ADMIN = {"X-Role": "Tenant Admin"}


def codes_path(tenant: str = "footenant", group: str = "foogroup", user: str = "foouser") -> str:
    """The path of an owner's codes; without a user it is a group's, without a group a tenant's."""
    parts = {"tenants": tenant, "groups": group, "users": user}
    owner = "".join(f"/{name}/{quote(part, safe='')}" for name, part in parts.items() if part)
    return f"/api/v1{owner}/services/outgoing_call_barring/codes/"


LEVELS = {
    "user": codes_path(),
    "group": codes_path(user=""),
    "tenant": codes_path(group="", user=""),
}
"""The path of the codes of one owner at each level."""


class Service:
    """A running gunicorn with the service, and what it logged."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, database: Path) -> None:
        self.process = process
        self.log_file = log
        self.database = database
        self.url = ""

    def log(self) -> list[dict[str, Any]]:
        """Every line logged so far."""
        # Not splitlines: an owner's name may hold a separator that JSON leaves as it is.
        return [json.loads(line) for line in self.log_file.read_text().split("\n") if line]

    def logged(self, **values: Any) -> list[dict[str, Any]]:
        """The lines that hold these values."""
        return [line for line in self.log() if values.items() <= line.items()]

    @property
    def port(self) -> int:
        """The TCP port it listens at."""
        return int(self.url.rpartition(":")[2])

    def client(self, **headers: str) -> httpx.Client:
        """A client that is a Group Admin unless the headers say otherwise."""
        return httpx.Client(base_url=self.url, headers={**GROUP_ADMIN, **headers}, timeout=30)

    def connect(self) -> socket.socket:
        """A bare connection, for what no HTTP client would send."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def kill(self) -> None:
        """kill -9 of the server and its workers, as when the machine runs out of memory."""
        workers = re.findall(r"Booting worker with pid: (\d+)", self.log_file.read_text())
        self.process.kill()
        self.process.wait()
        for worker in workers:
            with suppress(ProcessLookupError):
                os.kill(int(worker), signal.SIGKILL)

    def await_log(self, pattern: str, seconds: float = 20) -> re.Match[str]:
        """The first match of `pattern` in the log, once it is there."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := re.search(pattern, self.log_file.read_text()):
                return found
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(f"no {pattern!r} in the log:\n{self.log_file.read_text()}")


def received(connection: socket.socket) -> bytes:
    """Everything that comes until the other end closes."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


def environment(folder: Path, **settings: str) -> dict[str, str]:
    """This process's environment with BARRING_* settings for a service of its own in `folder`."""
    inherited = {name: value for name, value in os.environ.items() if "BARRING_" not in name}
    return {
        **inherited,
        "BARRING_BIND": "127.0.0.1:0",
        "BARRING_DATABASE_URL": f"sqlite:///{folder / 'codes.sqlite3'}",
        **settings,
    }


@contextmanager
def running(
    folder: Path,
    *options: str,
    application: str = "wsgi:app",
    command: Sequence[str] = (),
    **settings: str,
) -> Iterator[Service]:
    """A service with its database in `folder`.

    `options` are gunicorn's. A `command` starts the service in gunicorn's stead, and away from
    the checkout, in `folder`.
    """
    log = folder / "log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            command or [sys.executable, "-m", "gunicorn", *options, application],
            cwd=folder if command else ROOT,
            env=environment(folder, **settings),
            stderr=stderr,
        )
    service = Service(process, log, folder / "codes.sqlite3")
    try:
        service.url = service.await_log(r"Listening at: (https?://[^ ]+|unix:[^ ]+)")[1]
        service.await_log("Booting worker")
        yield service
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)  # At once; what SIGTERM does has tests of its own.
        process.wait(timeout=40)
