"""The resource of authorization codes, the same at each level."""

from urllib.parse import quote

from flask import Response
from flask.typing import ResponseReturnValue
from webargs.flaskparser import abort

from barring.access import requires
from barring.domain import Owner
from barring.http.application import current_request, json_list, json_response
from barring.http.body import JSONBlueprint
from barring.pauses import in_parts
from barring.storage.base import AlreadyExists, Storage
from schemas import codes as schemas
from schemas.responses import EmptyObject

from .audit import audit_write
from .docs import examples
from .levels import Level


def blueprint(level: Level, storage: Storage, new_codes: schemas.NewCodes) -> JSONBlueprint:
    """The operations on the codes of a level; `new_codes` loads the bodies of POST requests."""
    codes = level.blueprint("authorization codes", "codes")
    _add_reads(codes, level, storage)
    _add_creation(codes, level, storage, new_codes)
    _add_change(codes, level, storage)
    _add_removals(codes, level, storage)
    return codes


def _add_reads(codes: JSONBlueprint, level: Level, storage: Storage) -> None:
    @codes.get("/", endpoint=level.operation("list", "authorization_codes"))
    @requires(level.reader)
    @codes.response(200, schemas.AuthorizationCodes, description="The codes, ordered by code")
    def list_codes(owner: Owner) -> Response:
        """List the authorization codes"""
        parts = in_parts(storage.list(owner))
        return json_list("authCodes", ([schemas.dump(code) for code in part] for part in parts))

    @codes.get("/<string:code>/", endpoint=level.operation("get"), parameters=examples.CODE)
    @requires(level.reader)
    @codes.response(200, schemas.AuthorizationCode, description="The code")
    def get_code(owner: Owner, code: str) -> Response:
        """Get an authorization code"""
        found = storage.get(owner, code)
        if found is None:
            abort(404, message=f"This {level.name} has no such code.")
        return json_response(schemas.dump(found))


def _add_creation(
    codes: JSONBlueprint, level: Level, storage: Storage, new_codes: schemas.NewCodes
) -> None:
    @codes.post("/", endpoint=level.operation("create", "authorization_codes"))
    @requires(level.writer)
    @codes.arguments(new_codes, examples=examples.NEW_CODES)
    @codes.response(
        201,
        EmptyObject,
        description="All codes are stored",
        headers={"Location": examples.LOCATION},
    )
    def create_codes(new: schemas.Creation, owner: Owner) -> ResponseReturnValue:
        """Create an authorization code, or a list of them

        A list is stored as a whole or not at all. If a code exists already, the response is 400,
        and its `errors` name each invalid item.
        """
        try:
            storage.add(owner, new.codes)
        except AlreadyExists as error:
            message = "Nothing was stored: `errors` names the codes that exist already."
            abort(400, message=message, errors={"json": new.faults(error.positions)})
        audit_write("create", owner, new.codes)
        if new.listed:
            return json_response({}), 201
        request = current_request()
        path = quote(request.root_path + request.path.rstrip("/"))
        return json_response({}), 201, {"Location": f"{path}/{quote(new.codes[0].code, safe='')}/"}


def _add_change(codes: JSONBlueprint, level: Level, storage: Storage) -> None:
    @codes.patch("/<string:code>/", endpoint=level.operation("change"), parameters=examples.CODE)
    @requires(level.writer)
    @codes.arguments(schemas.CodeChanges())
    @codes.response(200, schemas.AuthorizationCode, description="The code after the change")
    def change_code(changes: dict[str, str], owner: Owner, code: str) -> Response:
        """Change the description or the class of service of an authorization code"""
        changed = storage.change(owner, code, changes)
        if changed is None:
            abort(404, message=f"This {level.name} has no such code.")
        audit_write("change", owner, changed[:1])
        return json_response(schemas.dump(changed[1]))


def _add_removals(codes: JSONBlueprint, level: Level, storage: Storage) -> None:
    @codes.delete("/", endpoint=level.operation("delete", "authorization_codes"))
    @requires(level.writer)
    @codes.arguments(schemas.CodesToRemove(), examples=examples.CODES_TO_REMOVE)
    @codes.response(200, EmptyObject, description="None of the codes exists any more")
    def delete_codes(body: dict[str, list[str]], owner: Owner) -> Response:
        """Remove a list of authorization codes

        Codes that do not exist are ignored.
        """
        return _remove(storage, owner, body["authCodes"])

    @codes.delete("/<string:code>/", endpoint=level.operation("delete"), parameters=examples.CODE)
    @requires(level.writer)
    @codes.response(200, EmptyObject, description="The code does not exist any more")
    def delete_code(owner: Owner, code: str) -> Response:
        """Remove an authorization code

        It is not an error if the code does not exist.
        """
        return _remove(storage, owner, [code])


def _remove(storage: Storage, owner: Owner, codes: list[str]) -> Response:
    audit_write("delete", owner, storage.remove(owner, codes))
    return json_response({})
