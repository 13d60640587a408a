"""Every setting of the service. Nothing else reads the environment."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from schemas import CODE_PATTERN

_HOME = Path(__file__).resolve().parent.parent


class SettingsError(Exception):
    """A setting is missing or wrong. The message is one line that names the variable."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings, checked. `bind` is the environment variable BARRING_BIND, and so on."""

    bind: str = "127.0.0.1:8000"
    """Where to listen: HOST:PORT, [IPV6]:PORT, or unix:PATH."""

    database_url: str = f"sqlite:///{_HOME / 'data' / 'barring.sqlite3'}"
    """Where the codes are kept: sqlite:///PATH. A relative path is the working directory's."""

    workers: int = 2
    """How many processes answer requests."""

    threads: int = 64
    """How many requests each of them answers at once."""

    auth: str = "local"
    """Who says who the caller is: local."""

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
            return cls(**_Variables().load(environ))
        except ValidationError as error:
            raise SettingsError(_one_line(cast(dict[str, list[str]], error.messages))) from error


def _one_line(messages: dict[str, list[str]]) -> str:
    return " ".join(f"{name}: {' '.join(texts)}" for name, texts in sorted(messages.items()))


def _listening_address(value: str) -> None:
    host, _, port = value.rpartition(":")
    if value.startswith("unix:"):
        valid = len(value) > len("unix:")
    else:
        valid = bool(host) and port.isascii() and port.isdecimal() and int(port) <= 65535
    if not valid:
        raise ValidationError("Must be HOST:PORT, [IPV6]:PORT, or unix:PATH.")


def _database_url(value: str) -> None:
    if not re.match(r"sqlite:///.", value):
        raise ValidationError("Must be sqlite:///PATH (four slashes before an absolute path).")


def _regular_expression(value: str) -> None:
    try:
        re.compile(value)
    except re.error as error:
        raise ValidationError(f"Must be a regular expression: {error}.") from error


class _Variables(Schema):
    """The rules of the variables, each field named as in Settings."""

    class Meta:
        unknown = EXCLUDE

    bind = fields.String(validate=_listening_address)
    database_url = fields.String(validate=_database_url)
    workers = fields.Integer(validate=validate.Range(min=1, max=128))
    threads = fields.Integer(validate=validate.Range(min=1, max=1024))
    auth = fields.String(validate=validate.OneOf(["local"]))
    code_pattern = fields.String(validate=_regular_expression)
    max_body_bytes = fields.Integer(validate=validate.Range(min=1024))

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        field_obj.data_key = f"BARRING_{field_name.upper()}"
