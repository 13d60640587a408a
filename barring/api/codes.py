"""The resource of authorization codes."""

from urllib.parse import quote

from flask import Response, g
from flask.typing import ResponseReturnValue
from webargs.flaskparser import abort

from barring import logs
from barring.access import Role, requires
from barring.domain import Owner
from barring.http.application import current_request, json_list, json_response
from barring.http.body import JSONBlueprint
from barring.pauses import in_parts
from barring.storage.base import AlreadyExists, Storage
from schemas import codes as schemas

from .docs import examples

PREFIX = (
    "/api/v1/tenants/<id:tenant_id>/groups/<id:group_id>/users/<id:user_id>"
    "/services/outgoing_call_barring/codes"
)


def blueprint(storage: Storage, new_codes: schemas.NewCodes) -> JSONBlueprint:
    """The operations on the codes in `storage`; `new_codes` loads the bodies of POST requests."""
    codes = JSONBlueprint(
        "Authorization codes",
        __name__,
        url_prefix=PREFIX,
        description="Codes that let a barred user place a call anyway",
    )
    _add_reads(codes, storage)
    _add_creation(codes, storage, new_codes)
    _add_removals(codes, storage)
    return codes


def _add_reads(codes: JSONBlueprint, storage: Storage) -> None:
    @codes.get("/")
    @requires(Role.END_USER)
    @codes.response(200, schemas.AuthorizationCodes, description="The codes, ordered by code")
    def list_authorization_codes(owner: Owner) -> Response:
        """List the authorization codes of a user"""
        parts = in_parts(storage.list(owner))
        return json_list("authCodes", ([schemas.dump(code) for code in part] for part in parts))

    @codes.get("/<string:code>/", parameters=examples.CODE)
    @requires(Role.END_USER)
    @codes.response(200, schemas.AuthorizationCode, description="The code")
    def get_authorization_code(owner: Owner, code: str) -> Response:
        """Get an authorization code of a user"""
        found = storage.get(owner, code)
        if found is None:
            abort(404, message="This user has no such code.")
        return json_response(schemas.dump(found))


def _add_creation(codes: JSONBlueprint, storage: Storage, new_codes: schemas.NewCodes) -> None:
    @codes.post("/")
    @requires(Role.GROUP_ADMIN)
    @codes.arguments(new_codes, examples=examples.NEW_CODES)
    @codes.response(
        201,
        schemas.EmptyObject,
        description="All codes are stored",
        headers={"Location": examples.LOCATION},
    )
    def create_authorization_codes(new: schemas.Creation, owner: Owner) -> ResponseReturnValue:
        """Create an authorization code for a user, or a list of them

        A list is stored as a whole or not at all. If a code exists already, the response is 400,
        and its `errors` name each invalid item.
        """
        try:
            storage.add(owner, new.codes)
        except AlreadyExists as error:
            message = "Nothing was stored: `errors` names the codes that exist already."
            abort(400, message=message, errors={"json": new.faults(error.positions)})
        _audit("create", owner, len(new.codes))
        if new.listed:
            return json_response({}), 201
        path = quote(current_request().path.rstrip("/"))
        return json_response({}), 201, {"Location": f"{path}/{quote(new.codes[0].code, safe='')}/"}


def _add_removals(codes: JSONBlueprint, storage: Storage) -> None:
    @codes.delete("/")
    @requires(Role.GROUP_ADMIN)
    @codes.arguments(schemas.CodesToRemove(), examples=examples.CODES_TO_REMOVE)
    @codes.response(200, schemas.EmptyObject, description="None of the codes exists any more")
    def delete_authorization_codes(body: dict[str, list[str]], owner: Owner) -> Response:
        """Remove a list of authorization codes from a user

        Codes that do not exist are ignored.
        """
        _audit("delete", owner, storage.remove(owner, body["authCodes"]))
        return json_response({})

    @codes.delete("/<string:code>/", parameters=examples.CODE)
    @requires(Role.GROUP_ADMIN)
    @codes.response(200, schemas.EmptyObject, description="The code does not exist any more")
    def delete_authorization_code(owner: Owner, code: str) -> Response:
        """Remove an authorization code from a user

        It is not an error if the code does not exist.
        """
        _audit("delete", owner, storage.remove(owner, [code]))
        return json_response({})


def _audit(operation: str, owner: Owner, count: int) -> None:
    """Log who changed how many codes of which user."""
    caller = g.caller
    logs.emit(
        "audit",
        request_id=current_request().id,
        role=caller.role.title,
        scope=list(caller.scope.values()),
        owner=owner._asdict(),
        operation=operation,
        count=count,
    )
