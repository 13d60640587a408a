"""Errors as JSON."""

from marshmallow import Schema, fields


class Error(Schema):
    """What went wrong, where, and what to do."""

    code = fields.Integer(required=True, metadata={"description": "The HTTP status code"})
    status = fields.String(required=True, metadata={"description": "The HTTP status in words"})
    message = fields.String(
        required=True, metadata={"description": "What was wrong and, where possible, what to do"}
    )
    errors = fields.Dict(
        keys=fields.String(),
        metadata={"description": "The faults of the body, each under the path of its field"},
    )
