"""Authorization codes as JSON."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, cast

from marshmallow import Schema, ValidationError, fields, validate
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

    def load(self, data: Any, **_: Any) -> tuple[str, str]:
        """Load an item; many times faster than a schema, which is asked only what is at fault."""
        if isinstance(data, dict) and data.keys() <= self.fields.keys():
            code, description = data.get("code"), data.get("description", "")
            if self._code_rule.holds(code) and DESCRIPTION.holds(description):
                return cast(str, code), description
        raise ValidationError(cast(dict[str, Any], self.validate(data)))


def repeats(codes: Iterable[tuple[str, str] | None]) -> dict[int, Any]:
    """The fault of every item of a list whose code an earlier one has, by its index."""
    places: dict[str, int] = {}
    faults: dict[int, Any] = {}
    for index, pair in enumerate(codes):
        if pair and (first := places.setdefault(pair[0], index)) != index:
            faults[index] = {"code": [f"Repeats the code of item {first}."]}
    return faults


class _Items(fields.List[Any]):
    """A list of at least one object, each as its own schema's `load` takes it.

    Of the faults, MOST_FAULTS are named: to name a million would take all of the service.
    """

    def __init__(self, item: type[Schema], *, distinct: bool = False) -> None:
        """`distinct` names repeats beside invalid items.

        In a list that is valid otherwise storing it names them, with the codes that exist already.
        """
        super().__init__(fields.Nested(item), required=True, validate=validate.Length(min=1))
        self._distinct = distinct

    def _deserialize(self, value: Any, attr: Any, data: Any, **_: Any) -> list[Any]:
        if not isinstance(value, list):
            raise self.make_error("invalid")
        load = cast(fields.Nested, self.inner).schema.load
        loaded: list[Any] = []
        errors: dict[int, Any] = {}
        for index, item in enumerate(value):
            if index % PART == PART - 1:
                pause()
            try:
                loaded.append(load(item))
            except ValidationError as error:
                loaded.append(None)
                errors[index] = error.messages
                if len(errors) == MOST_FAULTS:
                    break
        if errors and self._distinct:
            errors |= repeats(loaded)
        if errors:
            raise ValidationError(dict(sorted(errors.items())))
        return loaded


class NewCodeList(Schema):
    """Codes to create as one unit: all of them are stored, or none is."""

    authCodes = _Items(NewCode, distinct=True)  # noqa: N815


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
        many, one = NewCodeList(), NewCode(code_pattern)
        cast(Any, many.fields["authCodes"]).inner.nested = one
        self.one_of = (many, one)

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

    def load(self, data: Any, **_: Any) -> str:
        """Load an item, as NewCode does."""
        known = isinstance(data, dict) and data.keys() <= self.fields.keys()
        if known and isinstance(code := data.get("code"), str):
            return code
        raise ValidationError(cast(dict[str, Any], self.validate(data)))


class CodesToRemove(Schema):
    """Codes to remove; those that are not there are no error."""

    authCodes = _Items(CodeToRemove)  # noqa: N815
