"""The engine that keeps the codes in a PostgreSQL database, which many machines may share."""

import random
import threading
import time
import weakref
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NoReturn

import psycopg
from psycopg_pool import ConnectionPool

from barring.domain import AuthorizationCode, Owner
from barring.storage import statements
from barring.storage.base import (
    AlreadyExists,
    OutcomeUnknown,
    Progress,
    Row,
    Staging,
    Storage,
    StorageError,
    StorageUnavailable,
    read_codes,
)

from . import pool, schema
from .errors import UNDONE, translated
from .pool import ANSWER_SECONDS, CHECKOUT_SECONDS, CONNECTIONS, Connection
from .staging import PostgresStaging

_LIST = """
    SELECT code, description FROM authorization_codes
    WHERE tenant_id = %s AND group_id = %s AND user_id = %s ORDER BY code"""
_GET = """
    SELECT code, description FROM authorization_codes
    WHERE tenant_id = %s AND group_id = %s AND user_id = %s AND code = %s"""
# One statement, hence all or nothing.
_ADD = """
    INSERT INTO authorization_codes (tenant_id, group_id, user_id, code, description)
    SELECT %s, %s, %s, * FROM unnest(%s::text[], %s::text[])"""
# Until its transaction ends nobody else can add what it adds.
_CLAIM = """
    INSERT INTO authorization_codes (tenant_id, group_id, user_id, code, description)
    SELECT %s, %s, %s, *, '' FROM unnest(%s::text[])
    ON CONFLICT (tenant_id, group_id, user_id, code) DO NOTHING"""
_EXISTING = """
    SELECT code FROM authorization_codes
    WHERE tenant_id = %s AND group_id = %s AND user_id = %s AND code = ANY(%s)"""
_REMOVE = """
    DELETE FROM authorization_codes
    WHERE tenant_id = %s AND group_id = %s AND user_id = %s AND code = ANY(%s)"""
# What it needs, rights and locks, is what additions and removals need.
_MOVE_NOTHING = """
    WITH gone AS (DELETE FROM authorization_codes WHERE false RETURNING *)
    INSERT INTO authorization_codes SELECT * FROM gone"""
# A write without a meaning, spread over rows lest its writers wait for each other.
_MARK = """
    INSERT INTO barring_marks VALUES (%s)
    ON CONFLICT (slot) DO UPDATE SET slot = excluded.slot"""
_SLOTS = 64
_WAITING = """
    SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'
    AND usename = current_user AND clock_timestamp() > query_start + %s * interval '1 second'"""

_ATTEMPTS = 5


