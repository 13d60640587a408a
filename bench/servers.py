"""The servers to measure: how their users start them, and the codes that they start with."""

import csv
import http.client
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg

from tests.postgres import free_port

ROOT = Path(__file__).parent.parent
PREFIX = Path(sys.executable).parent
PEERS = Path(__file__).with_name("peers")
PATIENCE = 60.0
"""Seconds that a server may take until its first response."""

PATH = "/api/v1/tenants/{}/groups/{}/users/{}/services/outgoing_call_barring/codes/"
CALLER = {"X-Role": "Group Admin"}

_GUNICORN = [str(PREFIX / "gunicorn"), "--bind", "127.0.0.1:{port}"]
_THREADED = [*_GUNICORN, "--workers", "2", "--threads", "8"]
_GREEN = [*_GUNICORN, "--workers", "2", "--worker-class", "gevent"]


def owner(user: int) -> tuple[str, str, str]:
    """The tenant, group and user that load.lua derives from a user's number."""
    return f"t{user // 1000}", f"g{user // 100 % 10}", f"u{user % 100}"


USER = PATH.format(*owner(0))


@dataclass(frozen=True)
class Subject:
    """A server to measure; `{port}` and `{database}` are filled in at its start."""

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    folder: Path = PEERS
    reads_only: bool = False
    level: str = "user"
    """Whose codes the requests are about: "user" or "group"."""


OURS = Subject(
    "this service",
    [str(PREFIX / "gunicorn"), "wsgi:app"],
    {
        "BARRING_BIND": "127.0.0.1:{port}",
        "BARRING_DATABASE_URL": "{url}",
        "BARRING_METRICS": "true",
    },
    ROOT,
)
FOR_GROUPS = replace(OURS, name="this service, codes of groups", level="group")
_DATABASE = {"DATABASE": "{database}"}
_PEERS_TABLE = """
    CREATE TABLE codes (
        tenant_id TEXT NOT NULL, group_id TEXT NOT NULL, user_id TEXT NOT NULL,
        code TEXT NOT NULL, description TEXT NOT NULL,
        PRIMARY KEY (tenant_id, group_id, user_id, code)
    )"""
WSGI = Subject("bare WSGI", [*_THREADED, "bare_wsgi:app"], reads_only=True)
FLASK = Subject("bare Flask", [*_THREADED, "bare_flask:app"], reads_only=True)
FALCON = Subject("Falcon + sqlite3", [*_THREADED, "falcon_sqlite:app"], _DATABASE)
FLASK_ON_GEVENT = replace(FLASK, name="bare Flask, gevent", command=[*_GREEN, "bare_flask:app"])
FALCON_ON_GEVENT = replace(
    FALCON, name="Falcon + sqlite3, gevent", command=[*_GREEN, "falcon_sqlite:app"]
)
FASTAPI = Subject(
    "FastAPI + SQLAlchemy",
    [
        *(str(PREFIX / "uvicorn"), "fastapi_sqlalchemy:app"),
        *("--port", "{port}", "--workers", "2"),
    ],
    _DATABASE,
)
NAIVE = Subject("same stack, unoptimized", [*_THREADED, "naive:app"], _DATABASE)
ON_POSTGRES = replace(OURS, name="this service, PostgreSQL")
FASTAPI_ON_POSTGRES = replace(FASTAPI, name="FastAPI + SQLAlchemy, PostgreSQL")


class Seeds:
    """Databases filled with `rows`. Each is created once, and copied for each start of a server."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def fresh(self, subject: Subject, stored: int) -> Path:
        """A new database for a subject."""
        ours = subject.command == OURS.command
        seed = self._folder / f"{'ours' if ours else 'peers'}-{stored}.sqlite3"
        if not seed.exists():
            _fill_ours(f"sqlite:///{seed}", stored) if ours else _fill_peer(seed, stored)
        copy = self._folder / f"{subject.name}-{stored}.sqlite3".replace(" ", "-")
        for suffix in ("", "-wal", "-shm", "-lock"):
            Path(f"{copy}{suffix}").unlink(missing_ok=True)
        shutil.copy(seed, copy)
        os.sync()  # Pending writes of the copy would slow down the first measurement.
        return copy


class PostgresSeeds:
    """The same on a PostgreSQL server, which can copy databases itself."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._seeds: dict[str, str] = {}
        self._copies = 0

    def fresh(self, subject: Subject, stored: int) -> str:
        """The URL of a new database for a subject."""
        if subject.name not in self._seeds:
            self._seeds[subject.name] = self._new(f"seed_{len(self._seeds)}")
            url = self._url(self._seeds[subject.name])
            fill = _fill_ours if subject.command == OURS.command else _fill_postgres_peer
            fill(url, stored)
        self._copies += 1
        return self._url(self._new(f"copy_{self._copies}", self._seeds[subject.name]))

    def _url(self, name: str) -> str:
        return urlsplit(self._server)._replace(path=f"/{name}").geturl()

    def _new(self, name: str, template: str = "template1") -> str:
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
            connection.execute("CHECKPOINT")
        return name


