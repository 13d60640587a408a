"""Verification of a code that a user has keyed in."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from weakref import WeakValueDictionary

from barring.domain import DAY, AuthorizationCode, Owner
from barring.storage.base import Storage, StorageUnavailable
from barring.storage.time_limit import seconds_left, time_limit

from .lockout import Policy

TIME_LIMIT = 0.9
"""Seconds that a verification may take, including waits: the response must be sent within 1 s."""

MAX_REMEMBERED = 10_000
"""As many failures that could not be stored stop all verifications of a process."""


class Refused(Exception):
    """The code does not let the user call, or the user is locked out for `seconds`."""

    def __init__(self, seconds: int = 0) -> None:
        locked = f"the user is locked out for {seconds} seconds"
        super().__init__(locked if seconds else "the code was refused")
        self.outcome = "locked" if seconds else "refused"
        self.seconds = seconds


class Verifier:
    """Verifies codes, and locks users out. One object per process serves many threads."""

    def __init__(self, storage: Storage, attempts: int, seconds: int) -> None:
        """`attempts` and `seconds` are those of the Policy."""
        self.policy = Policy(attempts, seconds)
        self._storage = storage
        # Tries of one user take turns, so that parallel ones cannot exceed the limit.
        self._turns: WeakValueDictionary[Owner, threading.Lock] = WeakValueDictionary()
        self._making = threading.Lock()
        self._not_stored: dict[Owner, list[int]] = {}

    def verify(self, owner: Owner, code: str) -> tuple[Owner, AuthorizationCode]:
        """The code, and its owner: the user, the group or the tenant.

        Raises Refused, or StorageUnavailable if that is not decided within TIME_LIMIT.
        """
        is_locked = self.policy.is_locked
        with time_limit(TIME_LIMIT), self._turn(owner):
            now, lockout, found = self._storage.find(owner, code, is_locked)
            if is_locked(lockout, now):
                raise Refused(lockout.locked_until - now)
            self._limit_memory(now)
            remembered = self._not_stored.get(owner, ())
            if remembered and is_locked(self.policy.after_failures(remembered, lockout, now), now):
                self._store_remembered(owner)
                raise StorageUnavailable("failed verifications could not be stored; try again")
            if found:
                return found
            if self.policy.attempts:
                try:
                    self._storage.add_failure(owner, partial(self.policy.after_failures, [now]))
                except BaseException:
                    # Otherwise a full disk would allow any number of guesses.
                    self._not_stored.setdefault(owner, []).append(now)
                    raise
        raise Refused

    def status(self, owner: Owner) -> tuple[int, int]:
        """How many failures count against a user, and until when it is locked, or 0."""
        now, lockout = self._storage.lockout(owner)
        if self.policy.is_locked(lockout, now):
            return self.policy.attempts, lockout.locked_until
        return self.policy.recent(lockout, now), 0

    def unlock(self, owner: Owner) -> bool:
        """Forget the failures and locks of a user, and return whether there were any."""
        removed = self._storage.remove_lockout(owner)
        return bool(self._not_stored.pop(owner, ())) or removed

    def _store_remembered(self, owner: Owner) -> None:
        """Store the remembered failures of a user, and forget them."""
        times = [*self._not_stored[owner]]
        self._storage.add_failure(owner, partial(self.policy.after_failures, times))
        if more := self._not_stored.pop(owner, [])[len(times) :]:
            self._not_stored[owner] = more

    def _limit_memory(self, now: int) -> None:
        """Raise StorageUnavailable if too many failures are remembered and none can be stored."""
        if sum(map(len, self._not_stored.values())) < MAX_REMEMBERED:
            return
        for owner, times in list(self._not_stored.items()):
            if times[-1] <= now - DAY:
                del self._not_stored[owner]
        if sum(map(len, self._not_stored.values())) >= MAX_REMEMBERED:
            self._store_remembered(next(iter(self._not_stored)))

    @contextmanager
    def _turn(self, owner: Owner) -> Iterator[None]:
        with self._making:
            turn = self._turns.setdefault(owner, threading.Lock())
        if not turn.acquire(timeout=seconds_left(TIME_LIMIT)):
            raise StorageUnavailable("other verifications of this user take too long")
        try:
            yield
        finally:
            turn.release()
