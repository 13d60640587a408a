"""The connections of one process to an SQLite database, and what their errors mean."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

from sqlite_utils import Database

from barring import logs
from barring.storage.base import DatabaseReplaced, OutcomeUnknown, StorageUnavailable

from . import file
from .driver import sqlite3

_NOT_COMMITTED = ("SQLITE_BUSY", "SQLITE_FULL")
"""Errors of a COMMIT that changed nothing. SQLITE_IOERR is not one: it may come from the sync."""


class TranslateErrors(AbstractContextManager[None]):
    """Raises the driver's errors as StorageUnavailable.

    Errors that only a bug of this program causes are not translated. This is a class because a
    generator would make each read slower.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        mistakes = sqlite3.IntegrityError, sqlite3.ProgrammingError
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, mistakes):
            name = error.sqlite_errorname
            remedy = next((text for key, text in file.REMEDIES.items() if name.startswith(key)), "")
            raise StorageUnavailable(f"{self._path}: {remedy or error} ({name})") from error


class Connections:
    """The connections of one process to a database: those kept open, and dedicated ones.

    A new connection is refused if the path no longer leads to the files that the first one opened.
    """

    def __init__(self, path: Path) -> None:
        self.translate_errors = TranslateErrors(path)
        self._path = path
        self._checked = 0.0
        self._open: dict[str, Database] = {}
        self._files: dict[str, tuple[int, int]] = {}

    def get(self, use: str) -> Database:
        """The connection kept open for "read" or "write", opened on first use."""
        if time.monotonic() > self._checked + 0.5:  # Not at each read: it takes 5 µs.
            self.check_same_files()
        if use not in self._open:
            self._open[use] = self._connect()
            if use == "write":
                # With a small cache, SQLite writes a long list before the COMMIT. A full disk is
                # then an error of a statement, after which it is certain that nothing was changed.
                self._open[use].execute("PRAGMA cache_size = -100")
        return self._open[use]

    def _connect(self) -> Database:
        # Never open a file that has replaced the database: SQLite would apply the old -wal to it.
        self.check_same_files()
        database = file.connect(self._path)
        self._files = file.identities(self._path) | self._files
        return database

    @contextmanager
    def dedicated(self) -> Iterator[Database]:
        """A connection for one long task."""
        try:
            with self.translate_errors, closing(self._connect()) as database:
                yield database
        finally:
            self._forget_files()

    def check_same_files(self) -> None:
        """Raise DatabaseReplaced if the database file was moved, replaced or removed."""
        if not self._files.items() <= file.identities(self._path).items():
            raise DatabaseReplaced(f"{self._path}{DatabaseReplaced.hint}")
        self._checked = time.monotonic()

    @contextmanager
    def transaction(
        self, patience: float, database: Database | None = None, *, commit: bool = True
    ) -> Iterator[Database]:
        """A transaction that holds SQLite's write lock, by default on the "write" connection.

        `patience` is how many seconds to wait for that lock. The end commits, or rolls back.
        """
        with self.translate_errors:
            database = database or self.get("write")
            self.check_same_files()
            database.execute(f"PRAGMA busy_timeout = {round(patience * 1000)}")
            database.execute("BEGIN IMMEDIATE")
            try:
                log_size = file.log_size(self._path)
                yield database
                if commit:
                    self._commit(database)
                    self._report_log(log_size)
            finally:
                database.rollback()  # Does nothing after a commit.

    def _commit(self, database: Database) -> None:
        try:
            database.execute("COMMIT")
            # Acknowledge only what is in the file that the path names.
            self.check_same_files()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname in _NOT_COMMITTED:
                raise
            raise OutcomeUnknown(f"{self._path}: {error}") from error
        except StorageUnavailable as error:
            raise OutcomeUnknown(str(error)) from error
        except (KeyboardInterrupt, SystemExit):
            raise OutcomeUnknown(f"{self._path}: interrupted") from None

    def _report_log(self, size_before: int) -> None:
        """If a commit made the write-ahead log long, log who keeps SQLite from emptying it."""
        is_long = size_before <= file.LONG_LOG < file.log_size(self._path)
        if is_long and (reader := file.oldest_reader(self._path)):
            logs.emit("warning", message=f"{self._path}-wal: grows until {reader} ends its read")

    def close(self) -> None:
        """Close the connections kept open."""
        while self._open:
            self._open.popitem()[1].close()
        self._forget_files()

    def _forget_files(self) -> None:
        """SQLite removes the -wal and the -shm with the last connection, so expect new ones."""
        if not self._open:
            self._files = {name: found for name, found in self._files.items() if not name}
