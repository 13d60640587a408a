"""Whatever the input: random histories against a plain dict, round trips, refusals, JSON itself."""

import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from itertools import product
from json import dumps
from operator import attrgetter, itemgetter
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import ANY
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings, stateful
from hypothesis import strategies as st
from sqlite_utils import Database

from app import create_app
from barring.settings import Settings
from barring.strict_json import NotJSON, parse_json
from tests.service import codes_path

pytestmark = pytest.mark.long

STEADY = settings(derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
Owner = tuple[str, str, str]
Item = dict[str, str]
answer = attrgetter("status_code", "json")

# Small pools, so that histories collide. Names differ in Unicode form, case or a space alone.
TWINS = st.sampled_from(["Zoe\u0308", "zo\u00eb", "Zo\u00eb "])
OWNERS = TWINS.map(lambda twin: [*product(["Zo\u00eb", twin], repeat=3)]).flatmap(st.permutations)
CODES = st.sampled_from(["#0", ".-", "00", "000", "10", "A0", "_0", "a0"])
ASKED = CODES | st.sampled_from([" ", "0", "00\n", "\0", "%", "a0 ", "\u0660\u0660", "x" * 99])
TEXTS, CLASSES = st.sampled_from(["", "x", "X"]), st.sampled_from(["x", "long distance"])


def items(codes: Any, texts: Any, classes: Any) -> st.SearchStrategy[Item]:
    """Codes as JSON, with and without a class of service."""
    fields = {"code": codes, "description": texts}
    return st.fixed_dictionaries(fields, optional={"classOfService": classes})


ITEM = items(CODES, TEXTS, CLASSES)
ITEMS = st.lists(ITEM, min_size=1, max_size=4)
TEXT, CLASS = [{"description": text} for text in ("", "z")], {"classOfService": "premium"}
CLEARED: dict[str, str | None] = {"classOfService": None}
CHANGES = st.sampled_from([{}, *TEXT, CLASS, CLEARED, TEXT[0] | CLASS, TEXT[1] | CLEARED])
IGNORED = st.fixed_dictionaries(
    {}, optional={"description": st.sampled_from([None, 5]), "classOfService": st.just([""])}
)

# The contract's limits. A repeated character reaches each maximum, which text() seldom does.
LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz*#._-"
chars = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
in_ids = st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="/")
legal_codes = (st.text(LETTERS, min_size=2, max_size=14) | st.just("#*")).filter("..".__ne__)
legal_descriptions = st.text(chars, max_size=80) | chars.map(lambda c: c * 80) | st.just(" e\u0301")
legal_classes = st.text(chars, min_size=1, max_size=40) | chars.map(lambda c: c * 40)
legal_items = st.lists(
    items(legal_codes, legal_descriptions, legal_classes),
    min_size=2,
    max_size=4,
    unique_by=lambda item: item["code"],
)
undotted = st.text(in_ids, min_size=1, max_size=161).filter(lambda text: text not in (".", ".."))
odd_ids = st.sampled_from(["...", "%2F", "%2e", "a?b#c;d", "+", " ", "\\", "\ufeff", "\u2028"])
legal_ids = undotted | in_ids.map(lambda c: c * 161) | odd_ids
scalars = st.none() | st.booleans() | st.integers() | st.floats(-1e308, 1e308) | st.text()
json_values = st.recursive(scalars, lambda v: st.lists(v) | st.dictionaries(st.text(), v))
not_text = json_values.filter(lambda value: not isinstance(value, str))
strayed = st.builds("{0}{1}{0}".format, st.text(LETTERS), st.sampled_from("\0 /@\u0660"))
wrong_lengths = st.sampled_from(LETTERS) | st.text(LETTERS, min_size=15)
illegal_codes = (json_values | wrong_lengths | strayed | st.sampled_from(["01\n", ".."])).filter(
    lambda v: not (isinstance(v, str) and re.fullmatch(r"(?!\.\.$)[0-9A-Za-z*#._-]{2,14}", v))
)
illegal_descriptions = not_text | chars.map(lambda c: c * 81) | chars.map("{0}\0{0}".format)
illegal_classes = not_text | chars.map(lambda c: c * 41) | st.sampled_from(["", "x\0"])
controlled = st.builds("{1}{0}{1}".format, st.characters(categories=["Cc"]), st.text(in_ids))
illegal_ids = st.sampled_from(["", ".", "..", "x\n"]) | in_ids.map(lambda c: c * 162) | controlled
mixed = st.dictionaries(st.sampled_from(["authCodes", "code", "description"]), json_values)
halved = st.characters(categories=["Cs"]).map(
    lambda half: listed([{"code": "01", "description": half}])
)
TOKENS = [*'[]{}",:-0\\/ ', '"a":', '"\\ud83d', "\\ude00", "NaN", "1e999", "[" * 9999, "9" * 4301]


