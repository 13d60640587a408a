"""Every setting of the service. No other module reads the environment for one."""

import dataclasses
import ipaddress
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from marshmallow import EXCLUDE, Schema, ValidationError, validate

from schemas.rules import CODE_PATTERN

from . import logs

JWT_ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA", "HS256")
"""What tokens may be signed by: a public-key algorithm, or HS256 with a shared secret."""


def _home() -> Path:
    """Where `data/` lies: beside the binary, in the checkout, or for a package where one works."""
    if getattr(sys, "frozen", False):
        return Path(sys.executable).resolve().parent
    root = Path(__file__).resolve().parent.parent
    return root if (root / "pyproject.toml").is_file() else Path.cwd()


class SettingsError(Exception):
    """A setting is missing or wrong. The message is one line that names the variable."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings, checked. `bind` is the environment variable BARRING_BIND, and so on."""

    bind: str = "127.0.0.1:8000"
    """Where to listen: HOST:PORT, [IPV6]:PORT, or unix:PATH."""

    database_url: str = f"sqlite:///{quote(str(_home() / 'data' / 'barring.sqlite3'))}"
    """Where the codes are kept: sqlite:///PATH, relative to the working directory if it does not
    begin with a slash, or postgresql://USER:PASSWORD@HOST/DATABASE."""

    workers: int = 2
    """How many processes answer requests."""

    auth: str = "local"
    """Who says who the caller is: local, gateway or jwt."""

    gateway_secret: str = field(default="", repr=False)
    """What the gateway proves itself with: one secret, or two with a space between."""

    gateway_secret_file: str = ""
    """A file that holds such a secret, or two."""

    jwt_algorithm: str = ""
    """The one algorithm that tokens are signed by."""

    jwt_key_file: str = ""
    """A file with the PEM public key, or for HS256 the secret, of the issuer; or with two."""

    jwt_issuer: str = ""
    """The claim iss of every token."""

    jwt_audience: str = ""
    """What the claim aud of every token names."""

    metrics: bool = False
    """Whether figures are kept and shown at /metrics, to any peer."""

    tls_cert_file: str = ""
    """A PEM certificate, with its chain, to serve HTTPS with."""

    tls_key_file: str = ""
    """The PEM private key of that certificate."""

    code_pattern: str = CODE_PATTERN
    """A regular expression that a new code must match from end to end."""

    max_body_bytes: int = 16 * 1024 * 1024
    """How long a request body may be, in bytes."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        """Read the settings, each from its variable or else its default.

        Raises SettingsError, naming every variable at fault.
        """
        try:
            settings = cls(**_VARIABLES.load(environ, unknown=EXCLUDE))
        except ValidationError as error:
            raise SettingsError(_one_line(cast(dict[str, list[str]], error.messages))) from error
        known = {variable(field) for field in cls.__dataclass_fields__}
        for name in sorted(environ):
            if name.startswith("BARRING_") and name not in known:
                _warn_of(name)
        return settings

    def in_the_clear(self) -> bool:
        """Whether secrets or tokens would cross a network without TLS."""
        host = self.bind.rpartition(":")[0].strip("[]")
        local = self.bind.startswith("unix:") or host == "localhost" or is_loopback(host)
        return self.auth != "local" and not local and not self.tls_cert_file

    def gateway_secrets(self) -> list[bytes]:
        """The secrets of BARRING_GATEWAY_SECRET and BARRING_GATEWAY_SECRET_FILE, none to two.

        Raises SettingsError for a file that cannot be read, and for a secret that is too short.
        """
        secrets = split_secrets("BARRING_GATEWAY_SECRET", self.gateway_secret)
        if self.gateway_secret_file:
            name = "BARRING_GATEWAY_SECRET_FILE"
            secrets += split_secrets(name, read_file(name, self.gateway_secret_file))
        if len(secrets) > 2:
            raise SettingsError("BARRING_GATEWAY_SECRET: at most two are accepted at once")
        return secrets


@lru_cache
def _warn_of(name: str) -> None:
    """Say once in this process that a variable is no setting."""
    reason = _REMOVED.get(name, "there is no such setting")
    logs.emit("warning", message=f"{name}: {reason}; it is ignored")


def variable(field: str) -> str:
    """The name of the environment variable that sets a field."""
    return f"BARRING_{field.upper()}"


def without_password(url: str) -> str:
    """A URL that may be shown."""
    url = re.sub(r"(?<=//)([^:/@]*):[^@]*@", r"\1:***@", url)
    return re.sub("password=[^&]*", "password=***", url)


def set_variable(field: str, value: str) -> None:
    """Let the environment of this process and of those it starts say `value` for a setting."""
    os.environ[variable(field)] = value


@lru_cache
def is_loopback(address: str) -> bool:
    """Whether an IP address, which may be an IPv4 one mapped into IPv6, is this machine's own.

    A host name is not: what it resolves to is not asked.
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    return (getattr(ip, "ipv4_mapped", None) or ip).is_loopback


def read_file(name: str, path: str) -> str:
    """The text of the file that the variable `name` points to.

    Raises SettingsError, naming both, where it cannot be read.
    """
    try:
        return Path(path).read_text()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "is not UTF-8 text"
        raise SettingsError(f"{name}: {path}: {reason}") from error


def split_secrets(name: str, text: str) -> list[bytes]:
    """The secrets in a text, which white space separates.

    Raises SettingsError, naming the variable and not the secret, for one under 32 bytes.
    """
    secrets = [secret.encode() for secret in text.split()]
    if any(len(secret) < 32 for secret in secrets):
        raise SettingsError(f"{name}: a secret needs at least 32 bytes (try: openssl rand -hex 32)")
    return secrets


def _one_line(messages: dict[str, list[str]]) -> str:
    return " ".join(f"{name}: {' '.join(texts)}" for name, texts in sorted(messages.items()))


def _listening_address(value: str) -> None:
    tcp = re.fullmatch(r"([^:\[\]]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})", value)
    if not (int(tcp[2]) <= 65535 if tcp else re.fullmatch("unix:.+", value)):
        raise ValidationError("Must be HOST:PORT, [IPV6]:PORT, or unix:PATH.")


def _regular_expression(value: str) -> None:
    if not value:
        raise ValidationError("Must not be empty: it would allow no code.")
    try:
        re.compile(value)
    except re.error as error:
        raise ValidationError(f"Must be a regular expression: {error}.") from error


_REMOVED = {"BARRING_THREADS": "was removed, since connections need no threads any more"}
"""Settings of earlier releases, and why they went."""

_RULES: dict[str, Any] = {
    "bind": _listening_address,
    "database_url": validate.Regexp(
        r"(sqlite:///[^?#]+|postgresql://.+)\Z",
        error="Must be sqlite:///PATH (four slashes before an absolute path), or postgresql://...",
    ),
    "workers": validate.Range(min=1, max=128),
    "auth": validate.OneOf(["local", "gateway", "jwt"]),
    "jwt_algorithm": validate.OneOf(JWT_ALGORITHMS),
    "code_pattern": _regular_expression,
    "max_body_bytes": validate.Range(min=1024, max=256 * 1024 * 1024),
}
"""The settings that not every value of their type will do for."""

_VARIABLES = Schema.from_dict(
    {
        setting.name: Schema.TYPE_MAPPING[cast(type, setting.type)](
            data_key=variable(setting.name), validate=_RULES.get(setting.name)
        )
        for setting in dataclasses.fields(Settings)
    }
)()
