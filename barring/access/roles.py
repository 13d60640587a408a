"""Roles and callers."""

from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple, Self

from barring.domain import Owner


class Role(Enum):
    """A role: its title, its rank and its scope.

    A role has the rights of the roles of lower rank. That of a call platform, 0, has none of them.
    The scope is a tuple of the parts of an owner that must equal the caller's own tenant, group or
    user.
    """

    END_USER = "End User", 1, ("tenant", "group", "user")
    GROUP_ADMIN = "Group Admin", 2, ("tenant", "group")
    TENANT_ADMIN = "Tenant Admin", 3, ("tenant",)
    SYSTEM_ADMIN = "System Admin", 4, ()
    CALL_PLATFORM = "Call Platform", 0, ("tenant", "group")

    def __init__(self, title: str, rank: int, scope: tuple[str, ...]) -> None:
        self.title, self.rank, self.scope = title, rank, scope


TITLES = ", ".join(role.title for role in Role)

_ROLES = {
    role.title.lower().replace(" ", joint): role for role in Role for joint in (" ", "_", "-", "")
}


def role_named(text: str) -> Role | None:
    """The role with this name: "End User", "end-user", "END_USER" and "EndUser" are the same."""
    return _ROLES.get(text.lower())


class Caller(NamedTuple):
    """Who sent a request: a role, and the ids of the tenant, group and user in the role's scope.

    An id that was not sent is None, and permits any.
    """

    role: Role
    scope: dict[str, Any]

    @classmethod
    def of(cls, role: Role, sent: Mapping[str, Any]) -> Self:
        """The caller with this role that sent these values; only the scope's parts are used.

        A call platform may have no scope. A group without its tenant reaches nothing.
        """
        if role is Role.CALL_PLATFORM:
            given = {part: sent[part] for part in role.scope if part in sent}
            return cls(role, {"tenant": "", **given} if given else {})
        return cls(role, {part: sent.get(part) for part in role.scope})

    def missing_part(self) -> str | None:
        """The first part of the role's scope that was not sent as a string, or None."""
        return next((part for part, own in self.scope.items() if not isinstance(own, str)), None)

    def may_reach(self, owner: Owner) -> bool:
        """Whether the owner is within the scope."""
        return all(own in (None, getattr(owner, part)) for part, own in self.scope.items())
