"""What the errors of PostgreSQL's driver mean, without the values that they may quote."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from barring.storage.base import OutcomeUnknown, StorageUnavailable

from .pool import Connection


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Raise the driver's errors as StorageUnavailable of the database `name`."""
    try:
        yield
    except psycopg.Error as error:
        raise StorageUnavailable(f"{name}: {_reason(error)}") from None


@contextmanager
def transaction(connection: Connection, name: str, begin: str = "BEGIN") -> Iterator[None]:
    """A transaction; where it fails, the end of the connection's use undoes it.

    Raises OutcomeUnknown where the server does not confirm the commit, or does so with a warning:
    the wait for a standby was cancelled.
    """
    connection.execute(begin)
    yield
    connection.warned = False
    try:
        connection.commit()
    except psycopg.Error as error:
        raise OutcomeUnknown(f"{name}: {_reason(error)}") from None
    if connection.warned:
        raise OutcomeUnknown(f"{name}: committed with a warning")


def _reason(error: psycopg.Error) -> str:
    kind = type(error).__name__
    if error.sqlstate:
        return f"{kind} {error.sqlstate}"
    return next(iter(str(error).splitlines()), kind)  # The driver's own words quote no code.
