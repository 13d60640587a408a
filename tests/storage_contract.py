"""What every storage engine must do with an owner's codes; bulk_contract.py has the rest.

An engine's test file has a class for each contract, which inherits it and opens storages.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from barring.domain import AuthorizationCode as Code
from barring.domain import Owner
from barring.storage.base import AlreadyExists, Storage

OWNER = Owner("tenant", "group", "user")
LEVELS = {"user": OWNER, "group": Owner("tenant", "group"), "tenant": Owner("tenant")}
"""An owner of each level; each is within the one after it."""

ANY_STRING = ["02", "1", "", "0", "01 ", "01\0", "\0", "é" * 999, "%", "?", "'"]
"""Strings that are not the code 01."""


class EngineContract(ABC):
    """The base of a contract. `open` gives a new object each time, all on one test's database."""

    @abstractmethod
    def open(self) -> Storage:
        """A storage object on this test's database, not yet prepared."""

    @pytest.fixture
    def storage(self) -> Iterator[Storage]:
        """A prepared storage."""
        with closing(self.open()) as storage:
            storage.prepare()
            yield storage

    @pytest.fixture(params=LEVELS)
    def owner(self, request: pytest.FixtureRequest) -> Owner:
        """An owner of each level in turn."""
        return LEVELS[request.param]


