"""The modes in which headers say who calls: `local` believes this machine, `gateway` a gateway."""

import hmac
import re
from functools import lru_cache
from typing import ClassVar
from urllib.parse import unquote_to_bytes

from barring.http.application import Request, current_request
from barring.settings import Settings, SettingsError, is_loopback

from .caller import ROLES, TITLES, Caller, Role
from .mode import Mode, refuse, require_scope

CHALLENGE = 'Role realm="barring"'
SECRET_HEADER = "X-Gateway-Secret"  # noqa: S105
SCOPE_HEADERS = ("X-Tenant-Id", "X-Group-Id", "X-User-Id")

_PROXY = re.compile(r"^HTTP_(X_FORWARDED_.*|FORWARDED|VIA)$", re.MULTILINE)
"""The variables, of the server's, that hold what a proxy says of itself."""

_ROLE, *_SCOPE = (f"HTTP_{name.upper().replace('-', '_')}" for name in ("X-Role", *SCOPE_HEADERS))
"""The variables that hold the headers which every request may send."""


def _scheme(header: str, words: str) -> dict[str, str]:
    return {"type": "apiKey", "in": "header", "name": header, "description": words}


_CALLER = _scheme(
    "X-Role",
    f"One of: {TITLES}. What binds the role is said by the headers {', '.join(SCOPE_HEADERS)}.",
)


class Local(Mode):
    """Believes clients on the same machine."""

    security_schemes: ClassVar = {"caller": _CALLER}

    def caller(self) -> Caller:
        request = current_request()
        if not _from_this_machine(request):
            refuse(
                403,
                "not_local",
                "BARRING_AUTH=local serves clients on this machine, and through no proxy; "
                "to serve others, set BARRING_AUTH to gateway or jwt.",
            )
        return _header_caller(request)


class Gateway(Mode):
    """Believes a gateway that proves itself with a secret, and needs it to say the whole scope."""

    security_schemes: ClassVar = {
        "caller": _CALLER,
        "tenant": _scheme("X-Tenant-Id", "Percent-encoded UTF-8."),
        "group": _scheme("X-Group-Id", "Percent-encoded UTF-8."),
        "user": _scheme("X-User-Id", "Percent-encoded UTF-8."),
        "gateway": _scheme(SECRET_HEADER, "The secret of the gateway."),
    }

    def __init__(self, settings: Settings) -> None:
        self._secrets = settings.gateway_secrets()
        if not self._secrets:
            raise SettingsError(
                "BARRING_GATEWAY_SECRET_FILE: BARRING_AUTH=gateway needs a secret of at least "
                "32 bytes in this file, or in BARRING_GATEWAY_SECRET"
            )

    def caller(self) -> Caller:
        request = current_request()
        proof = request.headers.get(SECRET_HEADER, "").encode("latin-1")
        # Every secret is compared, whatever the first comparison gave.
        if not any([hmac.compare_digest(proof, secret) for secret in self._secrets]):
            refuse(
                401,
                "gateway_secret",
                f"Only the gateway is served here, and it proves itself with {SECRET_HEADER}.",
                'Gateway realm="barring"',
            )
        caller = _header_caller(request)
        require_scope(caller, SCOPE_HEADERS, "A caller of this role needs the header")
        return caller


def _from_this_machine(request: Request) -> bool:
    via_proxy = _PROXY.search("\n".join(request.environ))
    # gunicorn gives the peer of a Unix socket no address.
    return not via_proxy and (not request.remote_addr or is_loopback(request.remote_addr))


def _header_caller(request: Request) -> Caller:
    role: Role | None = ROLES.get(request.environ.get(_ROLE, ""))
    if role is None:
        refuse(401, "role", f"Send the header X-Role with one of: {TITLES}.", CHALLENGE)
    values = map(request.environ.get, _SCOPE)
    tenant, group, user = map(_scope_header, SCOPE_HEADERS, values)
    return Caller(role, (tenant, group, user))


def _scope_header(name: str, value: str | None) -> str | None:
    try:
        return None if value is None else _decoded(value)
    except ValueError:
        message = f"Send {name} once, as percent-encoded UTF-8; write a comma as %2C."
        refuse(403, "scope_malformed", message)


@lru_cache
def _decoded(value: str) -> str:
    # A raw comma is how two headers of one name arrive: joined.
    if "," in value:
        raise ValueError
    return unquote_to_bytes(value.encode("ascii")).decode("utf-8")