@contextmanager
def new_service() -> Iterator[tuple[FlaskClient, str]]:
    """A Tenant Admin's client of a service of its own, and the service's database."""
    with TemporaryDirectory() as folder:
        database = f"{folder}/codes.sqlite3"
        client = create_app(Settings(database_url=f"sqlite:///{database}")).test_client()
        # The tests write JSON themselves: the client's json= would use the service's own writer.
        client.environ_base.update(CONTENT_TYPE="application/json", HTTP_X_ROLE="Tenant Admin")
        yield client, database


@pytest.fixture(scope="module")
def refusing() -> Iterator[FlaskClient]:
    """A client whose every write is to be refused: at the end the database is empty."""
    with new_service() as (client, database):
        yield client
        assert Database(database)["authorization_codes"].count == 0


def path_to(owner: Owner, code: str) -> str:
    return f"{codes_path(*owner)}{quote(code, safe='')}/"


def listed(items: Iterable[Any]) -> dict[str, Any]:
    return {"authCodes": [*items]}


def refusal(**faults: Any) -> tuple[int, Any]:
    """The answer that refuses a body for these faults and for no others."""
    return 400, {"code": 400, "status": "Bad Request", "message": ANY, "errors": {"json": faults}}


ABSENT = 404, ANY


class Histories(stateful.RuleBasedStateMachine):
    """Users, groups and tenants whose names are near twins, in step with a plain dict.

    They create, read, change, copy and delete codes. An owner's list is its own alone: of a group
    it shows no user's codes, and of a user no group's.
    """

    owners = stateful.Bundle("owners")

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.client, _ = self.stack.enter_context(new_service())

    def teardown(self) -> None:
        self.stack.close()

    @stateful.initialize(target=owners, met=OWNERS, items=ITEMS)
    def meet(self, met: list[Owner], items: list[Item]) -> Any:
        self.model: dict[Owner, dict[str, Item]] = {}
        for tenant, group, user in met[:2]:
            for owner in ((tenant, group, user), (tenant, group, ""), (tenant, "", "")):
                self.model.setdefault(owner, {})
                self.create_list(owner, items)
        return stateful.multiple(*self.model)

    @stateful.rule(owner=owners, items=ITEMS)
    def create_list(self, owner: Owner, items: list[Item]) -> None:
        codes, stored = [item["code"] for item in items], self.model[owner]
        taken = [{*stored, *codes[:place]} for place in range(len(codes))]
        faults = [place for place, code in enumerate(codes) if code in taken[place]]
        named = {str(place): {"code": [ANY]} for place in faults}
        got = answer(self.client.post(codes_path(*owner), data=dumps(listed(items))))
        assert got == (refusal(authCodes=named) if faults else (201, {}))
        stored.update({} if faults else dict(zip(codes, items, strict=True)))

    @stateful.rule(source=owners, owner=owners)
    def copy_what_was_read(self, source: Owner, owner: Owner) -> None:
        read: Any = self.client.get(codes_path(*source)).json
        if read["authCodes"]:
            self.create_list(owner, read["authCodes"])

    @stateful.rule(owner=owners, item=ITEM)
    def create_one(self, owner: Owner, item: Item) -> None:
        got = answer(self.client.post(codes_path(*owner), data=dumps(item)))
        assert got == (refusal(code=[ANY]) if item["code"] in self.model[owner] else (201, {}))
        self.model[owner].setdefault(item["code"], item)

    def choose(self, data: st.DataObject, owner: Owner) -> str:
        """Any code, or one that the owner has."""
        stored = self.model[owner]
        return data.draw(st.sampled_from([*stored]) | ASKED if stored else ASKED)

    @stateful.rule(owner=owners, data=st.data())
    def read_one(self, owner: Owner, data: st.DataObject) -> None:
        code = self.choose(data, owner)
        found = self.model[owner].get(code)
        assert answer(self.client.get(path_to(owner, code))) == ((200, found) if found else ABSENT)

    @stateful.rule(owner=owners, data=st.data(), changes=CHANGES)
    def change(self, owner: Owner, data: st.DataObject, changes: dict[str, str | None]) -> None:
        code = self.choose(data, owner)
        expected = refusal(_schema=[ANY]) if not changes else ABSENT
        if changes and code in self.model[owner]:
            changed = self.model[owner][code] | changes
            after = {field: value for field, value in changed.items() if value is not None}
            self.model[owner][code], expected = after, (200, after)
        assert answer(self.client.patch(path_to(owner, code), data=dumps(changes))) == expected

    @stateful.rule(owner=owners, codes=st.lists(ASKED, min_size=1, max_size=4), more=IGNORED)
    def delete_list(self, owner: Owner, codes: list[str], more: dict[str, Any]) -> None:
        body = listed({"code": code, **more} for code in codes)
        assert answer(self.client.delete(codes_path(*owner), data=dumps(body))) == (200, {})
        for code in codes:
            self.model[owner].pop(code, None)

    @stateful.rule(owner=owners, data=st.data())
    def delete_one(self, owner: Owner, data: st.DataObject) -> None:
        code = self.choose(data, owner)
        assert answer(self.client.delete(path_to(owner, code))) == (200, {})
        self.model[owner].pop(code, None)

    @stateful.rule(owner=owners)
    def delete_what_was_read(self, owner: Owner) -> None:
        if len(self.model[owner]) > 3:  # Else most histories would be of deletions.
            read = self.client.get(codes_path(*owner)).data
            assert answer(self.client.delete(codes_path(*owner), data=read)) == (200, {})
            self.model[owner].clear()

    @stateful.invariant()
    def every_owner_has_what_the_model_says(self) -> None:
        for owner, stored in self.model.items():
            expected = listed(stored[code] for code in sorted(stored))
            assert answer(self.client.get(codes_path(*owner))) == (200, expected)