class StorageContract(EngineContract):
    """The suite."""

    def test_prepare_creates_once(self, storage: Storage, owner: Owner) -> None:
        """A later prepare keeps what is stored."""
        storage.add(owner, [Code("01", "one", "national")])
        self.open().prepare()
        assert storage.list(owner) == [Code("01", "one", "national")]

    def test_many_prepare_at_once(self) -> None:
        """Many that start together can all go on."""
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: self.open().prepare(), range(8)))
        with closing(self.open()) as storage:
            assert storage.list(OWNER) == []

    def test_list_and_get_give_what_was_added(self, storage: Storage, owner: Owner) -> None:
        """Codes come back with their descriptions, ordered by code point."""
        pairs = [("é1", ""), ("#1", "x"), ("aa", "y"), ("AA", "z"), ("01", "é😀"), ("😀1", "")]
        added = [Code(*pair) for pair in pairs]
        storage.add(owner, added)
        assert storage.list(owner) == sorted(added)
        assert storage.get(owner, "01") == Code("01", "é😀", "")
        assert isinstance(storage.list(owner)[0], Code)

    @pytest.mark.parametrize("code", ANY_STRING)
    def test_what_is_not_there_is_none(self, storage: Storage, owner: Owner, code: str) -> None:
        """Any string may be asked for, removed and changed."""
        before = [Code("01", "one", "national")]
        storage.add(owner, before)
        assert storage.get(owner, code) is None
        assert [*storage.remove(owner, [code])] == []
        assert storage.change(owner, code, {"description": "x", "class_of_service": "y"}) is None
        assert storage.list(owner) == before
        assert storage.count() == 1

    def test_existing_codes_are_named_by_position(self, storage: Storage, owner: Owner) -> None:
        """If any code exists nothing is added, and the positions of all that do are told."""
        before = [Code("01", "old"), Code("02", "old", "national")]
        storage.add(owner, before)
        new = [Code("03", ""), Code("02", "", "new"), Code("04", ""), Code("01", "new", "new")]
        with pytest.raises(AlreadyExists) as caught:
            storage.add(owner, new)
        assert caught.value.positions == [1, 3]
        assert storage.list(owner) == before

    def test_repeated_code_is_refused(self, storage: Storage, owner: Owner) -> None:
        """If a code is there twice in one call, nothing is added; only those stored are named."""
        storage.add(owner, [Code("02", "")])
        with pytest.raises(AlreadyExists) as caught:
            storage.add(owner, [Code("01", ""), Code("02", ""), Code("01", "", "other")])
        assert caught.value.positions == [1]
        assert storage.list(owner) == [Code("02", "")]

    def test_error_holds_no_code(self, storage: Storage) -> None:
        """Nothing that a trace could print of the error holds the code."""
        storage.add(OWNER, [Code("s3cret", "")])
        with pytest.raises(AlreadyExists) as caught:
            storage.add(OWNER, [Code("s3cret", "")])
        assert "s3cret" not in repr(vars(caught.value)) + str(caught.value)

    def test_nothing_to_add_or_remove_is_no_error(self, storage: Storage, owner: Owner) -> None:
        """An empty list is stored, and removed."""
        storage.add(owner, [])
        assert [*storage.remove(owner, [])] == []

    def test_remove_gives_what_was_there(self, storage: Storage, owner: Owner) -> None:
        """Removing returns the codes that existed as they were, each once."""
        codes = [Code("01", "one"), Code("02", "two"), Code("03", "é😀", "national")]
        storage.add(owner, codes)
        removed = storage.remove(owner, ["01", "09", "01", "03"])
        assert sorted(removed) == [codes[0], codes[2]]
        assert all(isinstance(code, Code) for code in removed)
        assert storage.list(owner) == [codes[1]]

    @pytest.mark.parametrize(
        "other",
        [
            Owner("Tenant", "group", "user"),
            Owner("tenant", "GROUP", "user"),
            Owner("tenant", "group", "user "),
            Owner("tenant", "group", "groupuser"),
            Owner("tenant", "groupuser"),
            Owner("tenant", "user"),
            Owner("tenantgroup"),
            Owner("group", "tenant", "user"),
        ],
    )
    def test_owners_do_not_meet(self, storage: Storage, owner: Owner, other: Owner) -> None:
        """Owners that differ in anything have codes of their own."""
        storage.add(owner, [Code("01", "mine")])
        storage.add(other, [Code("01", "theirs")])
        assert [*storage.remove(owner, ["01"])] == [Code("01", "mine")]
        assert storage.list(owner) == []
        assert storage.list(other) == [Code("01", "theirs")]

    def test_levels_do_not_meet(self, storage: Storage, owner: Owner) -> None:
        """One code may stand at every level; no level sees, changes or removes another's codes."""
        mine = {level: [Code("01", level, level), Code(f"{level}+", "")] for level in LEVELS}
        for level, each in LEVELS.items():
            storage.add(each, mine[level])
        for level, each in LEVELS.items():
            assert storage.list(each) == mine[level]
            found = [other for other in LEVELS if storage.get(each, f"{other}+")]
            assert found == [level]
        assert storage.count() == 6
        others = {each: storage.list(each) for each in LEVELS.values() if each != owner}
        storage.change(owner, "01", {"description": "changed", "class_of_service": ""})
        with pytest.raises(AlreadyExists):
            storage.add(owner, [Code("01", "")])
        assert len(storage.remove(owner, ["01", *(f"{level}+" for level in LEVELS)])) == 2
        assert storage.list(owner) == []
        assert {each: storage.list(each) for each in others} == others

    @pytest.mark.parametrize(
        "codes",
        [
            [Code("01", "", "international")],
            [Code("01", "one", "é😀 " * 10)],
            [Code("01", "a", "x"), Code("02", "b", "y"), Code("03", "c", "'\"\\\n")],
            [Code("01", "a"), Code("02", "", "national"), Code("03", "c"), Code("04", "", "1")],
        ],
        ids=["one", "long", "list", "some"],
    )
    def test_class_of_service_comes_back(
        self, storage: Storage, owner: Owner, codes: list[Code]
    ) -> None:
        """Codes have their classes of service in lists, alone and in exports; the others none."""
        storage.add(owner, codes)
        assert storage.list(owner) == codes
        assert [storage.get(owner, code.code) for code in codes] == codes
        assert list(storage.export()) == [(*owner, *code) for code in codes]
        assert sorted(storage.remove(owner, [code.code for code in codes])) == codes

    @pytest.mark.parametrize(
        "changes",
        [
            {"description": "new é😀"},
            {"description": ""},
            {"class_of_service": "international"},
            {"class_of_service": ""},
            {"description": "new", "class_of_service": "international"},
            {"description": "", "class_of_service": ""},
            {"description": "old", "class_of_service": "national"},
        ],
    )
    @pytest.mark.parametrize("service", ["national", ""])
    def test_change_changes_what_it_names(
        self, storage: Storage, owner: Owner, changes: dict[str, str], service: str
    ) -> None:
        """The fields named change, durably, and no other; the code is returned as it was and is."""
        old, *others = [Code("01", "old", service), Code("010", "old", service), Code("02", "old")]
        storage.add(owner, [old, *others])
        changed = storage.change(owner, "01", changes)
        assert changed == (old, old._replace(**changes))
        assert all(isinstance(code, Code) for code in changed)
        with closing(self.open()) as another:
            assert another.list(owner) == [old._replace(**changes), *others]
            assert another.get(owner, "01") == old._replace(**changes)
        changed = storage.change(owner, "01", {"description": "again"})
        assert changed
        assert changed[0] == old._replace(**changes)

    def test_large_list_is_one_unit(self, storage: Storage, owner: Owner) -> None:
        """10,000 codes go in together, and not at all when the last of them exists."""
        codes = [Code(f"{number:05}", "") for number in range(10_000)]
        storage.add(owner, codes[-1:])
        with pytest.raises(AlreadyExists) as caught:
            storage.add(owner, codes)
        assert caught.value.positions == [9_999]
        assert [*storage.remove(owner, [codes[-1].code])] == codes[-1:]
        storage.add(owner, codes)
        assert storage.list(owner) == codes
        assert sorted(storage.remove(owner, [code.code for code in codes])) == codes

    def test_class_of_service_costs_little(self, storage: Storage) -> None:
        """A large list with a class of service for each code is stored about as fast as without."""
        seconds = []
        for user, service in (("plain", ""), ("classified", "international")):
            codes = [Code(f"{number:05}", "", service) for number in range(10_000)]
            began = time.monotonic()
            storage.add(OWNER._replace(user=user), codes)
            seconds.append(time.monotonic() - began)
        assert seconds[1] < 5 * seconds[0] + 0.5

    def test_readiness_reads_and_may_write(self, storage: Storage) -> None:
        """A database that answers is ready, and asking changes nothing."""
        storage.check_ready()
        storage.add(OWNER, [Code("01", "")])
        storage.check_ready()
        assert storage.list(OWNER) == [Code("01", "")]

    def test_wait_for_the_lock_is_told(self, storage: Storage) -> None:
        """Each write tells how long it waited, in seconds."""
        waits: list[float] = []
        storage.on_lock_wait = waits.append
        storage.add(OWNER, [Code("01", "")])
        storage.change(OWNER, "01", {"description": "x"})
        storage.remove(OWNER, ["01"])
        assert len(waits) == 3
        assert all(0 <= wait < 5 for wait in waits)

    def test_threads_write_at_once(self, storage: Storage) -> None:
        """Many threads of one object write together and lose nothing."""

        def write(number: int) -> None:
            storage.add(OWNER, [Code(f"{number:03}", "")])

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(write, range(200)))
        assert len(storage.list(OWNER)) == 200

    def test_one_of_many_that_add_the_same_code_wins(self, storage: Storage, owner: Owner) -> None:
        """Of many that add one code at once one succeeds, and the others learn that it exists."""

        def added(number: int) -> bool:
            try:
                storage.add(owner, [Code(f"x{number}", ""), Code("same", "")])
            except AlreadyExists as error:
                return error.positions != [1]
            return True

        with ThreadPoolExecutor(16) as pool:
            assert list(pool.map(added, range(32))).count(True) == 1
        assert len(storage.list(owner)) == 2

    def test_changes_of_many_are_one_after_the_other(self, storage: Storage, owner: Owner) -> None:
        """Of many that change one code at once each gets the code as the one before left it."""
        storage.add(owner, [Code("01", "0")])

        def before(number: int) -> Code | None:
            changed = storage.change(owner, "01", {"description": str(number)})
            return changed and changed[0]

        with ThreadPoolExecutor(16) as pool:
            found = [code.description for code in pool.map(before, range(1, 33)) if code]
        last = storage.list(owner)[0].description
        assert sorted([*found, last], key=int) == [str(number) for number in range(33)]
