"""Verification and lock-out as JSON."""

from datetime import UTC, datetime
from typing import Any

from marshmallow import Schema, fields
from marshmallow.validate import OneOf

from barring import domain

from .codes import class_of_service
from .codes import dump as dump_code
from .responses import Response


class CodeToVerify(Schema):
    """The code that a user has keyed in: any string."""

    code = fields.String(required=True, metadata={"example": "4711"})


class Verification(Response):
    """The code that lets the user place the call."""

    level = fields.String(
        required=True,
        validate=OneOf(("user", "group", "tenant")),
        metadata={"description": "Whose code it is: the nearest counts"},
    )
    classOfService = class_of_service()  # noqa: N815
    description = fields.String(required=True, metadata={"example": "Night shift"})


_FIELDS = (*Verification().fields,)  # Once: a schema takes 40 µs to make.


class Lockout(Response):
    """The failed verifications of a user, and the end of the lock."""

    failures = fields.Integer(required=True, metadata={"example": 3})
    lockedUntil = fields.DateTime(  # noqa: N815
        required=True, allow_none=True, metadata={"example": "2026-11-26T12:00:00Z"}
    )


def dump(owner: domain.Owner, code: domain.AuthorizationCode) -> dict[str, str]:
    """Dump a verified code and its owner. The description, which may be long, comes last."""
    dumped = dump_code(code) | {"level": owner.level}
    return {name: dumped[name] for name in _FIELDS if name in dumped}


def dump_lockout(failures: int, locked_until: int) -> dict[str, Any]:
    """Dump the number of failures, and the end of the lock in seconds since 1970, or 0."""
    time = datetime.fromtimestamp(locked_until, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"failures": failures, "lockedUntil": time if locked_until else None}
