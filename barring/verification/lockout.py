"""When failed verifications lock a user out."""

from collections.abc import Iterable
from typing import NamedTuple

from barring.domain import DAY, Lockout

DAILY = 4
"""As many times the limit lock a user if they happen within a day."""


class Policy(NamedTuple):
    """How many failures, within how many seconds, lock a user for as many seconds.

    Times are seconds since 1970. With 0 attempts nobody is locked.
    """

    attempts: int
    seconds: int

    def is_locked(self, lockout: Lockout, now: int) -> bool:
        """Whether the user is locked. After a clock was set back, a lock may be too far ahead."""
        return bool(self.attempts and lockout.locked_for) and 0 < lockout.locked_until - now <= DAY

    def recent(self, lockout: Lockout, now: int) -> int:
        """The number of failures that count towards the limit: since the last lock or unlock."""
        since = lockout.locked_until if lockout.locked_until <= now else 0
        return sum(since <= time and now - self.seconds < time for time in lockout.failures)

    def after_failures(self, times: Iterable[int], lockout: Lockout, now: int) -> Lockout:
        """The lockout after more failures, some of which may have happened earlier than now.

        A lock that begins within a day of the end of another is twice as long.
        """
        most = DAILY * self.attempts
        # Other processes may still remember failures from before an unlock.
        unlocked = 0 if lockout.locked_for or now <= lockout.locked_until else lockout.locked_until
        late = [time for time in times if time > unlocked]
        counted = [time for time in (*lockout.failures, *late) if time > now - DAY]
        failures = sorted(min(time, now) for time in counted)
        after = lockout._replace(failures=tuple(failures[-most:]))
        few = self.recent(after, now) < self.attempts and len(failures) < most
        if few or self.is_locked(after, now):  # A try in parallel may have locked the user.
            return after
        again = lockout.locked_for and now < lockout.locked_until + DAY
        length = min(2 * lockout.locked_for, DAY) if again else self.seconds
        return after._replace(locked_until=now + length, locked_for=length)
