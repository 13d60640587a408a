"""The connections of one process to a SQLite database, and what their errors mean."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pysqlite3 as sqlite3
from sqlite_utils import Database

from barring.storage.base import OutcomeUnknown, StorageUnavailable

from . import file

REMEDIES = {
    "SQLITE_NOTADB": "is not a SQLite database; name another file, or restore a backup",
    "SQLITE_CORRUPT": "is damaged; restore a backup",
    "SQLITE_READONLY": "cannot be written; mend its permissions or its file system",
    "SQLITE_CANTOPEN": "cannot be opened; mend the path or its permissions",
    "SQLITE_BUSY": "was locked too long by another program; try again",
    "SQLITE_FULL": "has no room left on its disk; make some",
}
_NOTHING_WRITTEN = ("SQLITE_BUSY", "SQLITE_FULL")
"""The failures of a COMMIT before its last record was in the log; SQLITE_IOERR may be its sync."""


class Translated(AbstractContextManager[None]):
    """Turns the driver's errors into the contract's. One serves all: a generator's costs a read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        # What only a mistake of this program brings about stays what it is.
        mistakes = sqlite3.IntegrityError, sqlite3.ProgrammingError
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, mistakes):
            name = error.sqlite_errorname
            remedy = next((text for key, text in REMEDIES.items() if name.startswith(key)), "")
            raise StorageUnavailable(f"{self._path}: {remedy or error} ({name})") from error


class Connections:
    """Connections that all lead to the file that the first of them found."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open: dict[str, Database] = {}
        self._opened: tuple[file.Identity, ...] = ()

    def get(self, use: str) -> Database:
        """The connection of this process for one use, opened when it is first asked for."""
        database = self._open.get(use)
        if database is None:
            database = self._open[use] = self._connect()
            if use == "write":
                # What does not fit is written early: a full disk refuses a list before its commit.
                database.execute("PRAGMA cache_size = -100")
        return database

    def _connect(self) -> Database:
        # Another file must not be opened: this one's -wal would be taken for its own.
        self.check_in_place()
        database = file.connect(self._path)
        known = self._opened
        self._opened = known + file.identities(self._path)[len(known) :]
        return database

    @contextmanager
    def alone(self) -> Iterator[Database]:
        """A connection for long work, which ends with it."""
        try:
            with closing(self._connect()) as database:
                yield database
        finally:
            self._forget()

    def check_in_place(self) -> None:
        """Refuse to go on where a path has come to mean another file, or none."""
        pairs = zip(self._opened, file.identities(self._path), strict=False)
        if any(opened and opened != present for opened, present in pairs):
            raise StorageUnavailable(f"{self._path}: was moved or replaced; restart the service")

    @contextmanager
    def transaction(
        self, database: Database, patience: float, *, keep: bool = True
    ) -> Iterator[None]:
        """A transaction that holds the write lock from its start; its end commits, or undoes.

        `patience` is how many seconds it waits for that lock.
        """
        self.check_in_place()
        database.execute(f"PRAGMA busy_timeout = {round(patience * 1000)}")
        database.execute("BEGIN IMMEDIATE")
        try:
            yield
            if keep:
                self._commit(database)
        finally:
            database.rollback()  # After a commit, of nothing.

    def _commit(self, database: Database) -> None:
        try:
            database.execute("COMMIT")
            # Only what lies in the file that the path names may be acknowledged.
            self.check_in_place()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname in _NOTHING_WRITTEN:
                raise
            raise OutcomeUnknown(f"{self._path}: {error}") from error
        except StorageUnavailable as error:
            raise OutcomeUnknown(str(error)) from error

    def close(self) -> None:
        """Close those that are kept open."""
        while self._open:
            self._open.popitem()[1].close()
        self._forget()

    def _forget(self) -> None:
        """Without a connection the -wal and the -shm may go, and others come."""
        if not self._open:
            self._opened = self._opened[:1]
