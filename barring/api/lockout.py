"""The lock-out of a user after failed verifications."""

from flask import Response

from barring.access import Role, requires
from barring.domain import Owner
from barring.http.application import json_response
from barring.http.body import JSONBlueprint
from barring.verification.verifier import Verifier
from schemas import verification as schemas
from schemas.responses import EmptyObject

from .audit import audit
from .levels import LEVELS


def blueprint(verifier: Verifier) -> JSONBlueprint:
    """The operations that show and lift the lock-out of a user."""
    lockout = LEVELS[0].blueprint("lockout", "lockout")

    @lockout.get("/")
    @requires(Role.GROUP_ADMIN)
    @lockout.response(200, schemas.Lockout, description="The failures and the lock")
    def get_lockout(owner: Owner) -> Response:
        """Show the failed verifications and the lock of a user"""
        return json_response(schemas.dump_lockout(*verifier.status(owner)))

    @lockout.delete("/")
    @requires(Role.GROUP_ADMIN)
    @lockout.response(200, EmptyObject, description="The user is not locked, and has no failures")
    def delete_lockout(owner: Owner) -> Response:
        """Lift the lock of a user, and forget the failures"""
        if verifier.unlock(owner):
            audit("unlocked", owner)
        return json_response({})

    return lockout
