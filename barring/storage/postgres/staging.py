"""Staged rows in a temporary table of one connection to PostgreSQL."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from barring.storage.staging import StagedRow, Staging
from barring.storage.statements import COLUMNS, EXISTING

from .connections import LIFT_TIMEOUTS, Connection

_CREATE = "CREATE TEMPORARY TABLE staged (line bigint, LIKE authorization_codes) ON COMMIT DROP"
_COPY = f"COPY staged (line, {COLUMNS}) FROM STDIN"


class PostgresStaging(Staging):
    """A temporary table of a transaction.

    Everything is done in that one transaction, so that no other client of PgBouncer sees the table.
    """

    def __init__(self, connection: Connection) -> None:
        """`connection` is in the transaction."""
        self._connection: Connection = connection
        connection.execute(f"{LIFT_TIMEOUTS}; {_CREATE}")

    def put(self, rows: Iterable[StagedRow]) -> None:
        with self._connection.cursor() as cursor, cursor.copy(_COPY) as copy:
            for line, row in rows:
                if not any("\0" in (text or "") for text in row):  # Such a row cannot be stored.
                    copy.write_row((line, *row))

    @contextmanager
    def _transaction(self, commit: bool) -> Iterator[None]:
        with self._connection.transaction(force_rollback=not commit):
            self._connection.execute("ANALYZE staged")
            self._connection.execute("LOCK TABLE authorization_codes IN SHARE ROW EXCLUSIVE MODE")
            yield

    def _existing(self) -> Iterator[Iterable[Any]]:
        with self._connection.cursor("existing") as cursor:  # On the server: fetches in parts.
            yield from cursor.execute(EXISTING)

    def _count(self, statement: str) -> int:
        # Citus returns other row counts.
        counting = f"WITH written AS ({statement} RETURNING 1) SELECT count(*) FROM written"
        return int(self._connection.execute(counting).fetchall()[0][0])
