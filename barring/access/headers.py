"""The modes that trust headers: `local` trusts clients on this machine, `gateway` a gateway."""

import hmac
from functools import lru_cache
from typing import Any, ClassVar
from urllib.parse import unquote_to_bytes

from barring.http.application import Request, current_request
from barring.settings import MODES, Settings, SettingsError, is_local, is_loopback

from .base import Mode, refuse
from .roles import TITLES, Caller, role_named

SECRET_HEADER = "X-Gateway-Secret"  # noqa: S105
SCOPE_HEADERS = {"tenant": "X-Tenant-Id", "group": "X-Group-Id", "user": "X-User-Id"}

_VIA_PROXY = ("HTTP_X_FORWARDED_", "HTTP_FORWARDED\n", "HTTP_VIA\n")
"""The WSGI variables of headers that proxies add, or how these variables begin."""

_VARIABLES = {part: f"HTTP_{h.upper().replace('-', '_')}" for part, h in SCOPE_HEADERS.items()}


def _scheme(header: str, words: str) -> dict[str, Any]:
    return {"type": "apiKey", "in": "header", "name": header, "description": words}


class Local(Mode):
    """Trusts clients on the same machine."""

    security_schemes: ClassVar = {
        "caller": _scheme(
            "X-Role",
            f"One of: {TITLES}. The headers {', '.join(SCOPE_HEADERS.values())} limit the scope.",
        )
    }

    def caller(self) -> Caller:
        request = current_request()
        names = "\n".join((*request.environ, ""))
        via_proxy = any(name in names for name in _VIA_PROXY)
        # The peer of a Unix socket has no address.
        if via_proxy or (request.remote_addr and not is_loopback(request.remote_addr)):
            message = (
                "BARRING_AUTH=local serves only clients on the same machine, without a proxy; "
                f"to serve others, set BARRING_AUTH to {' or '.join(MODES[1:])}."
            )
            refuse(403, "not_local", message)
        # A web page whose name was changed to point to this machine (DNS rebinding) sends its name.
        if request.remote_addr and not is_local(request.environ.get("HTTP_HOST", "")):
            message = (
                "BARRING_AUTH=local serves only requests to localhost or a loopback address, such "
                "as http://127.0.0.1: the header Host has another name."
            )
            refuse(403, "not_local_host", message)
        return _caller_by_headers(request)


class Gateway(Mode):
    """Trusts a gateway that sends its secret, and every part of the role's scope."""

    security_schemes: ClassVar = {
        **Local.security_schemes,
        **{part: _scheme(name, "Percent-encoded UTF-8.") for part, name in SCOPE_HEADERS.items()},
        "gateway": _scheme(SECRET_HEADER, "The secret of the gateway."),
    }

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._secrets = settings.gateway_secrets()
        if not self._secrets:
            raise SettingsError(
                "BARRING_GATEWAY_SECRET_FILE: BARRING_AUTH=gateway needs a secret of at least "
                "32 bytes in this file, or in BARRING_GATEWAY_SECRET"
            )

    def caller(self) -> Caller:
        request = current_request()
        sent = request.headers.get(SECRET_HEADER, "").encode("latin-1")
        # A list, not a generator: every secret is compared, so timing does not tell which matches.
        if not any([hmac.compare_digest(sent, secret) for secret in self._secrets]):
            message = f"Only the gateway may send requests, with its secret in {SECRET_HEADER}."
            refuse(401, "gateway_secret", message, 'Gateway realm="barring"')
        caller = _caller_by_headers(request)
        if part := caller.missing_part():
            message = f"A caller with this role needs the header {SCOPE_HEADERS[part]}."
            refuse(403, "scope_missing", message)
        return caller


def _caller_by_headers(request: Request) -> Caller:
    environ = request.environ
    role = role_named(environ.get("HTTP_X_ROLE", ""))
    if role is None:
        message = f"Send the header X-Role with one of: {TITLES}."
        refuse(401, "role", message, 'Role realm="barring"')
    sent = {part: _decoded(part, environ[v]) for part, v in _VARIABLES.items() if v in environ}
    return Caller.of(role, sent)


@lru_cache
def _decoded(part: str, value: str) -> str:
    try:
        if "," in value:  # Two headers with the same name are joined by a comma.
            raise ValueError
        return unquote_to_bytes(value.encode("ascii")).decode("utf-8")
    except ValueError:
        message = "once, as percent-encoded UTF-8; write a comma as %2C."
        refuse(403, "scope_malformed", f"Send {SCOPE_HEADERS[part]} {message}")
