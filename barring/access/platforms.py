"""The secrets of call platforms: whoever sends one may verify codes, and nothing else."""

import re
from hashlib import sha256
from urllib.parse import unquote

from barring import logs
from barring.http.application import current_request
from barring.settings import Settings, SettingsError, read_file, variable
from schemas.rules import OWNER_ID

from .roles import Caller, Role

_NAME = variable("platform_secrets_file")
_FORM = "must be SECRET or SECRET TENANT, SECRET of 32 or more letters (try: openssl rand -hex 32)"
_USED = "is a secret of an earlier line or of the gateway"
_LINE = re.compile("([A-Za-z0-9._~+/-]{32,}=*)(?: ((?:[!-$&-~]|%[0-9A-Fa-f]{2})+))?")
"""A bearer token (RFC 6750, section 2.1), and percent-encoded text: ASCII without blanks."""


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

    def caller(self) -> Caller | None:
        """The platform that sent the current request, or None."""
        scheme, _, secret = current_request().environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if not self._callers or scheme.lower() != "bearer":
            return None
        return self._callers.get(_digest(secret.strip()))

    def _read(self) -> dict[bytes, Caller]:
        path = self._settings.platform_secrets_file
        callers: dict[bytes, Caller] = {}
        gateway = {_digest(secret.decode()) for secret in self._settings.gateway_secrets()}
        for at, line in enumerate(read_file(_NAME, path).splitlines() if path else [], 1):
            if line and not line.startswith("#"):
                secret, scope = _parsed(line)
                digest = _digest(secret)
                if not secret or digest in gateway or digest in callers:
                    raise SettingsError(f"{_NAME}: {path}: line {at}: {_USED if secret else _FORM}")
                callers[digest] = Caller.of(Role.CALL_PLATFORM, scope)
        return callers


def _parsed(line: str) -> tuple[str, dict[str, str]]:
    """The secret and the scope of a line; an empty secret if it is malformed."""
    match = _LINE.fullmatch(line)
    # Bytes that are not UTF-8 become U+FFFD, which no id needs.
    scope = {"tenant": unquote(match[2])} if match and match[2] else {}
    valid = match and all(OWNER_ID.holds(id) and "\ufffd" not in id for id in scope.values())
    return (match[1] if match and valid else ""), scope


def _digest(secret: str) -> bytes:
    """A key that neither the time of a look-up nor a memory dump turns into the secret."""
    return sha256(secret.encode("utf-8", "surrogateescape")).digest()
