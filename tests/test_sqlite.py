"""The SQLite engine: the storage contract, and what is its own."""

import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from barring.domain import AuthorizationCode as Code
from barring.storage import open_storage, statements
from barring.storage.base import StorageError, StorageUnavailable
from barring.storage.sqlite import schema
from barring.storage.sqlite.driver import safe_version
from barring.storage.sqlite.engine import SQLiteStorage
from tests.bulk_contract import BulkContract
from tests.engines import SQLite
from tests.service import ROOT
from tests.storage_contract import OWNER, StorageContract


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database of this test lies."""
    return tmp_path / "data" / "codes.sqlite3"


@pytest.fixture
def storage(path: Path) -> Iterator[SQLiteStorage]:
    """A prepared storage."""
    storage = SQLiteStorage(str(path))
    storage.prepare()
    yield storage
    storage.close()


class TestContract(SQLite, StorageContract):
    """The contract of an owner's codes, kept by SQLite."""


class TestBulkContract(SQLite, BulkContract):
    """The contract of many codes, kept by SQLite."""


def mode(path: Path) -> int:
    """The permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def test_files_are_their_owners_alone(path: Path, storage: SQLiteStorage) -> None:
    """The folder it makes is 0700, and the database, its WAL and its index are 0600."""
    storage.add(OWNER, [Code("01", "")])
    assert mode(path.parent) == 0o700
    assert {p.name: mode(p) for p in path.parent.iterdir()} == {
        path.name: 0o600,
        f"{path.name}-lock": 0o600,
        f"{path.name}-wal": 0o600,
        f"{path.name}-shm": 0o600,
    }


def test_loose_permissions_are_tightened(path: Path, storage: SQLiteStorage) -> None:
    """A database that others could read, after a restore say, becomes 0600 at the start."""
    path.chmod(0o644)
    storage.prepare()
    assert mode(path) == 0o600


def test_connection_is_durable_and_wipes(storage: SQLiteStorage) -> None:
    """Each connection writes through a WAL, syncs every commit and overwrites what it deletes."""
    pragmas = {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1}
    for use in ("read", "write"):
        database = storage._connections.get(use)
        for name, value in pragmas.items():
            assert database.execute(f"PRAGMA {name}").fetchone()[0] == value


def test_table_is_strict_and_clustered(storage: SQLiteStorage) -> None:
    """Rows lie ordered by owner and code, without another index beside."""
    name = "authorization_codes"
    table = (
        storage._connections.get("read")
        .execute("PRAGMA table_list(authorization_codes)")
        .fetchone()
    )
    assert tuple(table) == ("main", name, "table", 6, 1, 1)
    plan = (
        storage._connections.get("read")
        .execute(f"EXPLAIN QUERY PLAN {statements.LIST}", OWNER)
        .fetchall()
    )
    assert [row[3] for row in plan] == [
        f"SEARCH {name} USING PRIMARY KEY (tenant_id=? AND group_id=? AND user_id=?)"
    ]


def test_connections_are_kept_open_until_they_are_closed(storage: SQLiteStorage) -> None:
    """A process reads on one connection and writes on another; closed ones are opened anew."""
    storage.add(OWNER, [Code("01", "")])
    first = storage._connections.get("read")
    assert storage._connections.get("read") is first
    assert storage._connections.get("write") is not first
    storage.close()
    assert storage._connections.get("read") is not first


def test_connection_opens_after_the_fork(path: Path) -> None:
    """After prepare nothing holds the file open, so that a fork inherits no connection."""
    script = (
        "import os, sys, app; app.open_storage(sys.argv[1]).prepare()\n"
        "for fd in map('/proc/self/fd/{}'.format, os.listdir('/proc/self/fd')):\n"
        "    if os.path.exists(fd): print(os.readlink(fd))"
    )
    command = [sys.executable, "-c", script, f"sqlite:///{path}"]
    held = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT).stdout
    assert "/" in held
    assert not {str(path), f"{path}-wal", f"{path}-shm"} & set(held.splitlines())


def test_processes_start_together(path: Path) -> None:
    """Many processes that prepare one new file at once all succeed, and one migrates."""
    script = "import sys; from barring.storage import open_storage as o; o(sys.argv[1]).prepare()"
    command = [sys.executable, "-c", script, f"sqlite:///{path}"]
    started = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(12)]
    lines = [line for p in started for line in p.communicate(timeout=60)[1].splitlines()]
    assert [process.returncode for process in started] == [0] * 12
    assert ["database_created" in line for line in lines] == [True]
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT name FROM _sqlite_migrations ORDER BY id").fetchall()
    connection.close()
    steps = ("create_authorization_codes", "add_class_of_service", "create_lockouts")
    assert rows == [(step,) for step in steps]


def test_failed_migration_leaves_the_old_schema(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash inside a migration leaves the file as it was before."""

    def crash(db: object) -> None:
        raise RuntimeError("crash")

    steps = schema.migrations._migrations
    step = type(steps[0])("crash", crash)
    monkeypatch.setattr(schema.migrations, "_migrations", [*steps, step])
    with pytest.raises(RuntimeError):
        SQLiteStorage(str(path)).prepare()
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT * FROM sqlite_schema").fetchall() == []
    connection.close()


