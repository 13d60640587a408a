"""The roles, and a caller: a role held within a scope."""

from enum import IntEnum
from typing import NamedTuple

from barring.domain import Owner


class Role(IntEnum):
    """The levels of rights, least first."""

    END_USER = 1
    GROUP_ADMIN = 2
    TENANT_ADMIN = 3
    SYSTEM_ADMIN = 4

    @property
    def title(self) -> str:
        """The role as people write it, "End User" for example."""
        return self.name.replace("_", " ").title()

    @property
    def breadth(self) -> int:
        """How many parts of an owner bind the role: tenant, group and user for an End User."""
        return Role.SYSTEM_ADMIN - self


TITLES = ", ".join(role.title for role in Role)

ROLES = {
    spelling: role
    for role in Role
    for spelling in (role.title, role.name.lower(), role.name.lower().replace("_", "-"))
}
"""Every accepted spelling: "End User", "end_user" and "end-user" are one."""


class Caller(NamedTuple):
    """Who calls: a role, and the tenant, group and user that it is held for.

    A part that is None does not bind; the parts beyond the role's breadth never do.
    """

    role: Role
    scope: tuple[str | None, str | None, str | None]

    @property
    def bound(self) -> tuple[str | None, ...]:
        """The parts of the scope that bind the role: only they are checked, and fit for a log."""
        return self.scope[: self.role.breadth]

    def covers(self, owner: Owner) -> bool:
        """Whether the owner lies within the scope."""
        return all(part in (None, own) for part, own in zip(self.bound, owner, strict=False))
