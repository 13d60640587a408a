"""What every storage engine must do. An engine's test file inherits it and opens storages."""

from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from barring.domain import AuthorizationCode, Owner
from barring.storage import AlreadyExists, Storage

OWNER = Owner("tenant", "group", "user")


class StorageContract(ABC):
    """The suite. `open` gives a new object each time, all on the database of the one test."""

    @abstractmethod
    def open(self) -> Storage:
        """A storage object on this test's database, not yet prepared."""

    @pytest.fixture
    def storage(self) -> Storage:
        """A prepared storage."""
        storage = self.open()
        storage.prepare()
        return storage

    def test_prepare_creates_once(self, storage: Storage) -> None:
        """A later prepare keeps what is stored."""
        storage.add(OWNER, [("01", "one")])
        self.open().prepare()
        assert storage.list(OWNER) == [("01", "one")]

    def test_many_prepare_at_once(self) -> None:
        """Many that start together can all go on."""
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: self.open().prepare(), range(8)))
        with closing(self.open()) as storage:
            assert storage.list(OWNER) == []

    def test_list_and_get_give_what_was_added(self, storage: Storage) -> None:
        """Codes come back with their descriptions, ordered by code point."""
        added = [("é1", ""), ("#1", "x"), ("aa", "y"), ("AA", "z"), ("01", "é😀"), ("😀1", "")]
        storage.add(OWNER, added)
        assert storage.list(OWNER) == sorted(added)
        assert storage.get(OWNER, "01") == AuthorizationCode("01", "é😀")
        assert isinstance(storage.list(OWNER)[0], AuthorizationCode)

    @pytest.mark.parametrize("code", ["02", "1", "", "0", "01 ", "01\0", "\0", "é" * 999, "%"])
    def test_what_is_not_there_is_none(self, storage: Storage, code: str) -> None:
        """Any string may be asked for and removed."""
        storage.add(OWNER, [("01", "")])
        assert storage.get(OWNER, code) is None
        assert storage.remove(OWNER, [code]) == 0
        assert storage.list(OWNER) == [("01", "")]

    def test_existing_codes_are_named_by_position(self, storage: Storage) -> None:
        """If any code exists nothing is added, and the positions of all that do are told."""
        storage.add(OWNER, [("01", "old"), ("02", "old")])
        with pytest.raises(AlreadyExists) as caught:
            storage.add(OWNER, [("03", ""), ("02", ""), ("04", ""), ("01", "new")])
        assert caught.value.positions == [1, 3]
        assert storage.list(OWNER) == [("01", "old"), ("02", "old")]

    def test_repeated_code_exists_already(self, storage: Storage) -> None:
        """A code twice in one call is at fault where it stands again, beside those that exist."""
        storage.add(OWNER, [("02", "")])
        with pytest.raises(AlreadyExists) as caught:
            storage.add(OWNER, [("01", ""), ("02", ""), ("01", "")])
        assert caught.value.positions == [1, 2]
        assert storage.list(OWNER) == [("02", "")]

    def test_error_holds_no_code(self, storage: Storage) -> None:
        """Nothing that a trace could print of the error holds the code."""
        storage.add(OWNER, [("s3cret", "")])
        with pytest.raises(AlreadyExists) as caught:
            storage.add(OWNER, [("s3cret", "")])
        assert "s3cret" not in repr(vars(caught.value)) + str(caught.value)

    def test_remove_counts_what_was_there(self, storage: Storage) -> None:
        """Removing tells how many codes existed, each counted once."""
        storage.add(OWNER, [("01", ""), ("02", ""), ("03", "")])
        assert storage.remove(OWNER, ["01", "09", "01", "03"]) == 2
        assert storage.remove(OWNER, []) == 0
        assert storage.list(OWNER) == [("02", "")]

    @pytest.mark.parametrize(
        "other",
        [
            Owner("Tenant", "group", "user"),
            Owner("tenant", "GROUP", "user"),
            Owner("tenant", "group", "user "),
            Owner("tenantgroup", "", "user"),
            Owner("group", "tenant", "user"),
        ],
    )
    def test_owners_do_not_meet(self, storage: Storage, other: Owner) -> None:
        """Owners that differ in anything have codes of their own."""
        storage.add(OWNER, [("01", "mine")])
        storage.add(other, [("01", "theirs")])
        assert storage.remove(OWNER, ["01"]) == 1
        assert storage.list(OWNER) == []
        assert storage.list(other) == [("01", "theirs")]

    def test_large_list_is_one_unit(self, storage: Storage) -> None:
        """10,000 codes go in together, and not at all when the last of them exists."""
        codes = [(f"{number:05}", "") for number in range(10_000)]
        storage.add(OWNER, codes[-1:])
        with pytest.raises(AlreadyExists) as caught:
            storage.add(OWNER, codes)
        assert caught.value.positions == [9_999]
        assert storage.remove(OWNER, [codes[-1][0]]) == 1
        storage.add(OWNER, codes)
        assert storage.list(OWNER) == codes
        assert storage.remove(OWNER, [code for code, _ in codes]) == 10_000

    def test_readiness_reads_and_may_write(self, storage: Storage) -> None:
        """A database that answers is ready, and asking changes nothing."""
        storage.check_ready()
        storage.add(OWNER, [("01", "")])
        storage.check_ready()
        assert storage.list(OWNER) == [("01", "")]

    def test_wait_for_the_lock_is_told(self, storage: Storage) -> None:
        """Each write tells how long it waited, in seconds."""
        waits: list[float] = []
        storage.on_lock_wait = waits.append
        storage.add(OWNER, [("01", "")])
        storage.remove(OWNER, ["01"])
        assert len(waits) == 2
        assert all(0 <= wait < 5 for wait in waits)

    def test_threads_write_at_once(self, storage: Storage) -> None:
        """Many threads of one object write together and lose nothing."""

        def write(number: int) -> None:
            storage.add(OWNER, [(f"{number:03}", "")])
            storage.close()

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(write, range(200)))
        assert len(storage.list(OWNER)) == 200

    def test_one_of_many_that_add_the_same_code_wins(self, storage: Storage) -> None:
        """Of many that add one code at once one succeeds, and the others learn that it exists."""

        def added(number: int) -> bool:
            try:
                storage.add(OWNER, [(f"x{number}", ""), ("same", "")])
            except AlreadyExists as error:
                return error.positions != [1]
            finally:
                storage.close()
            return True

        with ThreadPoolExecutor(16) as pool:
            assert list(pool.map(added, range(32))).count(True) == 1
        assert len(storage.list(OWNER)) == 2
