"""The value objects that all layers share."""

from typing import NamedTuple

DAY = 24 * 60 * 60
"""How many seconds failed verifications and former locks count; also the longest lock."""


class Owner(NamedTuple):
    """What codes belong to: a user, a group of users, or a tenant.

    A group has an empty `user`, and a tenant an empty `group` and `user`. Ids are compared by code
    point, and are not normalized: ids that differ only in case or in Unicode form are different
    owners.
    """

    tenant: str
    group: str = ""
    user: str = ""

    @property
    def level(self) -> str:
        """What the owner is: "user", "group" or "tenant"."""
        return "user" if self.user else "group" if self.group else "tenant"

    def ids(self) -> dict[str, str]:
        """The ids that are not empty, by name."""
        return {name: value for name, value in self._asdict().items() if value}


class AuthorizationCode(NamedTuple):
    """The code that a barred user keys in, and a description for administrators.

    `class_of_service` tells the call platform which calls the code permits; it may be empty.
    """

    code: str
    description: str
    class_of_service: str = ""

    def loggable_description(self) -> str:
        """The description for the log, which may not contain the code."""
        return "(withheld)" if self.code in self.description else self.description


class Lockout(NamedTuple):
    """The failed verifications of a user, and the last lock. Times are seconds since 1970."""

    failures: tuple[int, ...] = ()
    """The times of the failures that still count, ascending."""
    locked_until: int = 0
    locked_for: int = 0
    """The length of the last lock in seconds. If it is 0, `locked_until` is when failures and lock
    were removed. Earlier failures, which other processes could not store, do not count then."""

    @property
    def expires(self) -> int:
        """When neither the failures nor the last lock count any more."""
        return max(*self.failures[-1:], self.locked_until, 0) + DAY
