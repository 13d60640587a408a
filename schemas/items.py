"""Items of long lists, loaded fast."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, cast

from marshmallow import Schema, ValidationError, fields, validate

from barring.pauses import in_parts

from .rules import OfType, TextRule

MOST_FAULTS = 10_000
"""How many invalid items one answer names: a million would keep a worker busy for too long."""


class Item(Schema):
    """An object that clients send in long lists. Each field has one validator: TextRule or OfType.

    marshmallow takes 10 µs for an item. So the validators check many items at once, field by field,
    and marshmallow gets only the invalid ones, to name their faults.
    """

    build: ClassVar[Callable[..., Any]]
    """Makes the loaded object from the values of the fields, in the order of their declaration."""

    distinct: ClassVar[bool] = False
    """Whether repeated codes are named together with invalid items.

    Those of a list without invalid items are named when it is stored, together with existing codes.
    """

    def load(self, data: Any, *, many: bool | None = None, **_: Any) -> Any:
        """Load one item or a list of items. Raises ValidationError if any is invalid."""
        if not (self.many if many is None else many):
            valid = self._load_valid([data])
            return valid[0] if valid else super().load(data, many=False)
        loaded: list[Any] = []
        faults: dict[int, Any] = {}
        for part in in_parts(data):
            loaded += self._load_part(part, len(loaded), faults)
            if len(faults) >= MOST_FAULTS:
                break
        if faults and self.distinct:
            faults |= repeats(loaded)
        if faults:
            raise ValidationError(dict(sorted(faults.items())[:MOST_FAULTS]))
        return loaded

    def _load_part(self, items: Sequence[Any], start: int, faults: dict[int, Any]) -> list[Any]:
        """Load items. An invalid one becomes None, and its faults are put under its index."""
        if valid := self._load_valid(items):
            return valid
        if len(items) > 1:  # Halves: a single invalid item must not make all others slow.
            half = len(items) // 2
            first = self._load_part(items[:half], start, faults)
            return first + self._load_part(items[half:], start + half, faults)
        faults[start] = self.validate(items[0], many=False)
        return [None]

    def _load_valid(self, items: Sequence[Any]) -> list[Any] | None:
        """Load all of these items, or return None if any is invalid."""
        if {*map(type, items)} != {dict} or not set().union(*items) <= self.fields.keys():
            return None
        columns = []
        for name, field in self.fields.items():
            (rule,) = cast("list[TextRule | OfType]", field.validators)
            column = [item[name] for item in items if name in item]
            incomplete = len(column) < len(items)
            if not rule.all_hold(column) or (incomplete and field.required):
                return None
            if incomplete:
                column = [item.get(name, field.load_default) for item in items]
            columns.append(column)
        return list(map(self.build, *columns))


def item_list(item: Item | type[Item]) -> fields.Nested:
    """A field for a list of at least one item."""
    at_least_one = validate.Length(min=1)
    field = fields.Nested(item, many=True, required=True, validate=at_least_one)
    field.error_messages["type"] = "Not a valid list."
    return field


def repeats(items: Iterable[Any]) -> dict[int, Any]:
    """The faults of items that repeat the code of an earlier one, by index. Skips None."""
    first: dict[str, int] = {}
    faults = {}
    for index, item in enumerate(items):
        if item and first.setdefault(item.code, index) != index:
            faults[index] = {"code": [f"Repeats the code of item {first[item.code]}."]}
    return faults
