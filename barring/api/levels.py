"""The levels at which codes are stored, and who may read and write them there."""

from typing import NamedTuple

from barring.access import Role
from barring.http.body import JSONBlueprint

_TENANT = "/api/v1/tenants/<id:tenant_id>"
_GROUP = f"{_TENANT}/groups/<id:group_id>"


class Level(NamedTuple):
    """A level: its name, the path of an owner, and the least roles that may read and write."""

    name: str
    path: str
    reader: Role
    writer: Role

    def blueprint(self, things: str, path: str) -> JSONBlueprint:
        """A blueprint for things of the owners at this level, such as "authorization codes"."""
        return JSONBlueprint(
            f"{self.name} {things}".removeprefix("user ").capitalize(),
            "barring.api",
            url_prefix=f"{self.path}/services/outgoing_call_barring/{path}",
            description=f"The {things} of a {self.name}",
        )

    def operation(self, verb: str, thing: str = "authorization_code") -> str:
        """The name of an operation, unique over all levels. That of a user names no level."""
        return f"{verb}_{self.name}_{thing}".replace("_user_", "_", 1)


LEVELS = (
    Level("user", f"{_GROUP}/users/<id:user_id>", Role.END_USER, Role.GROUP_ADMIN),
    Level("group", _GROUP, Role.GROUP_ADMIN, Role.GROUP_ADMIN),
    Level("tenant", _TENANT, Role.TENANT_ADMIN, Role.TENANT_ADMIN),
)
