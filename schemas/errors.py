"""The one shape of every error."""

from marshmallow import Schema, fields


class Error(Schema):
    """What went wrong, with what, and what to do."""

    code = fields.Integer(required=True, metadata={"description": "The HTTP status code"})
    status = fields.String(required=True, metadata={"description": "The HTTP status in words"})
    message = fields.String(
        required=True, metadata={"description": "What was wrong and, where it helps, what to do"}
    )
    errors = fields.Dict(
        keys=fields.String(),
        metadata={"description": "The faults of the body, each under the path to its field"},
    )
