"""Who the caller is, and what the caller may do: one guard before every protected view."""

import ipaddress
from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import IntEnum
from functools import wraps
from typing import Any, ClassVar, NamedTuple
from urllib.parse import unquote_to_bytes

from flask import Flask, current_app, g, request
from flask.typing import ResponseReturnValue
from webargs.flaskparser import abort

from barring.domain import Owner

View = Callable[..., ResponseReturnValue]


class Role(IntEnum):
    """The levels of rights, least first."""

    END_USER = 1
    GROUP_ADMIN = 2
    TENANT_ADMIN = 3
    SYSTEM_ADMIN = 4

    @property
    def title(self) -> str:
        """The role as the documentation writes it, "End User" for example."""
        return self.name.replace("_", " ").title()

    @property
    def breadth(self) -> int:
        """How many parts of an owner bind the role, from the tenant on."""
        return Role.SYSTEM_ADMIN - self


ROLES = {
    spelling: role
    for role in Role
    for spelling in (role.title, role.name.lower(), role.name.lower().replace("_", "-"))
}
"""Every accepted spelling: "End User", "end_user" and "end-user" are one."""


class Caller(NamedTuple):
    """Who calls: a role, and the tenant, group and user that it holds for.

    A part that is None does not bind; the parts beyond the role's own breadth never do.
    """

    role: Role
    scope: tuple[str | None, str | None, str | None]

    def covers(self, owner: Owner) -> bool:
        """Whether the owner lies within this caller's scope."""
        breadth = self.role.breadth
        return all(
            mine in (None, theirs)
            for mine, theirs in zip(self.scope[:breadth], owner[:breadth], strict=True)
        )


class Mode(ABC):
    """A way to learn who the caller is. BARRING_AUTH chooses one."""

    security_scheme: ClassVar[dict[str, Any]]
    """The OpenAPI security scheme with which a client of this mode says who it is."""

    @abstractmethod
    def caller(self) -> Caller:
        """The caller of the current request, or an abort: 401 for nobody, 403 for not from here."""


class Local(Mode):
    """Believes the headers of a client on the same machine."""

    security_scheme: ClassVar = {
        "type": "apiKey",
        "in": "header",
        "name": "X-Role",
        "description": f"One of: {', '.join(role.title for role in Role)}.",
    }

    def caller(self) -> Caller:
        if not _from_this_machine():
            abort(
                403,
                message="BARRING_AUTH=local serves clients on this machine, and through no proxy; "
                "to serve others, set BARRING_AUTH to gateway or jwt.",
            )
        return Caller(header_role(), header_scope())


def _from_this_machine() -> bool:
    via_proxy = any(
        name.startswith("X-Forwarded-") or name in ("Forwarded", "Via")
        for name in request.headers.keys()  # noqa: SIM118  (not a dict)
    )
    # gunicorn gives no address to the peer of a Unix socket.
    return not via_proxy and (not request.remote_addr or is_loopback(request.remote_addr))


def is_loopback(address: str) -> bool:
    """Whether an IP address, which may be an IPv4 one mapped into IPv6, is this machine's own."""
    ip = ipaddress.ip_address(address)
    return (getattr(ip, "ipv4_mapped", None) or ip).is_loopback


def header_role() -> Role:
    """The role that the header X-Role names. Aborts with 401 where it names none."""
    role = ROLES.get(request.headers.get("X-Role", ""))
    if role is None:
        abort(
            401,
            message=f"Send the header X-Role with one of: {', '.join(r.title for r in Role)}.",
            headers={"WWW-Authenticate": 'Role realm="barring"'},
        )
    return role


def header_scope() -> tuple[str | None, str | None, str | None]:
    """The scope that the headers X-Tenant-Id, X-Group-Id and X-User-Id name, as far as sent."""
    return _scope_header("X-Tenant-Id"), _scope_header("X-Group-Id"), _scope_header("X-User-Id")


def _scope_header(name: str) -> str | None:
    value = request.headers.get(name)
    if value is None:
        return None
    try:
        # A raw comma is how two headers of one name arrive: joined.
        if "," in value:
            raise ValueError
        return unquote_to_bytes(value.encode("ascii")).decode("utf-8")
    except ValueError:
        abort(403, message=f"Send {name} once, as percent-encoded UTF-8; write a comma as %2C.")


def requires(least: Role) -> Callable[[View], View]:
    """Let only callers of at least the role `least` whose scope covers the owner reach the view.

    The view gets the `owner` that its path names, in place of the three ids. Goes outermost, so
    that without the right a caller learns nothing, not even whether a body was valid. Writes the
    security entry and the answers 401 and 403 into the OpenAPI document.
    """

    def guard(view: View) -> View:
        @wraps(view)
        def guarded(
            tenant_id: str, group_id: str, user_id: str, **rest: Any
        ) -> ResponseReturnValue:
            owner = Owner(tenant_id, group_id, user_id)
            mode: Mode = current_app.extensions[__name__]
            g.caller = mode.caller()
            _check(g.caller, least, owner)
            return view(owner=owner, **rest)

        document = guarded._apidoc = dict(getattr(view, "_apidoc", {}))  # type: ignore[attr-defined]
        document["manual_doc"] = {
            **document.get("manual_doc", {}),
            "security": [{"caller": []}],
        }
        guarded.least_role = least  # type: ignore[attr-defined]
        return guarded

    return guard


def _check(caller: Caller, least: Role, owner: Owner) -> None:
    """The one decision about rights: the caller's rank, then the caller's scope."""
    if caller.role < least:
        abort(403, message=f"This needs at least the role {least.title}.")
    if not caller.covers(owner):
        abort(403, message="This user is outside the caller's tenant, group or user.")


MODES: dict[str, type[Mode]] = {"local": Local}


def init_app(app: Flask, mode: str) -> Mode:
    """Let the guard of `app` learn callers by the mode of that name."""
    app.extensions[__name__] = chosen = MODES[mode]()
    return chosen
