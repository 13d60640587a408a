"""The audit lines of the HTTP API."""

from collections.abc import Sequence
from typing import Any

from flask import g

from barring import logs
from barring.domain import AuthorizationCode, Owner
from barring.http.application import current_request

MAX_DESCRIPTIONS = 20
"""How many descriptions a line lists at most."""


def audit(operation: str, owner: Owner, **details: Any) -> None:
    """Log who did what to the codes, or to a code, of whom."""
    caller = g.caller
    who = {"role": caller.role.title, "scope": list(caller.scope.values()), "owner": owner.ids()}
    logs.emit("audit", request_id=current_request().id, **who, operation=operation, **details)


def audit_write(operation: str, owner: Owner, codes: Sequence[AuthorizationCode]) -> None:
    """Log who created, changed or removed which codes of whom.

    The descriptions tell administrators which codes they were; the log may not contain the codes.
    """
    descriptions = [code.loggable_description() for code in codes[:MAX_DESCRIPTIONS]]
    audit(operation, owner, count=len(codes), descriptions=descriptions)
