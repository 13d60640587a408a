"""The two value objects that all layers share."""

from typing import NamedTuple


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
        return [*self.ids()][-1]

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
