"""The errors of PostgreSQL's driver in the words of the contract, never with what they quote."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg_pool import PoolTimeout

from barring.storage.base import OutcomeUnknown, StorageUnavailable

from .pool import CHECKOUT_SECONDS

UNDONE = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)
"""What the database undid for another's sake, and asks to try again."""

_MISTAKES = (psycopg.ProgrammingError, psycopg.DataError)
"""What this program brings about, and what stays what it is; but for the next ones."""

_STATES = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.DuplicateTable,
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.InvalidSchemaName,
)


@contextmanager
def translated(name: str, *, writes: bool = False) -> Iterator[None]:
    """Raise as the contract does what the driver raises in here, of the database of this name.

    IntegrityError and UNDONE stay what they are: whoever wrote knows what they mean.
    """
    try:
        yield
    except (psycopg.IntegrityError, *UNDONE):
        raise
    except psycopg.Warning as warning:
        raise OutcomeUnknown(f"{name}: {warning}") from None
    except PoolTimeout as error:
        raise StorageUnavailable(f"{name}: no connection in {CHECKOUT_SECONDS} seconds") from error
    except psycopg.Error as error:
        if isinstance(error, _MISTAKES) and not isinstance(error, _STATES):
            raise
        unknown = writes and _may_have_happened(error)
        reason = f"{type(error).__name__} {error.sqlstate}" if error.sqlstate else str(error)
        raise (OutcomeUnknown if unknown else StorageUnavailable)(
            f"{name}: {reason.splitlines()[0] if reason else type(error).__name__}"
        ) from None  # What it says may quote a code.


def _may_have_happened(error: psycopg.Error) -> bool:
    """Whether a statement that failed so may have been committed: where no server said it is not.

    A server that is stopped says so (57P01, 57P02) even where it had committed, and only waited for
    its standby; 40003 is CockroachDB's own word for it. https://www.postgresql.org/docs/current/errcodes-appendix.html
    """
    state = error.sqlstate or "08"
    return state[:2] == "08" or state in ("57P01", "57P02", "40003")
