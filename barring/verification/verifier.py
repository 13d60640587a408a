"""Verification of a code that a user has keyed in."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from barring.domain import DAY, AuthorizationCode, Owner
from barring.storage.base import Storage, StorageUnavailable

from .lockout import Policy

TIME_LIMIT = 1.0
"""Seconds that a verification may take, including waits: a caller is on the line."""

MAX_REMEMBERED = 10_000
"""As many failures that could not be stored stop all verifications of a process."""

TURNS = 256
"""As many users may be verified at once in a process."""


class Refused(Exception):
    """The code does not let the user call."""


class Locked(Exception):
    """The user is locked out, for `seconds`."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"locked out for {seconds} seconds")
        self.seconds = seconds


class Verifier:
    """Verifies codes, and locks users out. One object per process serves many threads."""

    def __init__(self, storage: Storage, policy: Policy) -> None:
        self.policy = policy
        self._storage = storage
        # Tries of one user take turns, so that parallel ones cannot exceed the limit.
        self._turns = [threading.Lock() for _ in range(TURNS)]
        self._remembered: dict[Owner, list[int]] = {}

    def verify(self, owner: Owner, code: str) -> tuple[Owner, AuthorizationCode]:
        """The code, and its owner: the user, the group or the tenant.

        Raises Refused, Locked, or StorageUnavailable if that is not decided within TIME_LIMIT.
        """
        deadline = time.monotonic() + TIME_LIMIT
        with self._turn(owner):
            now, lockout, found = self._storage.find(owner, code, _left(deadline))
            if self.policy.is_locked(lockout, now):
                raise Locked(lockout.locked_until - now)
            for failure in self._failures_not_stored(owner, now):
                lockout = self.policy.after_failure(lockout, failure)
            if self.policy.is_locked(lockout, now):
                raise StorageUnavailable("too many failed verifications could not be stored")
            if found:
                return found
            if self.policy.attempts:
                self._add_failure(owner, now, deadline)
        raise Refused

    def status(self, owner: Owner) -> tuple[int, int]:
        """How many failures count against a user, and until when it is locked, or 0."""
        now, lockout = self._storage.lockout(owner)
        if self.policy.is_locked(lockout, now):
            return self.policy.attempts, lockout.locked_until
        return self.policy.recent(lockout, now), 0

    def unlock(self, owner: Owner) -> bool:
        """Forget the failures and locks of a user, and return whether there were any."""
        self._remembered.pop(owner, None)
        return self._storage.remove_lockout(owner)

    def _add_failure(self, owner: Owner, now: int, deadline: float) -> None:
        try:
            self._storage.add_failure(owner, self.policy.after_failure, _left(deadline))
        except StorageUnavailable:
            # Otherwise a full disk would allow any number of guesses.
            self._remembered.setdefault(owner, []).append(now)
            raise

    def _failures_not_stored(self, owner: Owner, now: int) -> list[int]:
        """Those of the user. Raises StorageUnavailable if there are too many of all users."""
        if sum(map(len, self._remembered.values())) >= MAX_REMEMBERED:
            for other, failures in list(self._remembered.items()):
                if failures[-1] <= now - DAY:
                    del self._remembered[other]
            if sum(map(len, self._remembered.values())) >= MAX_REMEMBERED:
                raise StorageUnavailable("too many failed verifications could not be stored")
        return self._remembered.get(owner, [])

    @contextmanager
    def _turn(self, owner: Owner) -> Iterator[None]:
        turn = self._turns[hash(owner) % TURNS]
        if not turn.acquire(timeout=TIME_LIMIT):
            raise StorageUnavailable("other verifications of this user take too long")
        try:
            yield
        finally:
            turn.release()


def _left(deadline: float) -> float:
    return max(0.01, deadline - time.monotonic())