def rows(stored: int) -> Iterator[tuple[str, str, str, str, str]]:
    """The codes that are stored before a measurement, as load.lua expects them.

    User n has the codes n * 10 to n * 10 + 9. So has group n; there is one for every 100 users.
    """
    for code in range(stored):
        yield *owner(code // 10), f"{code:08}", f"Desk {code}"
    for code in range(stored // 100):
        tenant, group, _ = owner(code // 10 * 100)
        yield tenant, group, "", f"{code:08}", f"Desk {code}"


def _fill_ours(url: str, stored: int) -> None:
    environment = {**os.environ, "BARRING_DATABASE_URL": url}
    command = [str(PREFIX / "python"), "-m", "barring", "import", "-"]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, text=True
    ) as importing:
        if importing.stdin:
            lines = csv.writer(importing.stdin)
            lines.writerow(("tenant", "group", "user", "code", "description"))
            lines.writerows(rows(stored))
    if importing.returncode:
        raise SystemExit("bench: the import of the initial codes failed")


def _fill_peer(path: Path, stored: int) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(_PEERS_TABLE)
        connection.executemany("INSERT INTO codes VALUES (?, ?, ?, ?, ?)", rows(stored))
    connection.close()


def _fill_postgres_peer(url: str, stored: int) -> None:
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(_PEERS_TABLE)
        with cursor.copy("COPY codes FROM STDIN") as copy:
            for row in rows(stored):
                copy.write_row(row)


@dataclass
class Server:
    """A running server."""

    subject: Subject
    port: int
    process: psutil.Popen
    cold_start: float
    """Seconds from its start to its first response."""
    database: Path | str

    def warm(self) -> None:
        """Read the database file into the page cache, so that the disk is not measured."""
        if isinstance(self.database, Path):
            with self.database.open("rb") as file:
                while file.read(2**20):
                    pass

    def memory(self) -> float:
        """The memory (PSS) of all its processes in MiB; a shared page counts once."""
        held: list[int] = [p.memory_full_info().pss for p in self._processes()]
        return sum(held) / 2**20

    def peak(self) -> float:
        """The sum of the peak memory of each of its processes, in MiB."""
        return self._status("VmHWM") / 1024

    def resident(self) -> float:
        """The memory (RSS) of all its processes in MiB; a shared page counts for each process."""
        return self._status("VmRSS") / 1024

    def work(self) -> dict[int, float]:
        """The seconds of CPU time that each worker has used."""
        return {p.pid: sum(p.cpu_times()[:2]) for p in self.process.children(recursive=True)}

    def connections(self) -> int:
        """The number of sockets of its workers: the listening ones and the connections."""
        workers = self.process.children(recursive=True)
        return sum(len(worker.net_connections("tcp")) for worker in workers)

    def settle(self) -> None:
        """Wait until the server is idle, so that leftover work does not disturb the next run."""
        used = -1.0
        while used != (used := sum(self.work().values())):
            time.sleep(0.1)

    def _status(self, name: str) -> int:
        statuses = [Path(f"/proc/{p.pid}/status").read_text() for p in self._processes()]
        return sum(int(s.partition(f"{name}:")[2].split()[0]) for s in statuses)

    def _processes(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]


@contextmanager
def running(
    subject: Subject, database: Path | str, logs: Path, preload: Path | None = None
) -> Iterator[Server]:
    """Run a subject on a free port. The context begins after its first response."""
    port = free_port()
    url = database if isinstance(database, str) else f"sqlite:///{database}"
    fill = {"port": str(port), "database": str(database), "url": url}
    environment = {**os.environ, **{k: v.format(**fill) for k, v in subject.environment.items()}}
    if preload:
        environment["LD_PRELOAD"] = str(preload)
    command = [part.format(**fill) for part in subject.command]
    began = time.perf_counter()
    log = logs / f"{subject.name}.log"
    with log.open("ab") as file:
        process = psutil.Popen(
            command, cwd=subject.folder, env=environment, stdout=file, stderr=file
        )
    try:
        _wait(process, port, subject, log)
        yield Server(subject, port, process, time.perf_counter() - began, database)
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(PATIENCE)


def _wait(process: psutil.Popen, port: int, subject: Subject, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            status, _ = call(port, "GET", USER)
        except OSError:
            time.sleep(0.005)
            continue
        if status == 200:
            return
        break
    raise SystemExit(f"bench: {subject.name} did not start; see {log}")


def call(port: int, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Send a request on a new connection, and return the status and body of the response."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    headers = CALLER | ({"Content-Type": "application/json"} if body else {})
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
