"""Verification and lock-out as JSON."""

from datetime import UTC, datetime
from typing import Any

from marshmallow import fields
from marshmallow.validate import OneOf

from barring import domain

from .codes import CodeToRemove, class_of_service
from .items import Item
from .responses import Response


class CodeToVerify(Item):
    """The code that a user has keyed in: any string.

    Loads as the code alone, a string.
    """

    code = fields.String(required=True, metadata={"example": "4711"})
    build = staticmethod(CodeToRemove.build)


class Verification(Response):
    """The code that lets the user place the call. Of several levels that have it, the nearest."""

    level = fields.String(required=True, validate=OneOf(("user", "group", "tenant")))
    classOfService = class_of_service()  # noqa: N815
    description = fields.String(required=True, metadata={"example": "Night shift"})


class Lockout(Response):
    """The failed verifications of a user, and the end of the lock."""

    failures = fields.Integer(required=True, metadata={"example": 3})
    lockedUntil = fields.DateTime(required=True, allow_none=True)  # noqa: N815


def dump(owner: domain.Owner, code: domain.AuthorizationCode) -> dict[str, str]:
    """Dump a verified code and its owner. The description, which may be long, comes last."""
    service = {"classOfService": code.class_of_service} if code.class_of_service else {}
    return {"level": owner.level, **service, "description": code.description}


def dump_lockout(failures: int, locked_until: int) -> dict[str, Any]:
    """Dump the number of failures, and the end of the lock in seconds since 1970, or 0."""
    time = datetime.fromtimestamp(locked_until, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"failures": failures, "lockedUntil": time if locked_until else None}
