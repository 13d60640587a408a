"""The connections to PostgreSQL: opening, sharing and closing them, and translating errors."""

import logging
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import ConnectionPool

from barring.storage.base import OutcomeUnknown, StorageError, StorageUnavailable
from barring.storage.time_limit import seconds_left

from .places import CHECKOUT_SECONDS, MAX_STALLED, PLACES

CONNECTIONS = PLACES + MAX_STALLED
"""The maximum per worker."""

RESPONSE_SECONDS = 7.0
"""How long a response may take before the server counts as unreachable."""

DRAIN_PAUSE = 2.0
"""The least seconds between two replacements of all connections."""

# A verification is given up early. The server must notice, or its waiting sessions would pile up.
_OPTIONS = "-c statement_timeout=5s -c idle_in_transaction_session_timeout=60s"
_OPTIONS += " -c client_connection_check_interval=500ms"

_DEFAULTS: dict[str, Any] = {
    "application_name": "barring",
    # Of several hosts, use the one that accepts writes; a standby could return stale data.
    "target_session_attrs": "read-write",
    "connect_timeout": 2,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 8000,
}
"""Parameters of a connection; the URL may set others."""

_STATELESS: dict[str, Any] = {"autocommit": True, "prepare_threshold": None}
"""PgBouncer gives a connection to one client after another, so no statement is prepared."""

_NO_RIGHT = "see docs/postgresql.md; to upgrade, run `barring check` as the owner of the tables"
_HINTS = {"08P01": "; the log of PgBouncer has the reason"}
"""What to do about an error, by its SQLSTATE."""

_NO_TIMEOUTS = "-c statement_timeout=0 -c idle_in_transaction_session_timeout=0"
"""The `options` of a connection for long work."""

LIFT_TIMEOUTS = "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0"
"""The first statements of a long transaction. PgBouncer ignores the `options`, and would pass what
a SET changes, unless it is LOCAL, on to other clients."""

# Without a handler, commands would print what the driver warns of, beside the error.
logging.getLogger("psycopg").addHandler(logging.NullHandler())


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that is closed when a response takes too long."""

    patience: float | None = RESPONSE_SECONDS
    """Seconds to wait for a response; None means forever."""

    warned = False
    """Whether the server has sent a warning since this was last set to False."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.add_notice_handler(self._note)

    def _note(self, notice: psycopg.errors.Diagnostic) -> None:
        self.warned |= notice.severity_nonlocalized == "WARNING"

    def execute(self, query: Any, params: Any = None, **options: Any) -> psycopg.Cursor[Any]:
        """Execute a statement that has ? for a parameter, as those that all engines share."""
        if params is not None:
            query = query.replace("?", "%s")
        return super().execute(query, params, **options)

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait as psycopg does, and close the connection if that takes too long."""
        began = time.monotonic()
        patience = self.patience and seconds_left(self.patience)
        try:
            return super().wait(gen, interval, timeout or patience)
        except psycopg.Error:
            if patience and time.monotonic() > began + patience:
                self.close()  # A late response would be read as that to another statement.
            raise


class Pool(ConnectionPool[Connection]):
    """The connections of one process. Call `open` after a fork: its threads do not survive one."""

    last_loss = float("-inf")
    """When all connections were replaced, because one was lost or given up."""

    def __init__(self, conninfo: str) -> None:
        super().__init__(
            conninfo,
            connection_class=Connection,
            kwargs=_STATELESS,
            min_size=1,
            max_size=CONNECTIONS,
            open=False,
            timeout=CHECKOUT_SECONDS,
            reconnect_timeout=CHECKOUT_SECONDS,
        )

    def getconn(self, timeout: float | None = None) -> Connection:
        """Take a connection that the server has not closed. Raises PoolTimeout.

        The pool's own `check` queries the server, and waits longer after each dead connection.
        """
        connection = super().getconn(seconds_left(self.timeout))
        if _readable(connection):
            connection.close()
            self.putconn(connection)
            connection = super().getconn(seconds_left(self.timeout))
        return connection

    def putconn(self, conn: Connection) -> None:
        """Return a connection. If it is closed, replace all: their server may be gone."""
        if conn.closed and time.monotonic() > self.last_loss + DRAIN_PAUSE:
            self.drain()
            self.last_loss = time.monotonic()
        super().putconn(conn)


def _readable(connection: Connection) -> bool:
    """Whether an idle connection is readable, which means that the server has closed it."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def parameters(url: str) -> tuple[str, str]:
    """The name of the database at a URL, without a password, and how to connect to it.

    Raises StorageError for a URL that is not valid for PostgreSQL.
    """
    try:
        given = {name: value for name, value in conninfo_to_dict(url).items() if value is not None}
    except psycopg.ProgrammingError:  # Its text may quote a password.
        raise StorageError("the postgresql:// URL is not valid for PostgreSQL") from None
    host, port, database = (given.get(part, "") for part in ("host", "port", "dbname"))
    name = f"postgresql://{host}{port and f':{port}'}/{database}"
    if "@" in name or url.partition("?")[0].count("@") > 1:
        raise StorageError("the postgresql:// URL: write %40 for an @ in a password")
    given["options"] = f"{_OPTIONS} {given.get('options', '')}"  # Of two, the later counts.
    return name, make_conninfo("", **_DEFAULTS | given)


def connect(conninfo: str) -> Connection:
    """A connection for one long task."""
    options = f"{conninfo_to_dict(conninfo)['options']} {_NO_TIMEOUTS}"
    connection = Connection.connect(conninfo, **_STATELESS, options=options)
    connection.patience = None
    return connection


@contextmanager
def translate_errors(name: str) -> Iterator[None]:
    """Raise the driver's errors as StorageUnavailable of the database `name`."""
    try:
        yield
    except psycopg.Error as error:
        raise StorageUnavailable(f"{name}: {_reason(error)}") from None


@contextmanager
def transaction(connection: Connection, name: str, first: str = "") -> Iterator[None]:
    """A transaction that begins with the statement `first`. After an error, roll it back.

    Raises OutcomeUnknown if the server does not confirm the commit, if the command is interrupted
    meanwhile, or if the commit is confirmed with a warning: the wait for a standby was cancelled.
    """
    connection.execute(f"BEGIN ISOLATION LEVEL READ COMMITTED; {first}")
    yield
    connection.warned = False
    try:
        connection.commit()
    except psycopg.Error as error:
        raise OutcomeUnknown(f"{name}: {_reason(error)}") from None
    except (KeyboardInterrupt, SystemExit):
        connection.close()
        raise OutcomeUnknown(f"{name}: interrupted") from None
    if connection.warned:
        raise OutcomeUnknown(f"{name}: committed with a warning")


def _reason(error: psycopg.Error) -> str:
    kind = type(error).__name__
    if error.sqlstate:
        if isinstance(error, psycopg.errors.InsufficientPrivilege):  # Names an object, and no code.
            return f"{error.diag.message_primary} ({error.sqlstate}); {_NO_RIGHT}"
        return f"{kind} {error.sqlstate}{_HINTS.get(error.sqlstate, '')}"
    return next(iter(str(error).splitlines()), kind)  # The driver's own words quote no code.
