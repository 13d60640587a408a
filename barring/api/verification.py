"""Verification of codes by call platforms."""

from flask import Response
from webargs.flaskparser import abort

from barring.access import Role, requires
from barring.domain import Owner
from barring.http.application import json_response
from barring.http.body import JSONBlueprint
from barring.storage.base import StorageUnavailable
from barring.verification.verifier import Refused, Verifier
from schemas import verification as schemas

from .audit import audit
from .levels import LEVELS

_LOCKED = "Too many codes were refused: the user is locked out; do not place the call."


def blueprint(verifier: Verifier) -> JSONBlueprint:
    """The operation that verifies a code of a user."""
    verification = LEVELS[0].blueprint("verification", "verification")

    @verification.post("/")
    @requires(Role.TENANT_ADMIN, Role.CALL_PLATFORM)
    @verification.arguments(schemas.CodeToVerify())
    @verification.response(200, schemas.Verification, description="The user may place the call")
    @verification.alt_response(429, "Error429")
    def verify_authorization_code(code: str, owner: Owner) -> Response:
        """Verify an authorization code

        Any status but 200 means: do not place the call. A 403 with `errors` counts as a failure;
        after too many failures the user is locked out for some time.
        """
        try:
            whose, found = verifier.verify(owner, code)
        except StorageUnavailable:
            audit("unavailable", owner)
            raise
        except Refused as error:
            audit(error.outcome, owner)
            if error.seconds:
                abort(429, message=_LOCKED, headers={"Retry-After": error.seconds})
            fault = {"json": {"code": ["This code does not let the user place the call."]}}
            abort(403, message="The code was refused; do not place the call.", errors=fault)
        audit("verified", owner, level=whose.level, description=found.loggable_description())
        return json_response(schemas.dump(whose, found))

    return verification
