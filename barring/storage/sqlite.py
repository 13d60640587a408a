"""The engine that keeps the codes in one SQLite file."""

import os
import threading
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import orjson
import pysqlite3 as sqlite3
from sqlite_utils import Database

from barring.domain import AuthorizationCode, Owner

from . import sqlite_backup, sqlite_file, sqlite_schema
from .base import (
    AlreadyExists,
    OutcomeUnknown,
    Progress,
    Row,
    Staging,
    Storage,
    StorageError,
    StorageUnavailable,
)
from .sqlite_staging import SQLiteStaging
from .sqlite_turns import Turns

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
_EXPORT = """
    SELECT tenant_id, group_id, user_id, code, description FROM authorization_codes
    ORDER BY tenant_id, group_id, user_id, code"""

_REMEDIES = {
    "SQLITE_NOTADB": "is not a SQLite database; name another file, or restore a backup",
    "SQLITE_CORRUPT": "is damaged; restore a backup",
    "SQLITE_READONLY": "cannot be written; mend its permissions or its file system",
    "SQLITE_CANTOPEN": "cannot be opened; mend the path or its permissions",
    "SQLITE_BUSY": "was locked too long by another program; try again",
    "SQLITE_FULL": "has no room left on its disk; make some",
}
_NOTHING_WRITTEN = ("SQLITE_BUSY", "SQLITE_FULL")
"""The failures of a COMMIT before its last record was in the log; SQLITE_IOERR may be its sync."""


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
        self._opened: tuple[sqlite_file.Identity, ...] = ()
        self._translated = _Translated(self.path)
        lock = self.path.with_name(f"{self.path.name}-lock")
        self._turns = Turns(lock, sqlite_file.BUSY_TIMEOUT, self._transaction)

    def __str__(self) -> str:
        return str(self.path)

    def prepare(self) -> None:
        if not safe_version(sqlite3.sqlite_version_info):
            raise StorageError(
                f"SQLite {sqlite3.sqlite_version} can corrupt a database; install 3.51.3 or later"
            )
        with _files(self.path), closing(self):
            with self._translated:
                if not os.path.lexists(self.path):
                    sqlite_file.create(self.path)
                if not os.access(self.path, os.W_OK):
                    raise StorageError(f"{self.path}: {_REMEDIES['SQLITE_READONLY']}")
                sqlite_file.check_header(self.path)
                # A connection that writes would, at its end, move a -wal into a refused file.
                mode = "ro" if os.path.exists(f"{self.path}-wal") else "rw"
                with closing(sqlite_file.connect(self.path, mode)) as database:
                    sqlite_file.check_content(database, self.path, whole=False)
                sqlite_schema.migrate(self._database())
            if self.path.stat().st_mode & 0o077:  # After a restore by hand, say.
                self.path.chmod(0o600)

    def list(self, owner: Owner) -> list[AuthorizationCode]:
        with self._translated:
            rows = self._database().conn.execute(_LIST, owner)
            return [AuthorizationCode(*row) for row in rows]

    def get(self, owner: Owner, code: str) -> AuthorizationCode | None:
        with self._translated:
            row = self._database().conn.execute(_GET, (*owner, code)).fetchone()
        return row and AuthorizationCode(*row)

    def add(self, owner: Owner, codes: Sequence[tuple[str, str]]) -> None:
        new = dict(codes)
        parameters = (*owner, orjson.dumps(new).decode())

        def insert(database: Database) -> None:
            try:
                if len(new) == len(codes):
                    database.execute(_ADD, parameters)
                    return
            except sqlite3.IntegrityError:
                pass  # Which of them exist is asked for below.
            stored = {code for (code,) in database.execute(_EXISTING, parameters)}
            raise AlreadyExists.among(codes, stored)

        self._turns.write(insert, self.on_lock_wait)

    def remove(self, owner: Owner, codes: Collection[str]) -> int:
        rows = [(*owner, code) for code in codes]
        with self._translated:
            self._database()  # Where there is none, no lock of it is made either.
        return self._turns.write(
            lambda database: int(database.conn.executemany(sqlite_schema.REMOVE, rows).rowcount),
            self.on_lock_wait,
        )

    def _try_read(self) -> None:
        with self._translated:
            self._check_in_place()
            self._database().execute("SELECT 1 FROM authorization_codes LIMIT 1").fetchone()

    def _try_write(self) -> None:
        self._turns.write(sqlite_schema.mark, lambda _: None)

    def vacuum(self) -> None:
        with self._translated:
            database = self._database()
            database.execute("VACUUM")
            busy, *_ = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise StorageUnavailable(f"{self.path}: is in use; the -wal is not emptied, try again")

    def count(self) -> int:
        with self._translated:
            sql = "SELECT count(*) FROM authorization_codes"
            return int(self._database().execute(sql).fetchone()[0])

    def export(self) -> Generator[Row, None, None]:
        with self._translated:
            yield from self._database().execute(_EXPORT)

    @contextmanager
    def staging(self) -> Iterator[Staging]:
        with self._translated:
            database = self._database()
            try:
                yield SQLiteStaging(database, self._alone)
            finally:
                self.close()  # And with it what was staged.

    def exists(self) -> bool:
        return self.path.exists()

    def keeps(self, path: Path) -> bool:
        own = self.path.resolve()
        return path.resolve() in [
            own.with_name(f"{own.name}{suffix}") for suffix in ("", "-wal", "-shm", "-lock")
        ]

    def backup(self, target: Path, progress: Progress) -> None:
        if self.keeps(target):
            raise StorageError(f"{target}: is the database itself; name another file")
        with self._translated, _files(target):
            sqlite_backup.copy_database(self._database(), target, progress)

    def restore(self, backup: Path) -> None:
        with _files(self.path):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            sqlite_backup.put_in_place(backup, self.path)

    def check(self) -> dict[str, int | str]:
        with _files(self.path), self._translated:
            sqlite_file.check_header(self.path)
            sqlite_file.check_content(self._database(), self.path, whole=True)
            return sqlite_backup.count(self._database())

    def close(self) -> None:
        # Without a connection the -wal and the -shm may go, and others come.
        self._opened = self._opened[:1]
        database = getattr(self._local, "database", None)
        if database:
            del self._local.database
            database.close()

    def _database(self) -> Database:
        """This thread's connection, opened on its first call."""
        database: Database | None = getattr(self._local, "database", None)
        if database is None:
            # Another file must not be opened: this one's -wal would be taken for its own.
            self._check_in_place()
            database = self._local.database = sqlite_file.connect(self.path)
            known = self._opened
            self._opened = known + sqlite_file.identities(self.path)[len(known) :]
        return database

    def _check_in_place(self) -> None:
        """Refuse to go on where a path has come to mean another file, or none."""
        pairs = zip(self._opened, sqlite_file.identities(self.path), strict=False)
        if any(opened and opened != present for opened, present in pairs):
            raise StorageUnavailable(f"{self.path}: was moved or replaced; restart the service")

    @contextmanager
    def _alone(self, *, keep: bool = True) -> Iterator[Database]:
        """A transaction in a turn of its own."""
        with self._turns.turn() as patience, self._transaction(patience, keep=keep) as database:
            yield database

    @contextmanager
    def _transaction(self, patience: float, *, keep: bool = True) -> Iterator[Database]:
        """A transaction that holds the write lock from its start; its end commits, or undoes.

        `patience` is how many seconds it waits for that lock.
        """
        with self._translated:
            database = self._database()
            self._check_in_place()
            database.execute(f"PRAGMA busy_timeout = {round(patience * 1000)}")
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                if keep:
                    self._commit(database)
                else:
                    database.rollback()
            except BaseException:
                database.rollback()
                raise

    def _commit(self, database: Database) -> None:
        try:
            database.execute("COMMIT")
            # Only what lies in the file that the path names may be acknowledged.
            self._check_in_place()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname in _NOTHING_WRITTEN:
                raise
            raise OutcomeUnknown(f"{self.path}: {error}") from error
        except StorageUnavailable as error:
            raise OutcomeUnknown(str(error)) from error


class _Translated(AbstractContextManager[None]):
    """Turns the driver's errors into the contract's. One serves all: a generator's costs a read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        # What only a mistake of this program brings about stays what it is.
        mistakes = sqlite3.IntegrityError, sqlite3.ProgrammingError
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, mistakes):
            name = error.sqlite_errorname
            remedy = next((text for key, text in _REMEDIES.items() if name.startswith(key)), "")
            raise StorageUnavailable(f"{self._path}: {remedy or error} ({name})") from error


@contextmanager
def _files(path: Path) -> Iterator[None]:
    """Turn the file system's errors into the contract's."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{error.filename or path}: {error.strerror}") from error