def test_foreign_database_is_refused_untouched(path: Path) -> None:
    """Another program's database stops the start and stays as it is."""
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    path.chmod(0o644)
    before = path.read_bytes()
    with pytest.raises(StorageError, match=r"codes\.sqlite3: is another program's database"):
        SQLiteStorage(str(path)).prepare()
    assert path.read_bytes() == before
    assert mode(path) == 0o644


def test_folder_is_refused_untouched(tmp_path: Path) -> None:
    """A path that names a folder stops the start, and the folder keeps its mode."""
    tmp_path.chmod(0o755)
    with pytest.raises(StorageError, match="Is a directory"):
        SQLiteStorage(str(tmp_path)).prepare()
    assert mode(tmp_path) == 0o755


def test_writer_that_stopped_holds_others_up_for_a_bounded_time(
    path: Path, storage: SQLiteStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another process sits on its turn, a write is refused after the time-out."""
    script = "import fcntl, sys; f = open(sys.argv[1], 'r+'); fcntl.lockf(f, fcntl.LOCK_EX, 1, 0)\n"
    script += "print('locked', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", script, f"{path}-lock"]
    storage.check_ready()
    monkeypatch.setattr(storage._writer, "_seconds", 0.3)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        assert other.stdout.readline() == b"locked\n"
        with pytest.raises(StorageUnavailable, match="took over"):
            storage.add(OWNER, [Code("01", "")])
        other.communicate()
    storage.add(OWNER, [Code("01", "")])


class Reluctant(ThreadPoolExecutor):
    """A thread that cannot be had at first."""

    refuses = True

    def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
        """Fail once, as where no thread can be started."""
        if self.refuses:
            self.refuses = False
            raise RuntimeError("can't start new thread")
        return super().submit(*args, **kwargs)


def test_write_that_cannot_be_handed_over_fails_and_is_not_done(path: Path) -> None:
    """Without a thread a write is an error, is not done later, and keeps no other from success."""
    storage = SQLiteStorage(str(path))
    storage.threads = Reluctant
    storage.prepare()
    with pytest.raises(RuntimeError):
        storage.add(OWNER, [Code("01", "")])
    storage.add(OWNER, [Code("02", "")])
    assert storage.list(OWNER) == [Code("02", "")]
    storage.close()


def test_later_schema_is_refused(path: Path, storage: SQLiteStorage) -> None:
    """A database of a later release stops the start, with the remedy named."""
    storage._connections.get("read").execute(
        "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES (?, ?, ?)",
        ("barring", "of_tomorrow", "2099-01-01"),
    )
    with pytest.raises(StorageError, match=r"later release \(of_tomorrow\)"):
        SQLiteStorage(str(path)).prepare()


def test_vanished_file_is_unavailable_and_not_made_anew(path: Path) -> None:
    """A thread that finds the file gone reports it; an empty database never takes its place."""
    storage = SQLiteStorage(str(path))
    storage.prepare()
    path.unlink()
    with pytest.raises(StorageUnavailable):
        storage.add(OWNER, [Code("01", "")])
    assert not path.exists()


def test_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """A path that cannot be made stops the start with a line that names it."""
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="/file: "):
        SQLiteStorage(str(tmp_path / "file" / "codes.sqlite3")).prepare()


@pytest.mark.parametrize(
    ("version", "safe"),
    [
        ((3, 51, 3), True),
        ((3, 53, 0), True),
        ((3, 51, 2), False),
        ((3, 50, 7), True),
        ((3, 50, 6), False),
        ((3, 44, 6), True),
        ((3, 44, 5), False),
        ((3, 45, 0), False),
        ((3, 40, 1), False),
    ],
)
def test_versions_with_the_wal_bug_are_known(version: tuple[int, ...], safe: bool) -> None:
    """Only versions that cannot corrupt a WAL database are taken."""
    assert safe_version(version) is safe


def test_url_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three slashes lead to the working directory, four to the root, and escapes are undone."""
    monkeypatch.chdir(tmp_path)
    paths = {
        "sqlite:///a/b.sqlite3": tmp_path / "a" / "b.sqlite3",
        "sqlite:////var/x.sqlite3": Path("/var/x.sqlite3"),
        "sqlite:///a%20b.sqlite3": tmp_path / "a b.sqlite3",
    }
    for url, path in paths.items():
        storage = open_storage(url)
        assert isinstance(storage, SQLiteStorage)
        assert storage.path == path


def test_unknown_scheme_is_refused() -> None:
    """A URL that no engine serves is refused with those that there are."""
    with pytest.raises(StorageError, match="mysql"):
        open_storage("mysql://localhost/codes")
