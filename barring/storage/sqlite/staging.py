"""Rows of a file gathered in a file of SQLite's beside the codes, which has no name."""

import contextlib
import os
import tempfile
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import pysqlite3 as sqlite3
from sqlite_utils import Database

from barring.storage.base import StagedRow, Staging, Transaction

from . import schema

# Nothing in the file need outlive the process; 16 MB spare it most of its reads and writes.
_PRAGMAS = """
    PRAGMA staging.journal_mode = OFF;
    PRAGMA staging.synchronous = OFF;
    PRAGMA staging.locking_mode = EXCLUSIVE;
    PRAGMA staging.cache_size = -16000;"""
# What is read back is ordered by the keys of these tables: SQLite as it is packaged for Python
# (with SQLITE_TEMP_STORE=3) sorts in memory, and keeps its own temporary tables there.
_CREATE = """
    CREATE TABLE staging.staged (
        line INTEGER, tenant_id TEXT, group_id TEXT, user_id TEXT, code TEXT, description TEXT,
        PRIMARY KEY (tenant_id, group_id, user_id, code)
    ) WITHOUT ROWID;
    CREATE TABLE staging.repeated (
        line INTEGER PRIMARY KEY,
        tenant_id TEXT, group_id TEXT, user_id TEXT, code TEXT, description TEXT
    )"""
_PUT = "INSERT OR IGNORE INTO staging.staged VALUES (?, ?, ?, ?, ?, ?)"
_PUT_REPEATED = """
    INSERT INTO staging.repeated SELECT ?1, ?2, ?3, ?4, ?5, ?6
    FROM staging.staged WHERE (tenant_id, group_id, user_id, code) = (?2, ?3, ?4, ?5)
    AND line < ?1"""
_EXISTING = """
    SELECT staged.* FROM staging.staged CROSS JOIN authorization_codes
    USING (tenant_id, group_id, user_id, code)"""
_KEYS = "SELECT tenant_id, group_id, user_id, code FROM staging.staged"


class SQLiteStaging(Staging):
    """Tables in an attached file. It has lost its name, so that even a killed process leaves none.

    Memory stays the same however many rows there are; the disk of the codes needs room for them.
    """

    def __init__(self, database: Database, transaction: Transaction) -> None:
        """`transaction` is one on `database`."""
        self._database = database
        self._transaction = transaction
        with contextlib.suppress(sqlite3.OperationalError):
            database.execute("DETACH staging")  # An earlier one's.
        main = database.execute("PRAGMA database_list").fetchone()[2]
        descriptor, name = tempfile.mkstemp(dir=Path(main).parent)
        os.close(descriptor)
        try:
            database.execute("ATTACH ? AS staging", (name,))
        finally:
            os.unlink(name)
        database.conn.executescript(_PRAGMAS + _CREATE)

    def put(self, rows: Iterable[StagedRow]) -> None:
        rows = list(rows)
        with self._database.atomic() as database:
            if database.conn.executemany(_PUT, rows).rowcount < len(rows):
                database.conn.executemany(_PUT_REPEATED, rows)

    def take_repeated(self) -> Iterator[StagedRow]:
        rows = self._database.execute("SELECT * FROM staging.repeated ORDER BY line")
        yield from map(StagedRow._make, rows)
        self._database.execute("DELETE FROM staging.repeated")

    def _existing(self) -> Generator[Iterable[Any], None, None]:
        yield from self._database.execute(_EXISTING)

    def _add(self, statement: str) -> int:
        return int(self._database.execute(statement).rowcount)

    def _remove(self) -> int:
        keys = self._database.execute(_KEYS)
        # A statement a row: one for all would gather the keys in memory first.
        return int(self._database.conn.executemany(schema.REMOVE, keys).rowcount)
