"""The connections to PostgreSQL: how they are opened, shared, and given up in time."""

import contextlib
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import ConnectionPool

CONNECTIONS = 16
"""Of one worker, at most: more than a database's processors can use do not make it faster."""

CHECKOUT_SECONDS = 3.0
"""How long a request waits for a connection, or for a server that takes writes to be there."""

ANSWER_SECONDS = 7.0
"""How long a statement may take, before the server is taken for unreachable."""

_OPTIONS = "-c statement_timeout=5s -c idle_in_transaction_session_timeout=60s"

_DEFAULTS: dict[str, Any] = {
    "application_name": "barring",
    # Of several hosts the one that takes writes; a standby could give a stale answer.
    "target_session_attrs": "read-write",
    "connect_timeout": 2,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 8000,
}
"""Parameters of the connection that the URL may set otherwise."""

_STATELESS: dict[str, Any] = {"autocommit": True, "prepare_threshold": None}
"""What PgBouncer hands to one client after the other can prepare nothing."""

_PATIENT = "-c statement_timeout=0 -c idle_in_transaction_session_timeout=0"
"""The `options` of a connection for work that may take long. No SET: PgBouncer would pass it on."""


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that waits for no answer longer than `patience` seconds; None is forever."""

    patience: float | None = ANSWER_SECONDS
    warned = False
    """Whether the server has warned of something since this was last set to False."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.add_notice_handler(self._note)

    def _note(self, notice: psycopg.errors.Diagnostic) -> None:
        self.warned |= notice.severity_nonlocalized == "WARNING"

    @contextmanager
    def committing(self) -> Iterator[None]:
        """Raise psycopg.Warning where a commit in here was answered with a warning.

        That is how PostgreSQL says that the wait for a standby was cancelled, and the rest is not.
        """
        self.warned = False
        yield
        if self.warned:
            raise psycopg.Warning("committed with a warning")

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Let psycopg wait as it does, and close the connection where that took too long."""
        began = time.monotonic()
        try:
            return super().wait(gen, interval, timeout or self.patience)
        except psycopg.Error:
            if self.patience and time.monotonic() > began + self.patience:
                self.close()  # What comes yet would be taken for the answer to another.
            raise


def parameters(url: str) -> tuple[str, str]:
    """What to call the database at a URL, without its password, and how to connect to it.

    Raises psycopg.ProgrammingError for what is no such URL.
    """
    given = {name: value for name, value in conninfo_to_dict(url).items() if value is not None}
    host, port, name = (given.get(part, "") for part in ("host", "port", "dbname"))
    given["options"] = f"{_OPTIONS} {given.get('options', '')}"  # Of two, the later counts.
    return f"postgresql://{host}{port and f':{port}'}/{name}", make_conninfo(
        "", **_DEFAULTS | given
    )


def connect(conninfo: str) -> Connection:
    """A connection of its own for work that may take long."""
    options = f"{conninfo_to_dict(conninfo)['options']} {_PATIENT}"
    connection = Connection.connect(conninfo, **_STATELESS, options=options)
    connection.patience = None
    return connection


def open_pool(conninfo: str) -> ConnectionPool[Connection]:
    """Connections of one process. Its own threads do not survive a fork."""
    return ConnectionPool(
        conninfo,
        connection_class=Connection,
        kwargs=_STATELESS,
        min_size=1,
        max_size=CONNECTIONS,
        open=True,
        reconnect_timeout=CHECKOUT_SECONDS,
    )


def close(pool: ConnectionPool[Connection]) -> None:
    """Close a pool that nobody uses any more; one of its own threads may be who found that out."""
    with contextlib.suppress(RuntimeError):
        pool.close(timeout=1)


def take(pool: ConnectionPool[Connection]) -> Connection:
    """A connection to give back, that its server has not ended.

    One that was ended can be read from, though nothing was asked: to look costs no round trip.
    Raises PoolTimeout.
    """
    deadline = time.monotonic() + CHECKOUT_SECONDS
    while True:
        connection = pool.getconn(deadline - time.monotonic())
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLIN)
        if not poll.poll(0):
            return connection
        connection.close()  # Otherwise the pool would not know.
        give_back(pool, connection)


def give_back(pool: ConnectionPool[Connection], connection: Connection) -> None:
    """Return a connection; with one that is closed all go, for their server may be gone."""
    if connection.closed:
        pool.drain()
    pool.putconn(connection)