class PostgresStorage(Storage):
    """Codes in the database at a postgresql:// URL; a pool of connections for each process."""

    def __init__(self, url: str) -> None:
        try:
            self._name, self._conninfo = pool.parameters(url)
        except psycopg.ProgrammingError:  # Its text may quote a password.
            raise StorageError("the postgresql:// URL is none that PostgreSQL knows") from None
        if "@" in self._name:
            raise StorageError("the postgresql:// URL: write %40 for an @ in a password")
        # A part of the connections is for reads alone, whatever writes have to wait for.
        self._writers = threading.BoundedSemaphore(CONNECTIONS * 3 // 4)
        self._unanswered = False
        self._opening = threading.Lock()
        self._pool: ConnectionPool[Connection] | None = None

    def __str__(self) -> str:
        return self._name

    def prepare(self) -> None:
        with self._alone() as connection:
            schema.migrate(connection, self._name)

    def list(self, owner: Owner) -> list[AuthorizationCode]:
        with self._connection() as connection:
            return read_codes(connection.execute(_LIST, owner))

    def get(self, owner: Owner, code: str) -> AuthorizationCode | None:
        if "\0" in code:
            return None  # No text of PostgreSQL's holds it.
        with self._connection() as connection:
            row = connection.execute(_GET, (*owner, code)).fetchone()
        return AuthorizationCode(*row) if row else None

    def add(self, owner: Owner, codes: Sequence[tuple[str, str]]) -> None:
        # Sorted: who adds the same codes at once locks them in the same order.
        names, descriptions = map(list, zip(*sorted(codes), strict=True)) if codes else ([], [])
        for _ in range(_ATTEMPTS):
            try:
                if len({*names}) == len(names):
                    self._write(_ADD, (*owner, names, descriptions))
                    return
            except psycopg.errors.UniqueViolation:
                pass  # Which of them exist is asked for below.
            with self._connection() as connection:
                stored = {code for (code,) in connection.execute(_EXISTING, (*owner, names))}
            error = AlreadyExists.among(codes, stored)
            if error.positions:  # Otherwise another has removed what was in the way.
                self._mark()
                raise error
        raise StorageUnavailable(f"{self}: others add and remove the same codes all the time")

    def remove(self, owner: Owner, codes: Collection[str]) -> int:
        names = sorted({code for code in codes if "\0" not in code})
        count = self._commit(lambda connection: _remove(connection, owner, names))
        if not count:
            self._mark()
        return count

    def _try_read(self) -> None:
        with self._connection() as connection:
            connection.execute(statements.READ_A_LITTLE).fetchone()

    def _try_write(self) -> None:
        self._write(_MOVE_NOTHING, ())
        self._mark()

    def vacuum(self) -> None:
        with self._alone() as connection:
            connection.execute("VACUUM FULL authorization_codes")
            if connection.warned:  # It passes over what is another role's.
                raise StorageError(f"{self}: VACUUM is for the owner of authorization_codes")

    def count(self) -> int:
        return int(self._counts()[0])

    def export(self) -> Generator[Row, None, None]:
        with (
            self._alone() as connection,
            connection.transaction(),
            connection.cursor("export") as cursor,
        ):
            cursor.itersize = 10_000
            yield from cursor.execute(statements.EXPORT)

    @contextmanager
    def staging(self) -> Iterator[Staging]:
        with self._alone(writes=True) as connection:
            yield PostgresStaging(connection)

    def exists(self) -> bool:
        with self._alone() as connection:
            return schema.exists(connection)

    def backup(self, target: Path, progress: Progress) -> NoReturn:
        raise StorageError(f"{self}: is backed up by PostgreSQL's own tools, pg_dump say")

    def restore(self, source: Path) -> NoReturn:
        raise StorageError(f"{self}: is restored by PostgreSQL's own tools, pg_restore say")

    def check(self) -> dict[str, int | str]:
        codes, users, tenants = self._counts()
        with self._alone() as connection:
            step = (schema.applied(connection) or ["none"])[-1]
        return {"codes": codes, "users": users, "tenants": tenants, "schema": step}

    def close(self) -> None:
        """Nothing: outside of a call, no thread has a connection of its own."""

    def _counts(self) -> tuple[int, ...]:
        with self._alone() as connection:
            return connection.execute(statements.COUNTS).fetchone() or (0, 0, 0)

    def _mark(self) -> None:
        """Write all the same where nothing was left to change.

        What was found may be on no standby yet, its own writer told of an unknown outcome. This
        commit is answered only when the standby has it, and with it all that came before.
        """
        self._write(_MARK, (random.randrange(_SLOTS),))  # noqa: S311

    def _write(self, statement: str, parameters: Sequence[Any]) -> int:
        """Run one statement, which commits itself, and return how many rows it changed."""
        return self._commit(lambda connection: connection.execute(statement, parameters).rowcount)

    def _commit(self, work: Callable[[Connection], int]) -> int:
        """Do work that commits itself, anew where the database undid it, and return its count."""
        asked = time.perf_counter()
        if not self._writers.acquire(timeout=CHECKOUT_SECONDS):
            raise StorageUnavailable(f"{self}: other writes took over {CHECKOUT_SECONDS} seconds")
        try:
            for attempt in range(_ATTEMPTS):
                with self._connection(writes=True) as connection:
                    if not attempt:
                        self.on_lock_wait(time.perf_counter() - asked)
                    self._refuse_unanswered(connection)
                    try:
                        with connection.committing():
                            return work(connection)
                    except UNDONE:
                        continue
        except OutcomeUnknown:
            self._unanswered = True
            raise
        finally:
            self._writers.release()
        raise StorageUnavailable(f"{self}: other writes were in the way {_ATTEMPTS} times")

    def _refuse_unanswered(self, connection: Connection) -> None:
        """Begin no write while earlier ones wait for a standby that hangs: it would only join them.

        PostgreSQL keeps waiting, and the connection, when nobody waits for the answer any more.
        """
        if self._unanswered:
            (waiting,) = connection.execute(_WAITING, (ANSWER_SECONDS / 2,)).fetchone() or (0,)
            if waiting:
                raise StorageUnavailable(f"{self}: {waiting} writes wait for a standby")
            self._unanswered = False

    @contextmanager
    def _connection(self, *, writes: bool = False) -> Iterator[Connection]:
        """A connection of the pool. Raises StorageUnavailable where none can be had in time."""
        opened = self._opened()
        with translated(self._name):
            connection = pool.take(opened)
        try:
            with translated(self._name, writes=writes):
                yield connection
        finally:
            pool.give_back(opened, connection)

    @contextmanager
    def _alone(self, *, writes: bool = False) -> Iterator[Connection]:
        """A connection outside of the pool, for work that may take long."""
        with translated(self._name):
            connection = pool.connect(self._conninfo)
        with closing(connection), translated(self._name, writes=writes):
            yield connection

    def _opened(self) -> ConnectionPool[Connection]:
        """The pool, opened on its first use: threads and connections do not survive a fork."""
        with self._opening:
            if self._pool is None:
                self._pool = pool.open_pool(self._conninfo)
                weakref.finalize(self, pool.close, self._pool)
        return self._pool


def _remove(connection: Connection, owner: Owner, names: Sequence[str]) -> int:
    """Remove codes at one moment, and return how many existed.

    A statement removes what it saw when it began. Of several codes one could be added while it
    waits for another, be read beside that one, and stay. Hence nobody may add any until the end.
    """
    if len(names) == 1:
        return connection.execute(_REMOVE, (*owner, names)).rowcount
    existed = removed = 0
    with connection.transaction():
        while removed < len(names):  # Again where another removed one before it was this one's.
            claimed = connection.execute(_CLAIM, (*owner, names)).rowcount
            removed = connection.execute(_REMOVE, (*owner, names)).rowcount
            existed += removed - claimed
    return existed
