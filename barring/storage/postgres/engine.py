"""The engine that stores the codes in a PostgreSQL database, which many machines may share."""

import time
import zlib
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import contextmanager

from psycopg.sql import SQL

from barring.domain import AuthorizationCode, Owner
from barring.storage import statements
from barring.storage.base import AlreadyExists, Result, Storage, StorageUnavailable
from barring.storage.staging import Row
from barring.storage.time_limit import seconds_left

from . import connections, schema
from .connections import Connection, transaction, translate_errors
from .places import CHECKOUT_SECONDS, Places
from .staging import PostgresStaging

_FIELDS = AuthorizationCode._fields
_ARRAYS = ", ".join("?::text[]" for _ in _FIELDS)
_ADD = f"""
    INSERT INTO authorization_codes ({statements.COLUMNS}) {{}}
    ON CONFLICT DO NOTHING RETURNING code"""
_ADD_ONE = _ADD.format(f"VALUES (?, ?, ?{', ?' * len(_FIELDS)})")
"""Takes half the time of _ADD_ALL for one code."""
_ADD_ALL = _ADD.format(f"SELECT ?, ?, ?, * FROM unnest({_ARRAYS})")
_REMOVE = f"""
    DELETE FROM authorization_codes
    WHERE ({statements.OWNER}) = (?, ?, ?) AND code = ANY(?) RETURNING {statements.READ}"""
_MARK = SQL("""
    INSERT INTO barring_tenant_marks (tenant_id, slot) VALUES ({}, {})
    ON CONFLICT (tenant_id, slot) DO UPDATE SET slot = excluded.slot""")
_SLOTS = 128
"""The number of rows of barring_tenant_marks for each tenant."""
# Writes to the WAL of this node, but to no table: in Citus, a table may be on another node.
_TEST_WRITE = """
    DELETE FROM authorization_codes WHERE false;
    SELECT pg_logical_emit_message(true, 'barring', '')"""
_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
MAX_WAITING = 128
"""As many commits that wait for a standby stop all further writes."""


class PostgresStorage(Storage):
    """Codes in the database at a postgresql:// URL; a pool of connections for each process."""

    _NOW = "CAST(extract(epoch FROM statement_timestamp()) AS bigint)"
    # Citus has this table on every node.
    _ANY_ROW = "SELECT 1 FROM barring_migrations LIMIT 1"
    _SKIP_LOCKED = "FOR UPDATE SKIP LOCKED"

    def __init__(self, url: str) -> None:
        self._name, self._conninfo = connections.parameters(url)
        self._places = Places(self._name)
        self._pool = connections.Pool(self._conninfo)

    def prepare(self, *, create: bool = True) -> None:
        with self._dedicated() as connection:
            schema.migrate(connection, self._name, create)

    def add(self, owner: Owner, codes: Sequence[AuthorizationCode]) -> None:
        columns = [[code[place] for code in codes] for place in range(len(_FIELDS))]

        def insert(connection: Connection) -> list[str]:
            statement, new = (_ADD_ONE, codes[0]) if len(codes) == 1 else (_ADD_ALL, columns)
            added = [code for (code,) in connection.execute(statement, (*owner, *new))]
            if len(added) < len(codes):
                connection.execute(_REMOVE, (*owner, added))
            return added

        added = self._write(owner, insert)
        if len(added) < len(codes):
            raise AlreadyExists(codes, {code for code, *_ in codes}.difference(added))

    def remove(self, owner: Owner, codes: Collection[str]) -> Sequence[AuthorizationCode]:
        parameters = (*owner, [code for code in codes if "\0" not in code])
        rows = self._write(owner, lambda connection: [*connection.execute(_REMOVE, parameters)])
        return [AuthorizationCode(*row) for row in rows]

    def _check_write(self) -> None:
        with self._connection() as connection, transaction(connection, self._name, _TEST_WRITE):
            pass

    def vacuum(self) -> None:
        with self._dedicated() as connection:
            with transaction(connection, self._name, connections.LIFT_TIMEOUTS):
                connection.execute(statements.REMOVE_ALL_EXPIRED.format(now=self._NOW))
                connection.execute("DELETE FROM barring_tenant_marks")
            connection.execute("VACUUM FULL authorization_codes")
            if connection.warned:  # VACUUM skips a table that belongs to another role.
                raise StorageUnavailable(f"{self}: only the owner of the table can vacuum it")

    def export(self) -> Generator[Row, None, None]:
        with (
            self._dedicated() as connection,
            connection.transaction(),
            connection.cursor("export") as cursor,
        ):
            connection.execute(connections.LIFT_TIMEOUTS)
            cursor.itersize = 10_000
            yield from cursor.execute(statements.EXPORT)

    @contextmanager
    def staging(self) -> Iterator[PostgresStaging]:
        with self._dedicated() as connection, transaction(connection, self._name):
            yield PostgresStaging(connection)

    def close(self) -> None:
        self._pool.close(timeout=1)

    def _write(self, owner: Owner, operation: Callable[[Connection], Result]) -> Result:
        """Call an operation on codes of an owner in a transaction, and return its result.

        Each write first locks and updates one of the tenant's 128 rows of barring_tenant_marks,
        chosen by a hash of the owner. Therefore
        - writes of an owner wait for each other, so that nobody adds a code of a list while the
          list is removed (test_codes_are_removed_at_one_moment);
        - a write that finds nothing to change also waits for the standby, which may lack what it
          found (test_retry_waits_for_the_standby_too).
        """
        asked = time.monotonic()
        limit = seconds_left(CHECKOUT_SECONDS)
        slot = zlib.crc32("/".join(owner).encode()) % _SLOTS
        mark = _MARK.format(owner.tenant, slot).as_string()
        place = self._connection(owner.tenant, writes=True)
        with place as connection, transaction(connection, self._name, mark):
            waited = time.monotonic() - asked
            self.on_lock_wait(waited)
            # The next statement may wait just as long for a lock on the table
            # (test_locked_table_and_used_up_pool_are_told_in_time).
            if waited > limit:
                raise StorageUnavailable(f"{self}: other writes took over {limit:.1g} seconds")
            self._limit_waiting(connection)
            return operation(connection)

    def _limit_waiting(self, connection: Connection) -> None:
        """Raise StorageUnavailable if too many commits wait for a standby that hangs.

        PostgreSQL keeps the connections of commits that were given up
        (test_waiting_commits_are_limited).
        """
        if time.monotonic() < self._pool.last_loss + 60:
            waiting = connection.execute(_WAITING).fetchall()[0][0]
            if waiting >= MAX_WAITING:
                raise StorageUnavailable(f"{self}: {waiting} writes wait for a standby")

    @contextmanager
    def _connection(self, tenant: str = "", *, writes: bool = False) -> Iterator[Connection]:
        """A connection of the pool. Raises StorageUnavailable if none is free in time."""
        with translate_errors(self._name), self._places.take(tenant, writes=writes):
            self._pool.open()  # On first use, since its threads do not survive a fork.
            with self._pool.connection() as connection:
                yield connection

    @contextmanager
    def _dedicated(self) -> Iterator[Connection]:
        with translate_errors(self._name), connections.connect(self._conninfo) as connection:
            yield connection
