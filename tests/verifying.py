"""A database whose clock a test moves, and whose writes it makes fail, and how tries end on it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from barring.domain import AuthorizationCode, Owner
from barring.storage.base import StorageUnavailable
from barring.storage.sqlite.engine import SQLiteStorage
from barring.verification.lockout import Policy
from barring.verification.verifier import Refused, Verifier

USER = Owner("tenant", "group", "user")
OTHER = Owner("tenant", "group", "other")
DEFAULT = Policy(5, 900)
START = 1_800_000_000
"""When the clock of a test begins."""


class Storage(SQLiteStorage):
    """A database whose clock the test moves, and whose writes it can make fail."""

    fault: Exception | None = None
    applied = False
    """Whether a write that fails takes effect all the same."""

    def set_clock(self, time: int) -> None:
        """Set the clock of the database."""
        self._NOW = str(time)

    def _write(self, *arguments: Any) -> Any:
        if self.fault and not self.applied:
            raise self.fault
        result = super()._write(*arguments)
        if self.fault:
            raise self.fault
        return result


@contextmanager
def opened(folder: Path) -> Iterator[Storage]:
    """A new database with a code of the user, and one of another user, at the time START."""
    with closing(Storage(str(folder / "codes.sqlite3"))) as storage:
        storage.prepare()
        storage.set_clock(START)
        storage.add(USER, [AuthorizationCode("right", "")])
        storage.add(OTHER, [AuthorizationCode("theirs", "")])
        yield storage


def outcome(verifier: Verifier, code: str = "wrong", user: Owner = USER) -> str:
    """How a verification ends: verified, refused, locked or unavailable."""
    try:
        verifier.verify(user, code)
    except Refused as error:
        return error.outcome
    except (StorageUnavailable, RuntimeError):
        return "unavailable"
    return "verified"


def guesses(verifier: Verifier, user: Owner = USER) -> int:
    """How many wrong codes are looked at until one is not."""
    count = 0
    while outcome(verifier, user=user) == "refused":
        count += 1
    return count
