"""The base of all response bodies, the empty object, and errors."""

from marshmallow import INCLUDE, Schema, fields


class Response(Schema):
    """A response body. A later release may add properties to it."""

    class Meta:
        unknown = INCLUDE


class EmptyObject(Response):
    """The empty object in the response to a write."""


class Error(Response):
    """What went wrong, where, and what to do."""

    code = fields.Integer(required=True, metadata={"description": "The HTTP status code"})
    status = fields.String(required=True, metadata={"description": "The HTTP status in words"})
    message = fields.String(required=True, metadata={"description": "What was wrong; what to do"})
    errors = fields.Dict(
        keys=fields.String(),
        metadata={"description": "The faults of the body, each under the path of its field"},
    )
