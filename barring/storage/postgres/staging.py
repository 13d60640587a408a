"""Rows of a file gathered in a temporary table of one connection to PostgreSQL."""

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from barring.storage.base import StagedRow, Staging

from .errors import transaction
from .pool import Connection

_CREATE = """
    CREATE TEMPORARY TABLE staged (
        line bigint, tenant_id text COLLATE "C", group_id text COLLATE "C",
        user_id text COLLATE "C", code text COLLATE "C", description text COLLATE "C"
    )"""
_REPEATED = """
    DELETE FROM staged WHERE line IN (
        SELECT line FROM (
            SELECT line, row_number() OVER (
                PARTITION BY tenant_id, group_id, user_id, code ORDER BY line
            ) AS place FROM staged
        ) AS numbered WHERE place > 1
    ) RETURNING *"""
_EXISTING = """
    SELECT staged.* FROM staged JOIN authorization_codes
    USING (tenant_id, group_id, user_id, code)"""
_REMOVE = """
    DELETE FROM authorization_codes AS kept USING staged
    WHERE (kept.tenant_id, kept.group_id, kept.user_id, kept.code)
    = (staged.tenant_id, staged.group_id, staged.user_id, staged.code)"""


class PostgresStaging(Staging):
    """A temporary table, which goes with its connection."""

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection
        self._name = name
        self._transaction = self._begin
        connection.execute(_CREATE)

    def put(self, rows: Iterable[StagedRow]) -> None:
        with self._connection.cursor() as cursor, cursor.copy("COPY staged FROM STDIN") as copy:
            for row in rows:
                if not any("\0" in text for text in row[1:]):  # Such a row cannot be stored.
                    copy.write_row(row)

    def take_repeated(self) -> Iterator[StagedRow]:
        with self._connection.cursor() as cursor:
            yield from sorted(StagedRow._make(row) for row in cursor.execute(_REPEATED))

    def _existing(self) -> Generator[Iterable[Any], None, None]:
        with self._connection.cursor("existing") as cursor:
            yield from cursor.execute(_EXISTING)

    def _add(self, statement: str) -> int:
        return self._connection.execute(statement).rowcount

    def _remove(self) -> int:
        return self._connection.execute(_REMOVE).rowcount

    @contextmanager
    def _begin(self, keep: bool) -> Iterator[None]:
        connection = self._connection
        with transaction(connection, self._name), connection.transaction(force_rollback=not keep):
            connection.execute("ANALYZE staged")
            connection.execute("LOCK TABLE authorization_codes IN SHARE ROW EXCLUSIVE MODE")
            yield
