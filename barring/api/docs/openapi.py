"""The OpenAPI document: flask-smorest writes it, and this says what flask-smorest cannot know."""

import inspect
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
from barring.http.errors import JSONErrors
from barring.http.paths import OwnerPart
from barring.storage.base import StorageUnavailable
from schemas.codes import NewCodes
from schemas.rules import OWNER_ID

_ANSWERS = {
    "400": "The request is not valid; `message` and `errors` say why.",
    "401": "The caller does not say who it is.",
    "403": "The caller's role or scope does not reach this user's codes.",
    "404": "There is no such code, or nothing at this path.",
    "408": "The body stopped arriving.",
    "413": "The body is longer than this service takes.",
    "415": "The body is not declared as application/json.",
    "500": "An unexpected fault; the log tells more under the answer's X-Request-ID.",
    "503": "The service cannot answer now; try again after Retry-After seconds.",
}
_FAULTS = {"json": {"authCodes": {"1": {"code": ["This code exists already."]}}}}
_HEADERS = {"401": "WWW-Authenticate", "503": "Retry-After"}
_EVERYWHERE = ("400", "404", "500", "503")
_GUARDED = ("401", "403")
_WITH_BODY = ("408", "413", "415")

_DESCRIPTION = """\
Users may be barred from dialling some outgoing numbers. A user who keys in a valid
**authorization code** may place the call all the same. This service keeps those codes, per
tenant, group and user.

Say who you are with **Authorize**: an End User reads, a Group Admin and above also writes.
"""


class _Converter(OpenAPIConverter):
    """Documents NewCodes as what it is, one of two shapes."""

    def schema2jsonschema(self, schema: Schema) -> dict[str, Any]:
        if isinstance(schema, NewCodes):
            shapes = (schema.listed, schema.single)
            return {"oneOf": [self.resolve_nested_schema(shape) for shape in shapes]}
        words = (inspect.getdoc(type(schema)) or "").partition("\n")[0]
        return {"description": words, **super().schema2jsonschema(schema)}


class _Marshmallow(MarshmallowPlugin):
    Converter = _Converter


class _Answers(BasePlugin):
    """Gives every operation an entry for each error, and the security schemes of the mode."""

    def __init__(self, mode: Mode) -> None:
        self.security: list[dict[str, list[str]]] = [{name: [] for name in mode.security_schemes}]

    def init_spec(self, spec: Any) -> None:
        for status, description in _ANSWERS.items():
            example: dict[str, Any] = {
                "code": int(status),
                "status": HTTPStatus(int(status)).phrase,
                "message": description,
            }
            if status == "400":
                example["errors"] = _FAULTS
            error = {"schema": {"$ref": "#/components/schemas/Error"}, "example": example}
            answer = {"description": description, "content": {"application/json": error}}
            if status in _HEADERS:
                header = {"required": True, "schema": {"type": "string"}}
                answer["headers"] = {_HEADERS[status]: header}
            spec.components.response(f"Error{status}", answer)

    def operation_helper(
        self, path: str | None = None, operations: dict[str, Any] | None = None, **_: Any
    ) -> None:
        for operation in (operations or {}).values():
            statuses: tuple[str, ...] = _EVERYWHERE
            if "security" in operation:
                statuses += _GUARDED
                operation["security"] = self.security
            if "requestBody" in operation:
                statuses += _WITH_BODY
            errors = {status: f"Error{status}" for status in statuses}
            responses = {str(status): r for status, r in operation["responses"].items()} | errors
            operation["responses"] = dict(sorted(responses.items()))


def create_api(app: Flask, mode: Mode) -> JSONErrors:
    """The API to register blueprints with; its document is served at /openapi.json."""
    app.config.update(
        API_TITLE="Outgoing call barring: authorization codes",
        API_VERSION=__version__,
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/",
        OPENAPI_JSON_PATH="openapi.json",
    )
    documenting: Any = _Marshmallow()
    api = JSONErrors(
        app,
        spec_kwargs={
            "info": {"description": _DESCRIPTION},
            "marshmallow_plugin": documenting,
            "extra_plugins": [_Answers(mode)],
        },
    )
    app.register_error_handler(StorageUnavailable, api.handle_unavailable_storage)
    for name, scheme in mode.security_schemes.items():
        api.spec.components.security_scheme(name, scheme)
    owner_id = documenting.converter.field2property(String(validate=OWNER_ID))
    api.register_converter(OwnerPart, lambda _: owner_id)
    api.register_converter(UnicodeConverter, lambda _: {"type": "string", "pattern": "^[^/]+$"})
    return api
