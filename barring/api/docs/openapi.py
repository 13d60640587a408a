"""The parts of the OpenAPI document that flask-smorest does not generate by itself."""

from http import HTTPStatus
from typing import Any

from apispec import BasePlugin
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from flask import Flask
from marshmallow import Schema
from marshmallow.fields import String
from werkzeug.routing import UnicodeConverter

from barring import __version__
from barring.access import Mode
from barring.access.base import BEARER
from barring.http.errors import JSONApi
from barring.http.paths import OwnerIdConverter
from barring.storage.base import StorageUnavailable
from schemas.codes import CodeChanges, NewCodes
from schemas.rules import OWNER_ID

_DESCRIPTION = """\
Users may be barred from dialling some outgoing numbers. A user who keys in a valid
**authorization code** may place the call anyway. This service stores those codes for users, for
groups of users, and for tenants.

Identify yourself with **Authorize**. Each operation names the least role that it needs.
"""

_CONTACT = {"name": "The operator of this service"}
_LICENSE = {"name": "Apache License 2.0", "identifier": "Apache-2.0"}

_ERRORS = {
    400: ("responses", "The request is not valid; `message` and `errors` say why."),
    401: ("security", "The request does not identify a valid caller."),
    403: ("security", "The caller's role is too low, or its scope does not cover the path."),
    404: ("responses", "There is no such code, or nothing at this path."),
    408: ("requestBody", "The body stopped arriving."),
    413: ("requestBody", "The body is too long."),
    415: ("requestBody", "The body is not declared as application/json."),
    429: ("", "Too many codes were refused: the user is locked out for Retry-After seconds."),
    500: ("responses", "An internal error; the log describes it under X-Request-ID."),
    503: ("responses", "The service is unavailable; try again after Retry-After seconds."),
}
"""By status: a key and a message. An operation can have the error if its document has the key;
one without the key documents the response itself."""

_HEADERS = {401: "WWW-Authenticate", 429: "Retry-After", 503: "Retry-After"}
_EXAMPLE_OF_FAULTS = {"json": {"authCodes": {"1": {"code": ["This code exists already."]}}}}


class _Converter(OpenAPIConverter):
    """Describes each schema by its docstring's first line, and NewCodes as one of two shapes."""

    def schema2jsonschema(self, schema: Schema) -> dict[str, Any]:
        if isinstance(schema, NewCodes):
            shapes = (schema.listed, schema.single)
            return {"oneOf": [self.resolve_nested_schema(shape) for shape in shapes]}
        words = (type(schema).__doc__ or "").partition("\n")[0]
        least = {"minProperties": 1} if isinstance(schema, CodeChanges) else {}
        return {"description": words, **least, **super().schema2jsonschema(schema)}


class _Marshmallow(MarshmallowPlugin):
    Converter = _Converter


class _Operations(BasePlugin):
    """Adds to every operation its id, its possible errors, and the mode's security schemes."""

    def __init__(self, mode: Mode) -> None:
        self.mode = mode

    def init_spec(self, spec: Any) -> None:
        for name, scheme in self.mode.security_schemes.items():
            spec.components.security_scheme(name, scheme)
        spec.components.security_scheme("platform", BEARER | {"description": "A platform's secret"})
        for status, (_, message) in _ERRORS.items():
            example = {"code": status, "status": HTTPStatus(status).phrase, "message": message}
            if status == 400:
                example["errors"] = _EXAMPLE_OF_FAULTS
            error = {"schema": {"$ref": "#/components/schemas/Error"}, "example": example}
            answer = {"description": message, "content": {"application/json": error}}
            if status in _HEADERS:
                header = {"required": True, "schema": {"type": "string"}}
                answer["headers"] = {_HEADERS[status]: header}
            spec.components.response(f"Error{status}", answer)

    def operation_helper(self, path: Any = None, operations: Any = None, **more: Any) -> None:
        # The view list_authorization_codes becomes listAuthorizationCodes.
        verb, *nouns = more["rule"].endpoint.rpartition(".")[2].split("_")
        for operation in operations.values():
            operation["operationId"] = verb + "".join(map(str.title, nouns))
            for status, (needed, _) in _ERRORS.items():
                if needed in operation:
                    operation["responses"][status] = f"Error{status}"
            if "security" in operation:
                operation["security"][0] = {name: [] for name in self.mode.security_schemes}


def create_api(app: Flask, mode: Mode, prefix: str) -> JSONApi:
    """Create the API for the blueprints. Its document is served at /openapi.json."""
    app.config["OPENAPI_URL_PREFIX"] = "/"
    api = JSONApi(
        app,
        spec_kwargs={
            "title": "Outgoing call barring: authorization codes",
            "version": __version__,
            "openapi_version": "3.1.0",
            "info": {"description": _DESCRIPTION, "contact": _CONTACT, "license": _LICENSE},
            "servers": [{"url": prefix or "/", "description": "This service"}],
            "marshmallow_plugin": _Marshmallow(),
            "extra_plugins": [_Operations(mode)],
        },
    )
    del api.spec.components.schemas["PaginationMetadata"]  # flask-smorest's; nothing uses it.
    app.register_error_handler(StorageUnavailable, api.handle_unavailable_storage)
    owner_id = api.ma_plugin.converter.field2property(String(validate=OWNER_ID))
    api.register_converter(OwnerIdConverter, lambda _: owner_id)
    api.register_converter(UnicodeConverter, lambda _: {"type": "string", "pattern": "^[^/]+$"})
    return api
