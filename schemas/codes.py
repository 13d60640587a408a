"""Authorization codes as JSON."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from marshmallow import Schema, ValidationError, fields, post_load
from marshmallow.exceptions import SCHEMA

from barring import domain

from .items import Item, ItemList, first_faults, repeats
from .responses import Response
from .rules import CLASS_OF_SERVICE, CODE_PATTERN, DESCRIPTION, code_rule


def class_of_service(**options: Any) -> fields.String:
    """A field for the class of service of a code."""
    return fields.String(
        attribute="class_of_service",
        validate=CLASS_OF_SERVICE,
        metadata={"example": "international", "description": "Which calls the code permits"},
        **options,
    )


class AuthorizationCode(Response):
    """A code that lets a barred user place a call, and what it is for."""

    code = fields.String(required=True, metadata={"example": "01"})
    description = fields.String(required=True, metadata={"example": "test_code_01"})
    classOfService = class_of_service()  # noqa: N815


class AuthorizationCodes(Response):
    """All the codes of an owner, ordered by code."""

    authCodes = fields.List(fields.Nested(AuthorizationCode), required=True)  # noqa: N815


def dump(code: domain.AuthorizationCode) -> dict[str, str]:
    """Dump a code like the schema AuthorizationCode does, but many times faster."""
    dumped = {"code": code.code, "description": code.description}
    if code.class_of_service:
        dumped["classOfService"] = code.class_of_service
    return dumped


class NewCode(Item):
    """A code to create.

    Loads as a domain.AuthorizationCode.
    """

    code = fields.String(required=True, metadata={"example": "03"})
    # The default is a function, so that it is not in the OpenAPI document: some generators would
    # take the property for required.
    description = fields.String(
        load_default=str,
        validate=DESCRIPTION,
        metadata={"example": "test_code_03", "description": "Empty if it is left out"},
    )
    classOfService = class_of_service(load_default=str)  # noqa: N815
    build = domain.AuthorizationCode

    def __init__(self, code_pattern: str = CODE_PATTERN) -> None:
        """`code_pattern` is a regular expression that the whole code must match."""
        super().__init__()
        self.fields["code"].validators = [code_rule(code_pattern)]


class Creation(NamedTuple):
    """The codes to create, and whether they came as a list."""

    codes: list[domain.AuthorizationCode]
    listed: bool

    def faults(self, positions: Iterable[int]) -> dict[str, Any]:
        """Report codes at `positions` as existing, and repeated ones, like a ValidationError."""
        exists = {"code": ["This code exists already."]}
        if not self.listed:
            return exists
        return {"authCodes": first_faults(dict.fromkeys(positions, exists) | repeats(self.codes))}


class NewCodes(Schema):
    """One code to create, or a list of codes under `authCodes`.

    Loads as a Creation.
    """

    def __init__(self, code_pattern: str = CODE_PATTERN) -> None:
        """`code_pattern` as for NewCode."""
        super().__init__()
        self.single = NewCode(code_pattern)

        class NewCodeList(Schema):
            """Codes to create as one unit: all of them are stored, or none is."""

            authCodes = ItemList(self.single, distinct=True)  # noqa: N815

        self.listed = NewCodeList()

    def load(self, data: Any, **_: Any) -> Creation:
        """Load either shape. Raises ValidationError if neither fits."""
        if not isinstance(data, dict) or ("code" in data) == ("authCodes" in data):
            fault = "Must be an object that has either `code`, or `authCodes` with a list."
            raise ValidationError({SCHEMA: [fault]})
        if "code" in data:
            return Creation([self.single.load(data)], listed=False)
        return Creation(self.listed.load(data)["authCodes"], listed=True)


class CodeChanges(Schema):
    """The fields of a code to change.

    Loads as the new values by the fields of domain.AuthorizationCode.
    """

    description = fields.String(validate=DESCRIPTION, metadata={"example": "test_code_03"})
    classOfService = class_of_service(allow_none=True)  # noqa: N815

    @post_load
    def finish(self, changes: dict[str, str | None], **_: Any) -> dict[str, str]:
        """Clear what is null. Raises ValidationError if there is nothing to change."""
        if not changes:
            raise ValidationError("Must hold `description`, `classOfService` or both.")
        return {field: value or "" for field, value in changes.items()}


_IGNORED = {"description": "Ignored, so that a list that was read can be sent back"}


class CodeToRemove(Item):
    """A code to remove.

    Loads as the code alone, a string.
    """

    code = fields.String(required=True, metadata={"example": "01"})
    description = fields.Raw(allow_none=True, metadata=_IGNORED)
    classOfService = fields.Raw(allow_none=True, metadata=_IGNORED)  # noqa: N815

    @staticmethod
    def build(code: str, *_: Any, **__: Any) -> str:
        return code


class CodesToRemove(Schema):
    """Codes to remove; those that do not exist are ignored."""

    authCodes = ItemList(CodeToRemove())  # noqa: N815
