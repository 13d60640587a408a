"""Authorization codes as JSON."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, cast

from marshmallow import Schema, ValidationError, fields, post_load, validate
from marshmallow.exceptions import SCHEMA

from barring.pauses import PART, pause

from .rules import CODE_PATTERN, DESCRIPTION, code_rule

MOST_FAULTS = 10_000
"""How many items at fault one answer names."""


class Nothing(Schema):
    """The empty object that answers a write."""


class AuthorizationCode(Schema):
    """A code that lets a barred user place a call, and what it is for."""

    code = fields.String(required=True, metadata={"example": "01"})
    description = fields.String(required=True, metadata={"example": "test_code_01"})


class AuthorizationCodes(Schema):
    """All the codes of a user, ordered by code."""

    authCodes = fields.List(fields.Nested(AuthorizationCode), required=True)  # noqa: N815


class NewCode(Schema):
    """A code to create.

    Loads as a pair of code and description.
    """

    code = fields.String(required=True, metadata={"example": "03"})
    description = fields.String(
        load_default="", validate=DESCRIPTION, metadata={"example": "test_code_03"}
    )

    def __init__(self, code_pattern: str = CODE_PATTERN, **options: Any) -> None:
        """`code_pattern` is a regular expression that a code must match from end to end."""
        super().__init__(**options)
        self._code_rule = code_rule(code_pattern)
        self.fields["code"].validators = [self._code_rule]

    def quick(self, item: Any) -> tuple[str, str] | None:
        """What `load` makes of a valid item, many times faster; None for one that it refuses."""
        if type(item) is not dict or not item.keys() <= self.fields.keys():
            return None
        code: Any = item.get("code")
        description: Any = item.get("description", "")
        if self._code_rule.holds(code) and DESCRIPTION.holds(description):
            return code, description
        return None

    @post_load
    def _pair(self, data: dict[str, str], **_: Any) -> tuple[str, str]:
        return data["code"], data["description"]


class _Items(fields.List[Any]):
    """A list of objects, checked one by one without a schema's cost for those that are valid.

    The nested schema has a method `quick`, which gives what `load` would, or None for an item at
    fault. Of the faults, MOST_FAULTS are named: to name a million would take all of the service.
    """

    def _deserialize(self, value: Any, attr: Any, data: Any, **_: Any) -> list[Any]:
        if not isinstance(value, list):
            raise self.make_error("invalid")
        schema: Any = cast(fields.Nested, self.inner).schema
        loaded: list[Any] = []
        errors: dict[int, Any] = {}
        for index, item in enumerate(value):
            if index % PART == PART - 1:
                pause()
            if (quick := schema.quick(item)) is None:
                errors[index] = schema.validate(item)
                if len(errors) == MOST_FAULTS:
                    break
            loaded.append(quick)
        if errors:
            errors |= self._further_faults(loaded)
            raise ValidationError(dict(sorted(errors.items())))
        return loaded

    def _further_faults(self, loaded: list[Any]) -> dict[int, Any]:
        return {}


def repeats(codes: Iterable[tuple[str, str] | None]) -> dict[int, Any]:
    """The fault of every item of a list whose code an earlier one has, by its index."""
    places: dict[str, int] = {}
    faults: dict[int, Any] = {}
    for index, pair in enumerate(codes):
        if pair and (first := places.setdefault(pair[0], index)) != index:
            faults[index] = {"code": [f"Repeats the code of item {first}."]}
    return faults


class _NewCodeItems(_Items):
    """The items of a list of codes to create.

    Repeats are named beside invalid items; in a list that is valid otherwise storing it names them,
    together with the codes that exist already.
    """

    def _further_faults(self, loaded: list[Any]) -> dict[int, Any]:
        return repeats(loaded)


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
    """One code or a list of codes to create; the key `authCodes` tells which.

    Loads a Creation.
    """

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


class CodeToRemove(Schema):
    """A code to remove."""

    code = fields.String(required=True, metadata={"example": "01"})
    description = fields.Raw(
        allow_none=True,
        metadata={"description": "Ignored, so that a list that was read can be sent back"},
    )

    def quick(self, item: Any) -> str | None:
        """The code of a valid item; None for one that `load` refuses."""
        if type(item) is not dict or not item.keys() <= self.fields.keys():
            return None
        code = item.get("code")
        return code if isinstance(code, str) else None

    @post_load
    def _code(self, data: dict[str, str], **_: Any) -> str:
        return data["code"]


class CodesToRemove(Schema):
    """Codes to remove; those that are not there are no error.

    Loads a list of codes.
    """

    authCodes = _Items(  # noqa: N815
        fields.Nested(CodeToRemove), required=True, validate=validate.Length(min=1)
    )

    @post_load
    def _codes(self, data: dict[str, list[str]], **_: Any) -> list[str]:
        return data["authCodes"]
