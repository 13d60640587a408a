"""Rows of a file gathered in a temporary table of SQLite, beside the codes."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager

from sqlite_utils import Database

from .base import Existing, StagedRow, Staging

_CREATE = """
    CREATE TABLE temp.staged (
        line INTEGER PRIMARY KEY,
        tenant_id TEXT, group_id TEXT, user_id TEXT, code TEXT, description TEXT
    )"""
_INDEX = "CREATE INDEX temp.staged_key ON staged (tenant_id, group_id, user_id, code, line)"
_REPEATED = """
    SELECT line FROM (
        SELECT line, row_number() OVER (
            PARTITION BY tenant_id, group_id, user_id, code ORDER BY line
        ) AS turn FROM temp.staged
    ) WHERE turn > 1"""
_EXISTING = """
    SELECT staged.* FROM temp.staged AS staged
    JOIN authorization_codes USING (tenant_id, group_id, user_id, code) ORDER BY line"""
_ADD = """
    INSERT INTO authorization_codes (tenant_id, group_id, user_id, code, description)
    SELECT tenant_id, group_id, user_id, code, description FROM temp.staged
    WHERE true ORDER BY tenant_id, group_id, user_id, code
    ON CONFLICT (tenant_id, group_id, user_id, code) """
_REMOVE = """
    DELETE FROM authorization_codes WHERE (tenant_id, group_id, user_id, code) IN (
        SELECT tenant_id, group_id, user_id, code FROM temp.staged)"""


class SQLiteStaging(Staging):
    """A temporary table: in memory while it is small, else in a file that nobody else can open."""

    def __init__(
        self, database: Database, transaction: Callable[..., AbstractContextManager[Database]]
    ) -> None:
        """`transaction` begins a write of the storage whose connection `database` is."""
        self._database = database
        self._transaction = transaction
        database.execute("PRAGMA temp_store = FILE")
        database.execute(_CREATE)

    def put(self, rows: Iterable[StagedRow]) -> None:
        self._database.execute("BEGIN")
        self._database.conn.executemany("INSERT INTO temp.staged VALUES (?, ?, ?, ?, ?, ?)", rows)
        self._database.execute("COMMIT")

    def take_repeated(self) -> Iterator[StagedRow]:
        self._database.execute(_INDEX)
        self._database.execute(f"CREATE TABLE temp.repeated AS {_REPEATED}")
        rows = "SELECT * FROM temp.staged WHERE line IN (SELECT line FROM temp.repeated)"
        yield from map(StagedRow._make, self._database.execute(f"{rows} ORDER BY line"))
        self._database.execute(
            "DELETE FROM temp.staged WHERE line IN (SELECT line FROM temp.repeated)"
        )
        self._database.execute("DROP TABLE temp.repeated")

    def add(
        self,
        existing: Existing,
        report: Callable[[StagedRow], object],
        *,
        keep_going: bool,
        dry_run: bool = False,
    ) -> int:
        with self._transaction(keep=not dry_run) as database:
            if existing == "fail":
                found = False
                for row in database.execute(_EXISTING):
                    report(StagedRow._make(row))
                    found = True
                if found and not keep_going:
                    return 0
            conflict = "DO UPDATE SET description = excluded.description"
            action = conflict if existing == "replace" else "DO NOTHING"
            return int(database.execute(_ADD + action).rowcount)

    def remove(self, *, dry_run: bool = False) -> int:
        with self._transaction(keep=not dry_run) as database:
            return int(database.execute(_REMOVE).rowcount)
