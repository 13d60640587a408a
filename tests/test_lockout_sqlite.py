"""The lockouts in SQLite: their contract, and what is its own."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pysqlite3
import pytest

from barring.domain import AuthorizationCode as Code
from barring.storage.base import OutcomeUnknown, StorageUnavailable
from barring.storage.sqlite import schema
from barring.storage.sqlite.engine import SQLiteStorage
from barring.storage.time_limit import time_limit
from tests.engines import SQLite
from tests.lockout_contract import LockoutContract, failed
from tests.storage_contract import OWNER


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


class TestLockoutContract(SQLite, LockoutContract):
    """The contract of lockouts, kept by SQLite."""

    def size(self) -> int:
        """The bytes of the database, once its -wal is empty."""
        with closing(pysqlite3.connect(self.path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return self.path.stat().st_size


def test_database_without_lockouts_is_upgraded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database of a release that had no lockouts has them after the start, and its codes."""
    with monkeypatch.context() as earlier, closing(SQLiteStorage(str(path))) as storage:
        steps = schema.migrations._migrations
        earlier.setattr(schema.migrations, "_migrations", steps[:-1])
        storage.prepare()
        storage.add(OWNER, [Code("01", "")])
        with pytest.raises(StorageUnavailable, match="no such table"):
            storage.lockout(OWNER)
    with closing(SQLiteStorage(str(path))) as storage:
        storage.prepare()
        assert not storage.remove_lockout(OWNER)
        assert storage.list(OWNER) == [("01", "", "")]


def test_failure_given_up_before_it_began_is_not_stored(path: Path, storage: SQLiteStorage) -> None:
    """While another process sits on its turn, a failure is given up in time, for good."""
    script = "import fcntl, sys; f = open(sys.argv[1], 'r+'); fcntl.lockf(f, fcntl.LOCK_EX, 1, 0)\n"
    script += "print('locked', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", script, f"{path}-lock"]
    storage.check_ready()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        assert other.stdout.readline() == b"locked\n"
        for seconds in (0.01, 0.3):
            began = time.monotonic()
            with pytest.raises(StorageUnavailable) as caught, time_limit(seconds):
                storage.add_failure(OWNER, failed)
            assert seconds <= time.monotonic() - began < seconds + 0.2
            assert not isinstance(caught.value, OutcomeUnknown)
        other.communicate()
    assert len(storage.add_failure(OWNER, failed).failures) == 1


def test_failure_given_up_after_it_began_disturbs_no_other(
    path: Path, storage: SQLiteStorage
) -> None:
    """While a program holds the database's lock, its outcome is unknown; later writes succeed."""
    storage.check_ready()
    with closing(pysqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for error in (OutcomeUnknown, StorageUnavailable):
            began = time.monotonic()
            with pytest.raises(StorageUnavailable) as caught, time_limit(0.3):
                storage.add_failure(OWNER, failed)
            assert time.monotonic() - began < 0.5
            assert type(caught.value) is error
        other.execute("ROLLBACK")
    storage.add(OWNER, [Code("01", "")])
    # Who gave up remembers the failure; to store it as well would count it twice.
    assert storage.lockout(OWNER)[1].failures == ()
    assert len(storage.add_failure(OWNER, failed).failures) == 1
