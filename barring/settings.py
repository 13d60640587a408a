"""The settings. No other module reads them from the environment."""

import dataclasses
import os
import re
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Self, cast
from urllib.parse import quote

from marshmallow import EXCLUDE, Schema, ValidationError
from marshmallow.validate import OneOf, Range, Regexp

from schemas.rules import CODE_PATTERN

from . import logs

MODES = ("local", "gateway", "jwt")
JWT_ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA", "HS256")


class SettingsError(Exception):
    """A setting is missing or invalid. The message is one line that names the variable."""


def setting(default: Any, help: str, rule: Any = None, *, secret: bool = False) -> Any:
    """A field of Settings; its `help` is the text of `serve --help` and of the documentation.

    `rule` is a marshmallow validator, for settings that do not accept every value of their type. A
    `secret` is masked wherever settings are shown, and is not an option of `serve`.
    """
    metadata = {"help": help, "rule": rule, "secret": secret}
    return dataclasses.field(default=default, repr=not secret, metadata=metadata)


def _home() -> Path:
    """The parent of `data/`: the binary's folder, the checkout, or the working directory."""
    if getattr(sys, "frozen", False):
        return Path(sys.executable).resolve().parent
    root = Path(__file__).resolve().parent.parent
    return root if (root / "pyproject.toml").is_file() else Path.cwd()


def _listening_address(value: str) -> None:
    tcp = re.fullmatch(r"([^:\[\]]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})", value)
    if not (int(tcp[2]) <= 65535 if tcp else re.fullmatch("unix:.+", value)):
        raise ValidationError("Must be HOST:PORT, [IPV6]:PORT or unix:PATH.")


_URL_PREFIX = Regexp(
    r"(?!/(api(\Z|/v1)|docs|health|metrics|openapi\.json)(/|\Z))(/(?!\.\.?(/|\Z))[A-Za-z0-9._~-]+)*\Z",
    error="Must be a path such as /barring: letters, digits and -._~, and no path of the service.",
)


def _pattern(value: str) -> None:
    if not value:
        raise ValidationError("Must not be empty: no code would match.")
    try:
        re.compile(f"^(?:{value})")  # Where flags for the whole pattern are not valid.
    except re.error as error:
        raise ValidationError(f"Must be a regular expression: {error}.") from error


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """The validated settings. BARRING_BIND sets the field `bind`, and so on."""

    bind: str = setting("127.0.0.1:8000", "HOST:PORT, [IPV6]:PORT or unix:PATH", _listening_address)
    url_prefix: str = setting("", "The path behind a proxy, such as /barring", _URL_PREFIX)
    database_url: str = setting(
        f"sqlite:///{quote(str(_home() / 'data' / 'barring.sqlite3'))}",
        "Where codes are stored: sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME",
        Regexp(
            r"(sqlite:///[^?#]+|postgresql://.+)\Z",
            error="Must be sqlite:///PATH (four slashes before an absolute path) or postgresql://...",
        ),
    )
    workers: int = setting(2, "The number of worker processes", Range(1, 128))
    auth: str = setting("local", f"How callers are identified: {', '.join(MODES)}", OneOf(MODES))
    gateway_secret: str = setting("", "The gateway's secret, or two during a rotation", secret=True)
    gateway_secret_file: str = setting("", "A file with one or two gateway secrets")
    jwt_algorithm: str = setting("", f"One of {', '.join(JWT_ALGORITHMS)}", OneOf(JWT_ALGORITHMS))
    jwt_key_file: str = setting("", "A file with the issuer's PEM public key or HS256 secret")
    jwt_issuer: str = setting("", "The iss claim that every token must have")
    jwt_audience: str = setting("", "An audience that the aud claim of every token must include")
    platform_secrets_file: str = setting("", "A file with the secrets of call platforms")
    lockout_attempts: int = setting(5, "Refused codes that lock a user; 0: never", Range(0, 100))
    lockout_seconds: int = setting(900, "Seconds that they count and a lock lasts", Range(1, 86400))
    metrics: bool = setting(False, "Whether to serve /metrics, without authentication")
    tls_cert_file: str = setting("", "A file with a PEM certificate and its chain, to serve HTTPS")
    tls_key_file: str = setting("", "A file with the PEM private key of that certificate")
    code_pattern: str = setting(CODE_PATTERN, "A regular expression that new codes match", _pattern)
    max_body_bytes: int = setting(16 * 1024**2, "The longest body", Range(1024, 256 * 1024**2))

    @classmethod
    def from_environment(
        cls, environ: Mapping[str, str] = os.environ, options: Mapping[str, str | None] = {}
    ) -> Self:
        """Read the settings from environment variables.

        `options`, by field name, override the variables; an option that is None is ignored.
        Raises SettingsError, naming every invalid variable.
        """
        given = {variable(name): value for name, value in options.items() if value is not None}
        try:
            settings = cls(**_SCHEMA.load({**environ, **given}, unknown=EXCLUDE))
        except ValidationError as error:
            faults = sorted(error.messages_dict.items())
            raise SettingsError(" ".join(f"{name}: {' '.join(m)}" for name, m in faults)) from error
        known = {variable(field.name) for field in dataclasses.fields(cls)}
        for name in sorted(environ):
            if name.startswith("BARRING_") and name not in known:
                _warn_of_unknown(name)
        return settings

    def shown(self) -> dict[str, Any]:
        """Every variable with its value, secrets and passwords masked."""
        shown = dataclasses.asdict(self) | {"database_url": without_password(self.database_url)}
        for field in dataclasses.fields(self):
            if field.metadata["secret"] and shown[field.name]:
                shown[field.name] = "(set)"
        return {variable(name): value for name, value in shown.items()}

    def gateway_secrets(self) -> list[bytes]:
        """The secrets of BARRING_GATEWAY_SECRET and BARRING_GATEWAY_SECRET_FILE, at most two.

        Raises SettingsError if the file cannot be read, or there is a fault in the secrets.
        """
        name, text = "BARRING_GATEWAY_SECRET", self.gateway_secret
        if self.gateway_secret_file:
            name = "BARRING_GATEWAY_SECRET_FILE"
            text += " " + read_file(name, self.gateway_secret_file)
        return split_secrets(name, text)


