"""The schemas of codes load and dump fast, and exactly as marshmallow would."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError

from barring.domain import AuthorizationCode
from schemas import codes
from schemas.items import Item, ItemList

CODES = st.sampled_from(["01", "x" * 14, "", "1", "x" * 15, "1 2", "12\n", "é1", 12, None, ["12"]])
DESCRIPTIONS = st.sampled_from(["", "Desk", "😀" * 80, "x" * 81, "a\0", None, 5])
CLASSES = st.sampled_from(["", "international", "😀" * 40, "x" * 41, "a\0", None, 5])
OBJECTS = st.fixed_dictionaries(
    {},
    optional={
        "code": CODES,
        "description": DESCRIPTIONS,
        "classOfService": CLASSES,
        "more": st.none(),
    },
)
ITEMS = OBJECTS | st.sampled_from([None, "01", 1, [], ["code"]])


def outcome(load: Any, data: Any) -> Any:
    """What is loaded, or the messages of the error."""
    try:
        return load(data)
    except ValidationError as error:
        return error.messages


@pytest.mark.parametrize("item", [codes.NewCode(), codes.CodeToRemove()])
@settings(deadline=None, derandomize=True)
@given(data=st.lists(ITEMS, min_size=1, max_size=5))
def test_items_load_as_by_marshmallow(item: Item, data: list[Any]) -> None:
    """In a list an item is valid, or has the same faults, as marshmallow says of it alone."""
    loaded = [outcome(item.load, each) for each in data]
    faults = {index: each for index, each in enumerate(loaded) if isinstance(each, dict)}
    assert outcome(ItemList(item).deserialize, data) == (faults or loaded)


def test_code_is_dumped_as_by_marshmallow() -> None:
    """The fast dump gives what the schema describes, but leaves out a class that is not set."""
    code = AuthorizationCode("01", "Desk", "international")
    described = codes.AuthorizationCode().dump(code)
    assert list(codes.dump(code).items()) == list(described.items())
    del described["classOfService"]
    assert codes.dump(code._replace(class_of_service="")) == described
