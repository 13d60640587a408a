"""Authorization codes as JSON, and the rules that a new one keeps.

The limits are those of BroadWorks: a code has 2 to 14 characters, a description at most 80.
Lengths count code points.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from marshmallow import Schema, ValidationError, fields, post_load, validate
from marshmallow.exceptions import SCHEMA

CODE_PATTERN = "[0-9A-Za-z*#._-]+"
"""What a new code is made of, unless the operator sets another pattern."""


class Nothing(Schema):
    """The empty object that answers a write."""


class AuthorizationCode(Schema):
    """A code that lets a barred user place a call, and what it is for."""

    code = fields.String(required=True, metadata={"example": "01"})
    description = fields.String(required=True, metadata={"example": "test_code_01"})


class AuthorizationCodes(Schema):
    """All the codes of a user, ordered by code."""

    authCodes = fields.List(fields.Nested(AuthorizationCode), required=True)  # noqa: N815


class _Matches(validate.Regexp):
    """A string that matches a regular expression from its first to its last character."""

    def __init__(self, pattern: str) -> None:
        # The anchors are for the readers of the OpenAPI document, where a pattern may match a part.
        super().__init__(f"^(?:{pattern})$", re.ASCII, error=f"Must match {pattern} as a whole.")
        self.whole = re.compile(pattern, re.ASCII)

    def __call__(self, value: Any) -> Any:
        # Not the anchored one: its $ would let a newline follow.
        if not self.whole.fullmatch(value):
            raise ValidationError(self.error)
        return value


def _no_nul(value: str) -> None:
    if "\0" in value:
        raise ValidationError("May not hold the character NUL.")


class NewCode(Schema):
    """A code to create. Loads as a pair of code and description."""

    code = fields.String(required=True, metadata={"example": "03"})
    description = fields.String(
        load_default="",
        validate=[validate.Length(max=80), _no_nul],
        metadata={"example": "test_code_03", "pattern": "^[^\\u0000]*$"},
    )

    def __init__(self, code_pattern: str = CODE_PATTERN, **options: Any) -> None:
        """`code_pattern` is a regular expression that a code must match from end to end."""
        super().__init__(**options)
        length = validate.Length(min=2, max=14)
        self.fields["code"].validators = [length, _Matches(code_pattern), _no_nul]

    @post_load
    def _pair(self, data: dict[str, str], **_: Any) -> tuple[str, str]:
        return data["code"], data["description"]


class _NewCodeItems(fields.List[Any]):
    """The items of a list of codes to create: each one valid, and no code twice."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> list[Any]:
        errors: dict[Any, Any] = {}
        try:
            codes = super()._deserialize(value, *args, **kwargs)
        except ValidationError as error:
            if not isinstance(error.messages, dict):
                raise
            errors = error.messages
        first_places: dict[str, int] = {}
        for index, item in enumerate(value):
            code = item.get("code") if isinstance(item, Mapping) else None
            if isinstance(code, str) and index not in errors:
                first = first_places.setdefault(code, index)
                if first != index:
                    errors[index] = {"code": [f"Repeats the code of item {first}."]}
        if errors:
            raise ValidationError(dict(sorted(errors.items())))
        return codes


class NewCodeList(Schema):
    """Codes to create as one unit: all of them are stored, or none is."""

    authCodes = _NewCodeItems(  # noqa: N815
        fields.Nested(NewCode), required=True, validate=validate.Length(min=1)
    )

    def __init__(self, code_pattern: str = CODE_PATTERN, **options: Any) -> None:
        """`code_pattern` as for NewCode."""
        super().__init__(**options)
        items = cast(_NewCodeItems, self.fields["authCodes"])
        cast(fields.Nested, items.inner).nested = NewCode(code_pattern)


class Creation(NamedTuple):
    """What a creation asked for: pairs of code and description, and whether they came listed."""

    codes: list[tuple[str, str]]
    listed: bool


class NewCodes(Schema):
    """One code or a list of codes to create; the key `authCodes` tells which. Loads a Creation."""

    def __init__(self, code_pattern: str = CODE_PATTERN, **options: Any) -> None:
        """`code_pattern` as for NewCode."""
        super().__init__(**options)
        self.one_of = (NewCodeList(code_pattern), NewCode(code_pattern))

    def load(self, data: Any, **_: Any) -> Creation:
        """Load either shape.

        Raises ValidationError with the messages of the shape that `data` has.
        """
        many, one = self.one_of
        if not isinstance(data, Mapping):
            raise ValidationError({SCHEMA: ["Must be an object."]})
        if "authCodes" in data and "code" in data:
            raise ValidationError({SCHEMA: ["Must hold `code` or `authCodes`, not both."]})
        if "authCodes" in data:
            return Creation(many.load(data)["authCodes"], listed=True)
        if "code" not in data:
            raise ValidationError({SCHEMA: ["Must hold `code`, or `authCodes` with a list."]})
        return Creation([one.load(data)], listed=False)


class _NamedCode(Schema):
    """A code to remove. A description is ignored, so that a list that was read can be sent back."""

    code = fields.String(required=True, metadata={"example": "01"})
    description = fields.Raw(load_only=True, allow_none=True)


class CodesToRemove(Schema):
    """Codes to remove; those that are not there are no error. Loads a list of codes."""

    authCodes = fields.List(  # noqa: N815
        fields.Nested(_NamedCode), required=True, validate=validate.Length(min=1)
    )

    @post_load
    def _codes(self, data: dict[str, list[dict[str, str]]], **_: Any) -> list[str]:
        return [item["code"] for item in data["authCodes"]]
