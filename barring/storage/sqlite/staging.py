"""Staged rows in an unnamed SQLite file, attached to the connection to the codes."""

import tempfile
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path

from sqlite_utils import Database

from barring.storage.staging import StagedRow, Staging
from barring.storage.statements import COLUMNS, KEY

from .writer import Writer

# A file, since temporary tables and sorting take memory in SQLite as it is packaged for Python
# (SQLITE_TEMP_STORE=3). It need not survive a crash; 16 MB of cache avoid most reads and writes.
_CREATE = f"""
    PRAGMA staging.journal_mode = OFF;
    PRAGMA staging.synchronous = OFF;
    PRAGMA staging.locking_mode = EXCLUSIVE;
    PRAGMA staging.cache_size = -16000;
    CREATE TABLE staging.staged (line, {COLUMNS}, PRIMARY KEY ({KEY}, line)) WITHOUT ROWID"""
_PUT = f"INSERT INTO staged VALUES ({', '.join('?' * (1 + len(COLUMNS.split(','))))})"

_REMOVE = f"DELETE FROM authorization_codes WHERE ({KEY}) = (?, ?, ?, ?)"


class SQLiteStaging(Staging):
    """A table in an attached file whose name is removed, so that a killed process leaves no file.

    It takes little memory for any number of rows, but space on the disk of the database.
    """

    def __init__(self, database: Database, writer: Writer) -> None:
        """`database` is a dedicated connection."""
        self._connection: Database = database
        self._writer = writer
        folder = Path(database.execute("PRAGMA database_list").fetchone()[2]).parent
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            database.execute("ATTACH ? AS staging", (file.name,))
        database.conn.executescript(_CREATE)

    def put(self, rows: Iterable[StagedRow]) -> None:
        with self._connection.atomic():
            self._connection.conn.executemany(_PUT, ((line, *row) for line, row in rows))

    def _transaction(self, commit: bool) -> AbstractContextManager[None]:
        return self._writer.exclusive(self._connection, commit=commit)

    def _count(self, statement: str) -> int:
        return int(self._connection.execute(statement).rowcount)

    def _remove(self) -> int:
        # A statement for each row: one for all would gather the keys in memory first.
        keys = self._connection.execute(f"SELECT {KEY} FROM staged")
        return int(self._connection.conn.executemany(_REMOVE, keys).rowcount)