def variable(name: str) -> str:
    """The environment variable of a field of Settings."""
    return f"BARRING_{name.upper()}"


_SCHEMA = Schema.from_dict(
    {
        field.name: Schema.TYPE_MAPPING[cast(type, field.type)](
            data_key=variable(field.name), validate=field.metadata["rule"]
        )
        for field in dataclasses.fields(Settings)
    }
)()


def without_password(url: str) -> str:
    """A URL with *** in place of its password."""
    # A bare @ in the password ends it for PostgreSQL, but the rest must not be shown either.
    url = re.sub(r"(?<=//)([^:/@]*):[^@]*@(?:[^?]*@)?", r"\1:***@", url)
    return re.sub("password=[^&]*", "password=***", url)


@lru_cache
def _warn_of_unknown(name: str) -> None:
    """Log once per process that a variable is not a setting."""
    logs.emit("warning", message=f"{name}: there is no such setting; it is ignored")


def is_loopback(address: str) -> bool:
    """Whether an IP address, in the kernel's notation, is a loopback address.

    False for host names: they are not resolved.
    """
    return re.fullmatch(r"::1|(::ffff:)?127\.[0-9.]+", address) is not None


def is_local(address: str) -> bool:
    """Whether HOST:PORT, with the port or without, is localhost or a loopback address."""
    host = re.sub(r":[0-9]*\Z", "", address).strip("[]").lower()
    return host == "localhost" or is_loopback(host)


def read_file(name: str, path: str) -> str:
    """The text of the file at `path`, the value of the variable `name`.

    Raises SettingsError, naming both, if it cannot be read.
    """
    try:
        return Path(path).read_text()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "is not UTF-8 text"
        raise SettingsError(f"{name}: {path}: {reason}") from error


def split_secrets(name: str, text: str) -> list[bytes]:
    """The secrets in a text, separated by white space, at most two.

    Raises SettingsError for one under 32 bytes, naming the variable and not the secret.
    """
    secrets = [secret.encode() for secret in text.split()]
    if len(secrets) > 2:
        raise SettingsError(f"{name}: at most two secrets are accepted at once")
    if any(len(secret) < 32 for secret in secrets):
        raise SettingsError(f"{name}: a secret needs at least 32 bytes (try: openssl rand -hex 32)")
    return secrets
