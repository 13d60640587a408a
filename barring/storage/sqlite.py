"""The engine that keeps the codes in one SQLite file."""

import os
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import orjson
import pysqlite3 as sqlite3
from sqlite_utils import Database

from barring.domain import AuthorizationCode, Owner

from . import sqlite_schema
from .base import AlreadyExists, Storage, StorageError, StorageUnavailable

BUSY_TIMEOUT = 5.0
"""Seconds to wait for another process's lock."""

_LIST = """
    SELECT code, description FROM authorization_codes
    WHERE (tenant_id, group_id, user_id) = (?, ?, ?) ORDER BY code"""
_GET = """
    SELECT code, description FROM authorization_codes
    WHERE (tenant_id, group_id, user_id, code) = (?, ?, ?, ?)"""
# One statement, hence all or nothing; from one JSON object, twice as fast as a statement a code.
_ADD = """
    INSERT INTO authorization_codes (tenant_id, group_id, user_id, code, description)
    SELECT ?, ?, ?, key, value FROM json_each(?)"""
_EXISTING = """
    SELECT code FROM authorization_codes
    WHERE (tenant_id, group_id, user_id) = (?, ?, ?)
    AND code IN (SELECT key FROM json_each(?))"""
_REMOVE = """
    DELETE FROM authorization_codes
    WHERE (tenant_id, group_id, user_id, code) = (?, ?, ?, ?)"""


def safe_version(version: tuple[int, ...]) -> bool:
    """Whether this SQLite is free of the WAL-reset bug, which can corrupt a database.

    Source: https://sqlite.org/wal.html#walresetbug; 3.44.6 and 3.50.7 carry the backport.
    """
    return version >= (3, 51, 3) or any(
        version[:2] == backport[:2] and version >= backport for backport in [(3, 44, 6), (3, 50, 7)]
    )


class SQLiteStorage(Storage):
    """Codes in the SQLite file at `path`, one connection per thread."""

    def __init__(self, path: str) -> None:
        # Absolute, so that a later change of directory cannot mean another file.
        self.path = Path(path).absolute()
        self._local = threading.local()

    def prepare(self) -> bool:
        if not safe_version(sqlite3.sqlite_version_info):
            raise StorageError(
                f"SQLite {sqlite3.sqlite_version} can corrupt a database; install 3.51.3 or later"
            )
        try:
            created = self._create_file()
            with _translated(self.path):
                sqlite_schema.migrate(self._database(), self.path)
            return created
        except OSError as error:
            raise StorageError(f"{self.path}: {error.strerror}") from error
        finally:
            self.close()

    def list(self, owner: Owner) -> list[AuthorizationCode]:
        with _translated(self.path):
            return [AuthorizationCode(*row) for row in self._database().execute(_LIST, owner)]

    def get(self, owner: Owner, code: str) -> AuthorizationCode | None:
        with _translated(self.path):
            row = self._database().execute(_GET, (*owner, code)).fetchone()
        return row and AuthorizationCode(*row)

    def add(self, owner: Owner, codes: Sequence[tuple[str, str]]) -> None:
        new = dict(codes)
        if len(new) < len(codes):
            raise AlreadyExists.among(codes, ())
        parameters = (*owner, orjson.dumps(new).decode())
        with self._transaction() as database:
            try:
                database.execute(_ADD, parameters)
            except sqlite3.IntegrityError:
                stored = {code for (code,) in database.execute(_EXISTING, parameters)}
                raise AlreadyExists.among(codes, stored) from None

    def remove(self, owner: Owner, codes: Collection[str]) -> int:
        with self._transaction() as database:
            removed = database.conn.executemany(_REMOVE, [(*owner, code) for code in codes])
            return int(removed.rowcount)

    def vacuum(self) -> None:
        with _translated(self.path):
            database = self._database()
            database.execute("VACUUM")
            busy, *_ = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise StorageUnavailable(f"{self.path}: is in use; the -wal is not emptied, try again")

    def close(self) -> None:
        database = getattr(self._local, "database", None)
        if database:
            del self._local.database
            database.close()

    def _create_file(self) -> bool:
        """Make the file, readable by its owner alone, and tell whether it was missing."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except FileExistsError:
            if self.path.stat().st_mode & 0o077:
                self.path.chmod(0o600)
            return False
        return True

    def _database(self) -> Database:
        """This thread's connection, opened on its first call."""
        database: Database | None = getattr(self._local, "database", None)
        if database is None:
            database = self._local.database = self._connect()
        return database

    def _connect(self) -> Database:
        # mode=rw: a file that has vanished is an error, never a new and empty database.
        connection = sqlite3.connect(
            f"{self.path.as_uri()}?mode=rw", uri=True, timeout=BUSY_TIMEOUT, isolation_level=None
        )
        for pragma in ("synchronous = FULL", "fullfsync = ON", "secure_delete = ON"):
            connection.execute(f"PRAGMA {pragma}")
        return Database(connection, execute_plugins=False)

    @contextmanager
    def _transaction(self) -> Iterator[Database]:
        """A transaction that holds the write lock from its start, and commits at its end."""
        with _translated(self.path):
            database = self._database()
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.execute("COMMIT")
            except BaseException:
                database.rollback()
                raise


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn the driver's errors into the contract's."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        # What only a mistake of this program brings about stays what it is.
        if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
            raise
        raise StorageUnavailable(f"{path}: {error} ({error.sqlite_errorname})") from error
