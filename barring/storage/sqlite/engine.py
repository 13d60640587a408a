"""The engine that stores the codes in one SQLite file."""

import os
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson
from sqlite_utils import Database

from barring.domain import AuthorizationCode, Owner
from barring.files import replacing
from barring.pauses import PART
from barring.storage.base import NO_DATABASE, AlreadyExists, Storage, StorageError, read_codes
from barring.storage.statements import COLUMNS, LIST, OWNER, READ, REMOVE_ALL_EXPIRED

from . import file, restore, schema
from .connections import Connections
from .driver import safe_version, sqlite3
from .staging import SQLiteStaging
from .writer import Writer

_MORE = len(AuthorizationCode._fields[2:])
_VALUES = ", ".join(f"value ->> {place}" for place in range(1 + _MORE))
# One statement for all codes, from two JSON objects: three times as fast as a statement for each.
# Most codes have a description alone, and for them a plain value is twice as fast as an array.
_ADD = f"""
    INSERT INTO authorization_codes ({COLUMNS})
    SELECT ?1, ?2, ?3, key, value{", NULL" * _MORE} FROM json_each(?4)
    UNION ALL SELECT ?1, ?2, ?3, key, {_VALUES} FROM json_each(?5)"""
_EXISTING = f"""
    SELECT code FROM authorization_codes WHERE ({OWNER}) = (?1, ?2, ?3) AND code IN
    (SELECT key FROM json_each(?4) UNION ALL SELECT key FROM json_each(?5))"""
_REMOVE = f"""
    DELETE FROM authorization_codes
    WHERE ({OWNER}) = (?, ?, ?) AND code IN (SELECT value FROM json_each(?)) RETURNING {READ}"""

MAX_LONG_LISTS = 8
"""How many long lists are read at once, each on a connection of its own."""


class SQLiteStorage(Storage):
    """Codes in the SQLite file at `path`: one connection to read on, and one that writes."""

    _NOW = "unixepoch()"

    def __init__(self, path: str) -> None:
        # Absolute, so that a later change of directory cannot mean another file; and without links,
        # because SQLite writes its -wal beside the file itself.
        self.path = Path(path).resolve()
        self._name = str(self.path)
        self._connections = Connections(self.path)
        self._long_lists = threading.BoundedSemaphore(MAX_LONG_LISTS)
        # Reads share a connection: one that began during another would see the other's snapshot.
        self._reading = threading.Lock()

    def prepare(self, *, create: bool = True) -> None:
        if not safe_version(sqlite3.sqlite_version_info):
            raise StorageError(
                f"SQLite {sqlite3.sqlite_version} can corrupt a database; install pysqlite3 with "
                "SQLite 3.51.3 or later, as docs/operate.md says under Processors"
            )
        with _os_errors(self.path), self._connections.translate_errors:
            if not os.path.lexists(self.path):
                if not create:
                    raise StorageError(f"{self.path}: {NO_DATABASE}")
                file.create(self.path)
            writable = os.access(self.path, os.W_OK)
            if create and not writable:
                raise StorageError(f"{self.path}: {file.REMEDIES['SQLITE_READONLY']}")
            file.check_header(self.path)
            # Closing a connection that can write would move the -wal into the file, even if the
            # file is then refused.
            mode = "ro" if os.path.exists(f"{self.path}-wal") else "rw"
            with closing(file.connect(self.path, mode)) as database:
                file.check_content(database, self.path, whole=False)
                if not writable and schema.migrations.pending(database):
                    raise StorageError(f"{self.path}: {schema.EARLIER}")
            if writable:
                with self._dedicated() as database:
                    schema.migrate(database)
            if create:
                file.protect(self.path)

    def list(self, owner: Owner) -> list[AuthorizationCode]:
        with self._connection() as connection:
            rows = connection.execute(LIST, owner).fetchmany(PART + 1)
        if len(rows) <= PART:
            return [AuthorizationCode(*row) for row in rows]
        # Read with pauses, but from one snapshot, and so on a connection of its own.
        with self._long_lists, self._dedicated() as database:
            return read_codes(database.conn.execute(LIST, owner))

    def add(self, owner: Owner, codes: Sequence[AuthorizationCode]) -> None:
        full = {new.code: new[1:] for new in codes if any(new[2:])}
        plain = {new.code: new.description for new in codes if new.code not in full}
        parameters = (*owner, orjson.dumps(plain).decode(), orjson.dumps(full).decode())

        def insert(database: Database) -> None:
            try:
                if len(plain | full) == len(codes):
                    database.execute(_ADD, parameters)
                    return
            except sqlite3.IntegrityError:
                pass  # The query below finds which of them exist.
            stored = {code for (code,) in database.execute(_EXISTING, parameters)}
            raise AlreadyExists(codes, stored)

        self._write(owner, insert)

    def remove(self, owner: Owner, codes: Collection[str]) -> Sequence[AuthorizationCode]:
        parameters = (*owner, orjson.dumps([*codes]).decode())
        rows = self._write(owner, lambda database: [*database.execute(_REMOVE, parameters)])
        return [AuthorizationCode(*row) for row in rows]

    def _check_write(self) -> None:
        self._writer.write(schema.set_application_id, self.on_lock_wait)

    def log_size(self) -> int:
        return file.log_size(self.path)

    def vacuum(self) -> None:
        with self._dedicated() as database:
            database.execute(REMOVE_ALL_EXPIRED.format(now=self._NOW))
            database.execute("VACUUM")
            busy, *_ = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise StorageError(f"{self.path}: is in use; its -wal was not emptied; try again")

    @contextmanager
    def staging(self) -> Iterator[SQLiteStaging]:
        with self._dedicated() as database:
            yield SQLiteStaging(database, self._writer)

    def owns(self, path: Path) -> bool:
        suffix = str(path.resolve()).removeprefix(str(self.path.resolve()))
        return suffix in ("", "-wal", "-shm", "-lock")

    def backup(self, target: Path) -> None:
        if self.owns(target):
            raise StorageError(f"{target}: is the database itself; name another file")
        with _os_errors(target), replacing(target) as partial, self._dedicated() as database:
            database.execute("VACUUM INTO ?", (str(partial),))

    def restore(self, source: Path, *, force: bool) -> None:
        if self.path.exists() and not force:
            raise StorageError("the database exists already; to replace it, add --force")
        with _os_errors(self.path):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            restore.put_in_place(source, self.path)

    def check(self) -> dict[str, int]:
        with _os_errors(self.path), self._dedicated() as database:
            file.check_content(database, self.path, whole=True)
        return super().check()

    def _write(self, owner: Owner, operation: Callable[[Any], Any]) -> Any:
        return self._writer.write(operation, self.on_lock_wait)

    @contextmanager
    def _connection(self, tenant: str = "") -> Iterator[sqlite3.Connection]:
        """The connection to read on, which one thread at a time may use."""
        with self._connections.translate_errors, self._reading:
            yield self._connections.get("read").conn

    def _dedicated(self) -> AbstractContextManager[Database]:
        return self._connections.dedicated()

    def close(self) -> None:
        self._connections.close()

    @cached_property
    def _writer(self) -> Writer:
        return Writer(self.path, self._connections, self.threads(1))


@contextmanager
def _os_errors(path: Path) -> Iterator[None]:
    """Raise errors of the file system as StorageError."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{error.filename or path}: {error.strerror}") from error
