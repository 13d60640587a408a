"""The resource: the authorization codes of one user."""

from urllib.parse import quote

from flask import Response, g, jsonify
from webargs.flaskparser import abort

from barring import logs
from barring.access import Role, requires
from barring.domain import Owner
from barring.http.application import current_request, json_list
from barring.http.body import JSONBlueprint
from barring.pauses import in_parts
from barring.storage.base import AlreadyExists, Storage
from schemas import codes as bodies

ALL = "/"
ONE = "/<string:code>/"
PREFIX = (
    "/api/v1/tenants/<id:tenant_id>/groups/<id:group_id>/users/<id:user_id>"
    "/services/outgoing_call_barring/codes"
)
NEW = [{"code": code, "description": f"test_code_{code}"} for code in ("03", "04", "05")]
CREATION_EXAMPLES = {
    "a list of codes": {"value": {"authCodes": NEW[:2]}},
    "one code": {"value": NEW[2]},
}
UNKNOWN = "This user has no such code."
REMOVAL_EXAMPLES = {"a list of codes": {"value": {"authCodes": [{"code": "03"}, {"code": "04"}]}}}
PARAMETERS = [
    {"in": "path", "name": "tenant_id", "description": "The tenant", "example": "footenant"},
    {"in": "path", "name": "group_id", "description": "The tenant's group", "example": "foogroup"},
    {"in": "path", "name": "user_id", "description": "The group's user", "example": "foouser"},
]
CODE = [{"in": "path", "name": "code", "description": "The code", "example": "03"}]
CREATED = {
    "headers": {
        "Location": {
            "description": "Where the new code is, if one was created and not a list",
            "schema": {"type": "string", "format": "uri-reference"},
        }
    },
    "links": {
        "all codes": {
            "operationId": "listAuthorizationCodes",
            "parameters": {
                name: f"$request.path.{name}" for name in ("tenant_id", "group_id", "user_id")
            },
        }
    },
}


def blueprint(storage: Storage, new_codes: bodies.NewCodes) -> JSONBlueprint:
    """The six operations on the codes in `storage`; `new_codes` is the rule for creating some."""
    codes = JSONBlueprint(
        "Authorization codes",
        __name__,
        url_prefix=PREFIX,
        description="Codes that let a barred user place a call anyway",
    )
    _reads(codes, storage)
    _creations(codes, storage, new_codes)
    _removals(codes, storage)
    return codes


def _reads(codes: JSONBlueprint, storage: Storage) -> None:
    @codes.get(ALL)
    @requires(Role.END_USER)
    @codes.response(200, bodies.AuthorizationCodes, description="All codes of the user, by code")
    @codes.doc(operationId="listAuthorizationCodes")
    def list_codes(owner: Owner) -> Response:
        """List the authorization codes of a user"""
        parts = in_parts(storage.list(owner))
        return json_list("authCodes", ([bodies.dump(code) for code in part] for part in parts))

    @codes.get(ONE, parameters=CODE)
    @requires(Role.END_USER)
    @codes.response(200, bodies.AuthorizationCode, description="The code")
    @codes.doc(operationId="getAuthorizationCode")
    def get_code(owner: Owner, code: str) -> Response:
        """Get an authorization code of a user"""
        found = storage.get(owner, code)
        return jsonify(bodies.dump(found)) if found else abort(404, message=UNKNOWN)


def _creations(codes: JSONBlueprint, storage: Storage, new_codes: bodies.NewCodes) -> None:
    @codes.post(ALL)
    @requires(Role.GROUP_ADMIN)
    @codes.arguments(new_codes, examples=CREATION_EXAMPLES)
    @codes.response(201, bodies.EmptyObject, description="Everything is stored")
    @codes.doc(operationId="createAuthorizationCodes", responses={201: CREATED})
    def create_codes(new: bodies.Creation, owner: Owner) -> Response:
        """Create an authorization code for a user, or a list of them

        A list is one unit: all of it is stored, or none of it. A code that exists already is a
        400 whose `errors` name each item at fault.
        """
        try:
            storage.add(owner, new.codes)
        except AlreadyExists as error:
            message = "Nothing was stored: `errors` names the codes that exist already."
            abort(400, message=message, errors={"json": new.faults(error.positions)})
        _audit("create", owner, len(new.codes))
        answer = jsonify({})
        answer.status_code = 201
        if not new.listed:
            path, code = current_request().path.rstrip("/"), new.codes[0].code
            answer.location = f"{quote(path)}/{quote(code, safe='')}/"
        return answer


def _removals(codes: JSONBlueprint, storage: Storage) -> None:
    @codes.delete(ALL)
    @requires(Role.GROUP_ADMIN)
    @codes.arguments(bodies.CodesToRemove(), examples=REMOVAL_EXAMPLES)
    @codes.response(200, bodies.EmptyObject, description="None of the codes is there any more")
    @codes.doc(operationId="deleteAuthorizationCodes")
    def delete_codes(named: dict[str, list[str]], owner: Owner) -> Response:
        """Remove a list of authorization codes from a user

        Codes that are not there are no error.
        """
        _audit("delete", owner, storage.remove(owner, named["authCodes"]))
        return jsonify({})

    @codes.delete(ONE, parameters=CODE)
    @requires(Role.GROUP_ADMIN)
    @codes.response(200, bodies.EmptyObject, description="The code is not there any more")
    @codes.doc(operationId="deleteAuthorizationCode")
    def delete_code(owner: Owner, code: str) -> Response:
        """Remove an authorization code from a user

        A code that is not there is no error.
        """
        _audit("delete", owner, storage.remove(owner, [code]))
        return jsonify({})


def _audit(operation: str, owner: Owner, count: int) -> None:
    """Say in the log who changed how many codes of whom."""
    logs.emit(
        "audit",
        request_id=current_request().id,
        role=g.caller.role.title,
        scope=list(g.caller.scope.values()),
        owner=owner._asdict(),
        operation=operation,
        count=count,
    )
