"""What every storage engine must do. An engine's test file inherits it and opens storages."""

from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from barring.domain import AuthorizationCode as Code
from barring.domain import Owner
from barring.storage.base import AlreadyExists, Existing, StagedRow, Storage

OWNER = Owner("tenant", "group", "user")


def staged(line: int, code: str, description: str = "", owner: Owner = OWNER) -> StagedRow:
    """A row of a file."""
    return StagedRow(line, (*owner, code, description))


def never(row: StagedRow) -> None:
    """Takes the report of a row where there must be none."""
    raise AssertionError(row)


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
        storage.add(OWNER, [Code("01", "one")])
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
        pairs = [("é1", ""), ("#1", "x"), ("aa", "y"), ("AA", "z"), ("01", "é😀"), ("😀1", "")]
        added = [Code(*pair) for pair in pairs]
        storage.add(OWNER, added)
        assert storage.list(OWNER) == sorted(added)
        assert storage.get(OWNER, "01") == Code("01", "é😀")
        assert isinstance(storage.list(OWNER)[0], Code)

    @pytest.mark.parametrize("code", ["02", "1", "", "0", "01 ", "01\0", "\0", "é" * 999, "%"])
    def test_what_is_not_there_is_none(self, storage: Storage, code: str) -> None:
        """Any string may be asked for and removed."""
        storage.add(OWNER, [Code("01", "")])
        assert storage.get(OWNER, code) is None
        assert storage.remove(OWNER, [code]) == 0
        assert storage.list(OWNER) == [("01", "")]

    def test_existing_codes_are_named_by_position(self, storage: Storage) -> None:
        """If any code exists nothing is added, and the positions of all that do are told."""
        storage.add(OWNER, [Code("01", "old"), Code("02", "old")])
        with pytest.raises(AlreadyExists) as caught:
            storage.add(OWNER, [Code("03", ""), Code("02", ""), Code("04", ""), Code("01", "new")])
        assert caught.value.positions == [1, 3]
        assert storage.list(OWNER) == [("01", "old"), ("02", "old")]

    def test_repeated_code_exists_already(self, storage: Storage) -> None:
        """A code twice in one call is at fault where it stands again, beside those that exist."""
        storage.add(OWNER, [Code("02", "")])
        with pytest.raises(AlreadyExists) as caught:
            storage.add(OWNER, [Code("01", ""), Code("02", ""), Code("01", "")])
        assert caught.value.positions == [1, 2]
        assert storage.list(OWNER) == [("02", "")]

    def test_error_holds_no_code(self, storage: Storage) -> None:
        """Nothing that a trace could print of the error holds the code."""
        storage.add(OWNER, [Code("s3cret", "")])
        with pytest.raises(AlreadyExists) as caught:
            storage.add(OWNER, [Code("s3cret", "")])
        assert "s3cret" not in repr(vars(caught.value)) + str(caught.value)

    def test_nothing_to_add_or_remove_is_no_error(self, storage: Storage) -> None:
        """An empty list is stored, and removed."""
        storage.add(OWNER, [])
        assert storage.remove(OWNER, []) == 0

    def test_remove_counts_what_was_there(self, storage: Storage) -> None:
        """Removing tells how many codes existed, each counted once."""
        storage.add(OWNER, [Code("01", ""), Code("02", ""), Code("03", "")])
        assert storage.remove(OWNER, ["01", "09", "01", "03"]) == 2
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
        storage.add(OWNER, [Code("01", "mine")])
        storage.add(other, [Code("01", "theirs")])
        assert storage.remove(OWNER, ["01"]) == 1
        assert storage.list(OWNER) == []
        assert storage.list(other) == [("01", "theirs")]

    def test_large_list_is_one_unit(self, storage: Storage) -> None:
        """10,000 codes go in together, and not at all when the last of them exists."""
        codes = [Code(f"{number:05}", "") for number in range(10_000)]
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
        storage.add(OWNER, [Code("01", "")])
        storage.check_ready()
        assert storage.list(OWNER) == [("01", "")]

    def test_wait_for_the_lock_is_told(self, storage: Storage) -> None:
        """Each write tells how long it waited, in seconds."""
        waits: list[float] = []
        storage.on_lock_wait = waits.append
        storage.add(OWNER, [Code("01", "")])
        storage.remove(OWNER, ["01"])
        assert len(waits) == 2
        assert all(0 <= wait < 5 for wait in waits)

    def test_threads_write_at_once(self, storage: Storage) -> None:
        """Many threads of one object write together and lose nothing."""

        def write(number: int) -> None:
            storage.add(OWNER, [Code(f"{number:03}", "")])

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(write, range(200)))
        assert len(storage.list(OWNER)) == 200

    def test_one_of_many_that_add_the_same_code_wins(self, storage: Storage) -> None:
        """Of many that add one code at once one succeeds, and the others learn that it exists."""

        def added(number: int) -> bool:
            try:
                storage.add(OWNER, [Code(f"x{number}", ""), Code("same", "")])
            except AlreadyExists as error:
                return error.positions != [1]
            return True

        with ThreadPoolExecutor(16) as pool:
            assert list(pool.map(added, range(32))).count(True) == 1
        assert len(storage.list(OWNER)) == 2

    def test_export_gives_everything_in_order(self, storage: Storage) -> None:
        """Every code of every owner comes out, ascending by code point, and is counted."""
        owners = [OWNER, Owner("Tenant", "g", "u"), Owner("tenant", "é", "😀"), Owner("a", "z", "")]
        for owner in owners:
            storage.add(owner, [Code("02", "two"), Code("#1", ""), Code("é", "é😀\r\n")])
        rows = [(*owner, *pair) for owner in owners for pair in storage.list(owner)]
        assert list(storage.export()) == sorted(rows)
        assert storage.count() == 12

    def test_nothing_is_exported_and_counted(self, storage: Storage) -> None:
        """Of an empty database an export is empty."""
        assert list(storage.export()) == []
        assert storage.count() == 0

    def test_export_is_of_one_moment(self, storage: Storage) -> None:
        """What others write while an export is read does not come into it, and goes on."""
        codes = [Code(f"{number:05}", "x" * 80) for number in range(10_000)]
        storage.add(OWNER, codes)
        export = storage.export()
        first = next(export)
        with closing(self.open()) as other:
            other.remove(OWNER, [code for code, _ in codes[5_000:]])
            other.add(OWNER, [Code("later", "")])
        assert [first, *export] == [(*OWNER, *pair) for pair in codes]
        assert storage.count() == 5_001

    def test_staged_rows_are_seen_once_added(self, storage: Storage) -> None:
        """Rows are gathered in parts, keep no writer waiting, and are stored as one."""
        rows = [staged(n, f"{n * 7919 % 30_000:05}", f"line {n}") for n in range(30_000)]
        with storage.staging() as staging:
            for start in range(0, 30_000, 7_000):
                staging.put(iter(rows[start : start + 7_000]))
                with closing(self.open()) as other:
                    other.add(OWNER._replace(user="other"), [Code(f"{start:05}", "")])
            assert list(staging.take_repeated()) == []
            assert storage.list(OWNER) == []
            assert staging.add("fail", never, keep_going=False) == 30_000
        assert storage.list(OWNER) == sorted(staged.row[3:] for staged in rows)
        assert storage.count() == 30_005

    def test_staged_rows_end_with_the_staging(self, storage: Storage) -> None:
        """What was gathered and not added is gone, even after an error."""
        with storage.staging() as staging:
            staging.put([staged(1, "01")])
        with pytest.raises(ZeroDivisionError), storage.staging() as staging:
            staging.put(staged(1 // n, "02") for n in (1, 0))
        with storage.staging() as staging:
            staging.put([staged(1, "03")])
            assert staging.add("fail", never, keep_going=False) == 1
        with storage.staging() as staging:
            staging.put([])
            assert list(staging.take_repeated()) == []
            assert staging.add("fail", never, keep_going=False) == 0
            assert staging.remove() == 0
        assert storage.list(OWNER) == [("03", "")]

    def test_repeated_rows_are_taken_out(self, storage: Storage) -> None:
        """Of rows with one owner and code the first stays, and the others are told by line."""
        other = OWNER._replace(user="other")
        first = [staged(2, "bb", "first"), staged(3, "aa"), staged(4, "bb", owner=other)]
        more = [staged(5, "aa", "again"), staged(7, "bb"), staged(9, "bb"), staged(10, "BB")]
        with storage.staging() as staging:
            staging.put(first)
            staging.put(more)
            staging.put([staged(12, "aa")])
            assert list(staging.take_repeated()) == [*more[:3], staged(12, "aa")]
            assert list(staging.take_repeated()) == []
            assert staging.add("fail", never, keep_going=False) == 4
        assert storage.list(OWNER) == [("BB", ""), ("aa", ""), ("bb", "first")]

    @pytest.mark.parametrize(
        ("existing", "keep_going", "count", "reported", "stored"),
        [
            ("fail", False, 0, [3, 4], [("01", "old"), ("02", "old")]),
            ("fail", True, 1, [3, 4], [("01", "old"), ("02", "old"), ("03", "new")]),
            ("skip", False, 1, [], [("01", "old"), ("02", "old"), ("03", "new")]),
            ("replace", False, 3, [], [("01", "new"), ("02", "new"), ("03", "new")]),
        ],
    )
    def test_staged_rows_meet_stored_codes(
        self,
        storage: Storage,
        existing: Existing,
        keep_going: bool,
        count: int,
        reported: list[int],
        stored: list[tuple[str, str]],
    ) -> None:
        """Codes that are stored already fail the rows, make them skipped, or are described anew."""
        storage.add(OWNER, [Code("01", "old"), Code("02", "old")])
        before = storage.list(OWNER)
        for dry_run, after in ((True, before), (False, stored)):
            told: list[StagedRow] = []
            with storage.staging() as staging:
                staging.put(staged(line, f"0{5 - line}", "new") for line in (2, 3, 4))
                added = staging.add(existing, told.append, keep_going=keep_going, dry_run=dry_run)
            assert added == count
            assert sorted(row.line for row in told) == reported
            assert all(row.row[-1] == "new" for row in told)
            assert storage.list(OWNER) == after

    def test_staged_rows_are_removed(self, storage: Storage) -> None:
        """Of the rows those that are stored are removed and counted; any text may be named."""
        storage.add(OWNER, [Code("01", "one"), Code("02", "two"), Code("03", "three")])
        storage.add(OWNER._replace(group="other"), [Code("01", "")])
        with storage.staging() as staging:
            codes = ["01", "09", "03", "", "01\0", "é" * 999]
            staging.put(staged(line, code, "another") for line, code in enumerate(codes))
            assert staging.remove(dry_run=True) == 2
            assert storage.count() == 4
            assert staging.remove() == 2
        assert storage.list(OWNER) == [("02", "two")]
        assert storage.count() == 2