TestHistories = Histories.TestCase
TestHistories.settings = settings(STEADY, max_examples=50, stateful_step_count=40)


@STEADY
@given(st.tuples(legal_ids, st.just("") | legal_ids, st.just("") | legal_ids), legal_items)
def test_round_trip(ids: Owner, items: list[Item]) -> None:
    """Legal ids, codes, descriptions and classes come back code point by code point."""
    base = codes_path(*ids) if ids[1] else codes_path(ids[0], "", "")
    one, *others = items
    with new_service() as (client, _):
        created = client.post(base, data=dumps(one, ensure_ascii=False))
        assert answer(created) == (201, {})
        assert answer(client.get(created.headers["Location"])) == (200, one)
        assert answer(client.post(base, data=dumps(listed(others)))) == (201, {})
        for item in items:
            path = f"{base}{quote(item['code'], safe='')}/"
            assert answer(client.get(path)) == (200, item)
            changes = {"classOfService": None, **item, "description": one["description"]}
            del changes["code"]
            item["description"] = one["description"]
            assert answer(client.patch(path, data=dumps(changes))) == (200, item)
        in_order = sorted(items, key=itemgetter("code"))
        assert answer(client.get(base)) == (200, listed(in_order))


@settings(STEADY, max_examples=300)
@given(code=illegal_codes, description=illegal_descriptions, service=illegal_classes)
def test_illegal_field(refusing: FlaskClient, code: Any, description: Any, service: Any) -> None:
    """A wrong or unknown field is a 400 that names it alone, and a list is refused whole."""
    fields = {"code": code, "description": description, "classOfService": service, "note": "x"}
    for field, value in fields.items():
        wrong = {"code": "01", field: value}
        assert answer(refusing.post(codes_path(), data=dumps(wrong))) == refusal(**{field: ANY})
        body = {"authCodes": [wrong, {"code": "02"}, wrong]}
        got = answer(refusing.post(codes_path(), data=dumps(body)))
        assert got == refusal(authCodes={"0": {field: ANY}, "2": {field: ANY}})
        if (field, value) != ("classOfService", None):  # Which clears it.
            got = answer(refusing.patch(f"{codes_path()}01/", data=dumps({field: value})))
            assert got == refusal(**{field: ANY})
        assert answer(refusing.get(codes_path())) == (200, {"authCodes": []})


@STEADY
@given(body=st.binary() | (json_values | mixed | halved).map(dumps))
def test_illegal_body(refusing: FlaskClient, body: bytes | str) -> None:
    """A body without a legal code, or with half of a surrogate pair, is a 400."""
    for send in (refusing.post, refusing.delete):
        assert send(codes_path(), data=body).status_code == 400


@settings(STEADY, max_examples=400)
@given(part=st.sampled_from(["tenant", "group", "user"]), wrong=illegal_ids)
def test_illegal_id(refusing: FlaskClient, part: str, wrong: str) -> None:
    """An id against the rules is a 404 for every operation, at every level."""
    body = dumps(listed([{"code": "01"}]))
    for ids in ({}, {"user": ""}, {"user": "", "group": ""}):
        if part not in ids:
            path = codes_path(**ids | {part: "PLACE"}).replace("PLACE", quote(wrong, safe=""))
            send = partial(refusing.open, path)
            got = [send(), send(method="POST", data=body), send(method="DELETE", data=body)]
            send = partial(refusing.open, f"{path}01/")
            got += [send(), send(method="PATCH", data=body), send(method="DELETE")]
            assert {response.status_code for response in got} == {404}


@STEADY
@given(value=json_values, indent=st.sampled_from([None, 1]), escaped=st.booleans())
def test_json_round_trip(value: Any, indent: int | None, escaped: bool) -> None:
    """A JSON text is read as the value that it was written from."""
    assert parse_json(dumps(value, indent=indent, ensure_ascii=escaped)) == value


@settings(STEADY, max_examples=500)
@given(st.text(st.characters()) | st.lists(st.sampled_from(TOKENS)).map("".join))
def test_any_text_as_json(text: str) -> None:
    """Any text is a value or NotJSON, and no other exception."""
    with suppress(NotJSON):
        parse_json(text)
