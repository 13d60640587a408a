"""Fast loading of long lists of items."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, cast

from marshmallow import Schema, ValidationError, fields, missing, post_load, validate

from barring.pauses import in_parts

from .rules import TextRule

MAX_FAULTS = 10_000
"""The maximum number of invalid items in a response: a million would block a worker too long."""

MAX_KEYS = 100
"""The maximum number of keys in an object: marshmallow takes 4 µs for each unknown one."""


class Item(Schema):
    """An object that clients send in long lists.

    Its fields are String, with TextRules as validators, or Raw.
    """

    build: ClassVar[Callable[..., Any]]
    """Makes the loaded object from the values of the fields, in the order of their declaration."""

    @post_load
    def finish(self, loaded: dict[str, Any], **_: Any) -> Any:
        """Make the loaded object."""
        return self.build(**loaded)

    def load(self, data: Any, **options: Any) -> Any:
        """Load an item. Raises ValidationError if it is invalid.

        marshmallow takes 10 µs per item. Therefore only invalid items are passed to it, which
        reports the faults.
        """
        if isinstance(data, dict) and len(data) > MAX_KEYS:
            raise ValidationError(f"Has more than {MAX_KEYS} keys.")
        valid = self.load_valid([data])
        return valid[0] if valid else super().load(data, **options)

    def load_valid(self, items: Sequence[Any]) -> list[Any] | None:
        """Load all of these items, or return None if any is invalid."""
        if {*map(type, items)} != {dict} or not set().union(*items) <= self.fields.keys():
            return None
        columns = []
        for name, field in self.fields.items():
            given = [item[name] for item in items if name in item]
            if type(field) is not fields.Raw and not {*map(type, given)} <= {str}:
                return None
            if not all(rule.all_hold(given) for rule in cast("list[TextRule]", field.validators)):
                return None
            if len(given) < len(items):
                if field.required:
                    return None
                default = field.deserialize(missing)
                given = [item.get(name, default) for item in items]
            columns.append(given)
        return list(map(self.build, *columns))


class ItemList(fields.List[Any]):
    """A list of at least one item.

    Items are checked field by field, many at once. Only in the parts of the list with an invalid
    item they are checked one by one.
    """

    def __init__(self, item: Item, *, distinct: bool = False) -> None:
        """With `distinct`, repeated codes are reported together with invalid items.

        If no item is invalid, they are reported when the list is stored, together with existing
        codes.
        """
        super().__init__(fields.Nested(item), required=True, validate=validate.Length(min=1))
        self.item = item
        self.distinct = distinct

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> list[Any]:
        if not isinstance(value, list):
            raise self.make_error("invalid")
        loaded: list[Any] = []
        faults: dict[int, Any] = {}
        for part in in_parts(value):
            if valid := self.item.load_valid(part):
                loaded += valid
                continue
            for item in part:
                try:
                    loaded.append(self.item.load(item))
                except ValidationError as error:
                    faults[len(loaded)] = error.messages
                    loaded.append(None)
            if len(faults) >= MAX_FAULTS:
                break
        if faults and self.distinct:
            faults |= repeats(loaded)
        if faults:
            raise ValidationError(first_faults(faults))
        return loaded


def first_faults(faults: dict[int, Any]) -> dict[int, Any]:
    """The first faults by index, as many as one response may list."""
    return dict(sorted(faults.items())[:MAX_FAULTS])


def repeats(items: Iterable[Any]) -> dict[int, Any]:
    """The faults of items that repeat the code of an earlier one, by index. Skips None."""
    first: dict[str, int] = {}
    faults = {}
    for index, item in enumerate(items):
        if item and first.setdefault(item.code, index) != index:
            faults[index] = {"code": [f"Repeats the code of item {first[item.code]}."]}
    return faults
