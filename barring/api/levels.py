"""The levels at which codes are kept, and who may read and write them there."""

from typing import NamedTuple

from barring.access import Role

_TENANT = "/api/v1/tenants/<id:tenant_id>"
_GROUP = f"{_TENANT}/groups/<id:group_id>"
_USER = f"{_GROUP}/users/<id:user_id>"


class Level(NamedTuple):
    """A level: its name, the path of an owner, and the least roles that may read and write."""

    name: str
    path: str
    reader: Role
    writer: Role


LEVELS = (
    Level("user", _USER, Role.END_USER, Role.GROUP_ADMIN),
    Level("group", _GROUP, Role.GROUP_ADMIN, Role.GROUP_ADMIN),
    Level("tenant", _TENANT, Role.TENANT_ADMIN, Role.TENANT_ADMIN),
)
