"""The secrets of call platforms: whoever sends one may verify codes, and nothing else."""

import re
from hashlib import sha256
from urllib.parse import unquote_to_bytes

from barring import logs
from barring.http.application import Request
from barring.settings import Settings, SettingsError, read_file, variable
from schemas.rules import OWNER_ID

from .roles import Caller, Role

SCHEME = {"type": "http", "scheme": "bearer", "description": "The secret of a call platform."}
"""How a platform sends its secret, as an OpenAPI security scheme."""

_NAME = variable("platform_secrets_file")
_SECRET = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""A bearer token (RFC 6750, section 2.1)."""
_ENCODED = re.compile("(?:[!-$&-~]|%[0-9A-Fa-f]{2})+")
"""Percent-encoded text: ASCII without blanks."""


class Platforms:
    """The secrets of the file BARRING_PLATFORM_SECRETS_FILE, if it is set."""

    def __init__(self, settings: Settings) -> None:
        """Read the file. Raises SettingsError if it or a secret is unusable."""
        self._settings = settings
        self._callers = self._read()

    def reload(self) -> None:
        """Read the file again. If it is unusable, keep the former secrets and log why."""
        try:
            self._callers = self._read()
        except SettingsError as error:
            logs.emit("warning", message=f"{error}; the former secrets stay in force")

    def caller(self, request: Request) -> Caller | None:
        """The platform that sent the request, or None."""
        scheme, _, secret = request.environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if not self._callers or scheme.lower() != "bearer":
            return None
        return self._callers.get(_digest(secret.strip()))

    def _read(self) -> dict[bytes, Caller]:
        path = self._settings.platform_secrets_file
        callers: dict[bytes, Caller] = {}
        others = {_digest(secret.decode()) for secret in self._settings.gateway_secrets()}
        for number, line in enumerate(read_file(_NAME, path).splitlines() if path else [], 1):
            if line and not line.startswith("#"):
                secret, space, tenant = line.partition(" ")
                digest = _digest(secret)
                if fault := _fault(secret, digest in callers, digest in others):
                    raise SettingsError(f"{_NAME}: {path}: line {number}: {fault}")
                scope = {"tenant": _tenant(tenant)} if space else {}
                if not all(map(OWNER_ID.holds, scope.values())):
                    raise SettingsError(f"{_NAME}: {path}: line {number}: is not SECRET TENANT")
                callers[digest] = Caller.of(Role.CALL_PLATFORM, scope)
        return callers


def _fault(secret: str, repeated: bool, gateway: bool) -> str:
    if len(secret) < 32 or not _SECRET.fullmatch(secret):
        return "a secret needs at least 32 letters, digits or -._~+/ (try: openssl rand -hex 32)"
    if repeated:
        return "repeats the secret of an earlier line"
    return "must differ from the gateway's secret" if gateway else ""


def _tenant(text: str) -> str:
    """A percent-encoded tenant id; empty, which no tenant is, if it is malformed."""
    try:
        return unquote_to_bytes(text).decode() if _ENCODED.fullmatch(text) else ""
    except UnicodeError:
        return ""


def _digest(secret: str) -> bytes:
    """A key that neither the time of a look-up nor a memory dump turns into the secret."""
    return sha256(secret.encode("utf-8", "surrogateescape")).digest()
