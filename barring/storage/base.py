"""The contract that every storage engine implements."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Generator, Mapping, Sequence, Set
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

from barring.domain import AuthorizationCode, Lockout, Owner
from barring.pauses import PART, pause

from . import statements
from .staging import Row, Staging
from .threads import DaemonThreads, Threads

Result = TypeVar("Result")

NO_DATABASE = "there is no database yet; serve, add or import creates it at BARRING_DATABASE_URL"

LATER = "was written by a later release ({}); install that release"

READY_FOR = 1.0
"""Seconds after a successful test write in which `check_ready` does not write again."""


class StorageError(Exception):
    """The database cannot be used as it is. The one-line message names it and the remedy."""


class StorageUnavailable(StorageError):
    """The database is unavailable; the same call may succeed later. Nothing was changed."""

    hint = "; try again"
    """What else clients are told. The text of the error is not for them: it may name files."""


class DatabaseReplaced(StorageUnavailable):
    """The database file was moved, replaced or removed after it was opened."""

    hint = ": the database file was replaced; restart the service"


class OutcomeUnknown(StorageUnavailable):
    """The write may or may not have happened: the database failed during the commit."""


class AlreadyExists(Exception):
    """Some of the codes to add are stored already, or repeat an earlier one. None was added.

    `positions` are the indexes of those that are stored, ascending. The error does not contain the
    codes themselves, so that no traceback can show one.
    """

    def __init__(self, codes: Sequence[AuthorizationCode], stored: Set[str]) -> None:
        self.positions = [at for at, new in enumerate(codes) if new.code in stored]
        super().__init__(f"{len(self.positions)} of the codes exist already")


class Storage(ABC):
    """The authorization codes of all owners.

    One object serves many threads, and processes forked after it was made: connections are opened
    on first use. Every method but `close` raises StorageUnavailable if the database is unavailable.
    A write that has returned is durable: it survives a crash and a power failure.
    """

    threads: Threads = staticmethod(DaemonThreads)
    """Creates threads for calls that block for long. A server with greenlets sets its own."""

    on_lock_wait: Callable[[float], object] = staticmethod(lambda seconds: None)
    """Called for each write with the seconds it waited for the lock."""

    _name: str
    """Where the database is, without a password."""

    _NOW: str
    """The SQL of the current time in seconds since 1970."""

    _ANY_ROW = "SELECT 1 FROM authorization_codes LIMIT 1"
    """The SQL of a short read, which tells whether the database can be read."""

    _SKIP_LOCKED = ""
    """The SQL that makes a query skip rows that other transactions are changing."""

    _last_write_check = float("-inf")

    def __str__(self) -> str:
        return self._name

    @abstractmethod
    def prepare(self, *, create: bool = True) -> None:
        """Upgrade the database, and leave no connection open. With `create`, create a missing one.

        Several processes may call this at once; one does the work. Raises StorageError when the
        database cannot be used.
        """

    def list(self, owner: Owner) -> list[AuthorizationCode]:
        """The owner's codes, ascending by code point; empty for an owner without any."""
        with self._connection(owner.tenant) as connection:
            return read_codes(connection.execute(statements.LIST, owner))

    def get(self, owner: Owner, code: str) -> AuthorizationCode | None:
        """One of the owner's codes, or None. `code` may be any string."""
        if "\0" in code:
            return None  # No stored text has it, and PostgreSQL would refuse the statement.
        with self._connection(owner.tenant) as connection:
            row = connection.execute(statements.GET, (*owner, code)).fetchone()
        return row and AuthorizationCode(*row)

    @abstractmethod
    def add(self, owner: Owner, codes: Sequence[AuthorizationCode]) -> None:
        """Store all codes, or none and raise AlreadyExists. No text may hold NUL."""

    def change(
        self, owner: Owner, code: str, changes: Mapping[str, str]
    ) -> tuple[AuthorizationCode, AuthorizationCode] | None:
        """Change fields of one of the owner's codes. Return it before and after, or None.

        `code` may be any string; the new values may not hold NUL.
        """
        if "\0" in code:
            return None

        def update(connection: Any) -> tuple[AuthorizationCode, AuthorizationCode] | None:
            before = connection.execute(statements.GET, (*owner, code)).fetchone()
            values = map(changes.get, AuthorizationCode._fields[1:])
            after = connection.execute(statements.CHANGE, (*values, *owner, code)).fetchone()
            # An import may have added the code meanwhile.
            return after and (AuthorizationCode(*(before or after)), AuthorizationCode(*after))

        return self._write(owner, update)

    @abstractmethod
    def remove(self, owner: Owner, codes: Collection[str]) -> Sequence[AuthorizationCode]:
        """Remove those of `codes` that exist, in one transaction, and return them."""

    def find(
        self, owner: Owner, code: str, is_locked: Callable[[Lockout, int], bool]
    ) -> tuple[int, Lockout, tuple[Owner, AuthorizationCode] | None]:
        """The time, a user's lockout, and the code with its owner: the user, the group or tenant.

        Of several owners the nearest counts. `code` may be any string. For a user that is locked
        the code is not looked up.
        """
        owners = owner, owner._replace(user=""), Owner(owner.tenant)
        keys = [text for each in owners for text in (*each, code)]
        with self._connection(owner.tenant) as connection:
            now, lockout = self._lockout(connection, owner)
            ignored = "\0" in code or is_locked(lockout, now)
            rows = [] if ignored else connection.execute(statements.FIND, keys).fetchall()
        nearest = max(map(tuple, rows), default=())  # An empty id comes first.
        found = (Owner(*nearest[:3]), AuthorizationCode(*nearest[3:])) if nearest else None
        return now, lockout, found

    def lockout(self, owner: Owner) -> tuple[int, Lockout]:
        """The time, and a user's lockout. The time is the database's, as of all lockouts."""
        with self._connection(owner.tenant) as connection:
            return self._lockout(connection, owner)

    def add_failure(self, owner: Owner, after: Callable[[Lockout, int], Lockout]) -> Lockout:
        """Change a user's lockout by `after`, which gets it and the time; return the new one.

        Also removes some of the tenant's lockouts that have expired.
        """

        def update(connection: Any) -> Lockout:
            now, lockout = self._lockout(connection, owner)
            new = after(lockout, now)
            _store_lockout(connection, owner, new)
            remove_expired = statements.REMOVE_EXPIRED.format(self._SKIP_LOCKED)
            connection.execute(remove_expired, (owner.tenant, owner.tenant, now))
            return new

        return self._write(owner, update)

    def remove_lockout(self, owner: Owner) -> bool:
        """Remove a user's failures and lock, and return whether there were any.

        The time is stored, so that earlier failures do not count if they are added later.
        """

        def update(connection: Any) -> bool:
            now, lockout = self._lockout(connection, owner)
            _store_lockout(connection, owner, Lockout(locked_until=now))
            return bool(lockout.failures or lockout.locked_for)

        return self._write(owner, update)

    def _lockout(self, connection: Any, owner: Owner) -> tuple[int, Lockout]:
        statement = statements.LOCKOUT.format(now=self._NOW)
        now, failures, *lock = connection.execute(statement, owner).fetchone()
        return now, Lockout(tuple(map(int, failures.split())), *lock)

    def check_ready(self) -> None:
        """Read, and at most once a second also write, without changing any code.

        Raises StorageUnavailable if either fails.
        """
        with self._connection() as connection:
            connection.execute(self._ANY_ROW).fetchone()
        # Only a write detects a full disk or a read-only database. The health endpoints are public,
        # so their callers must not cause more writes than this.
        if time.monotonic() > self._last_write_check + READY_FOR:
            self._check_write()
            self._last_write_check = time.monotonic()

    @abstractmethod
    def _check_write(self) -> None:
        """Write without changing any code."""

    def log_size(self) -> int:
        """The bytes of the write-ahead log, if a read can keep it from being emptied."""
        return 0

    @abstractmethod
    def vacuum(self) -> None:
        """Rewrite the database so that its files contain no deleted code."""

    def count(self) -> int:
        """How many codes there are."""
        with self._dedicated() as connection:
            return int(connection.execute(statements.COUNT).fetchone()[0])

    def export(self) -> Generator[Row, None, None]:
        """All codes, ordered by owner and code, as of one moment."""
        with self._dedicated() as connection:
            yield from connection.execute(statements.EXPORT)

    @abstractmethod
    def staging(self) -> AbstractContextManager[Staging]:
        """A new Staging. Its changes are durable once the context has ended without an error."""

    def owns(self, path: Path) -> bool:
        """Whether a path leads to one of the database's files, also through a link."""
        return False

    def backup(self, target: Path) -> None:
        """Write a copy of the database as it is now to a file, whole or not at all."""
        raise StorageError(f"{self}: use the backup tools of the database server")

    def restore(self, source: Path, *, force: bool) -> None:
        """Create the database from the backup `source`, or with `force` replace it.

        Raises StorageError if the backup is not valid, or the database is in use.
        """
        raise StorageError(f"{self}: use the backup tools of the database server")

    def check(self) -> dict[str, int]:
        """Read the whole database. Return the counts of codes, users and tenants.

        Raises StorageError, which says what is wrong, if the database is damaged.
        """
        with self._dedicated() as connection:
            counts = connection.execute(statements.COUNTS).fetchone()
        return dict(zip(("codes", "users", "tenants"), counts, strict=True))

    @abstractmethod
    def _write(self, owner: Owner, operation: Callable[[Any], Result]) -> Result:
        """Call an operation on codes of an owner with a connection, commit, and return its result.

        The operation changes nothing if it raises AlreadyExists.
        """

    @abstractmethod
    def _connection(self, tenant: str = "") -> AbstractContextManager[Any]:
        """A driver connection for one short read of a tenant's rows."""

    @abstractmethod
    def _dedicated(self) -> AbstractContextManager[Any]:
        """A driver connection for one long task."""

    @abstractmethod
    def close(self) -> None:
        """Close the connections kept open. No other thread may be using them."""


def read_codes(cursor: Any) -> list[AuthorizationCode]:
    """Read the codes from a driver's cursor, with a pause after each part of a long list."""
    codes: list[AuthorizationCode] = []
    while rows := cursor.fetchmany(PART):
        if codes:
            pause()
        codes += [AuthorizationCode(*row) for row in rows]
    return codes


def _store_lockout(connection: Any, owner: Owner, new: Lockout) -> None:
    values = " ".join(map(str, new.failures)), new.locked_until, new.locked_for, new.expires
    connection.execute(statements.STORE_LOCKOUT, (*owner, *values))
