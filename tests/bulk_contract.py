"""What every storage engine must do with the codes of many owners: exports and staged rows."""

from contextlib import closing

import pytest

from barring.domain import AuthorizationCode as Code
from barring.domain import Owner
from barring.storage.base import Storage
from barring.storage.staging import Existing, StagedRow
from tests.storage_contract import LEVELS, OWNER, EngineContract


def staged(
    line: int, code: str, description: str = "", service: str | None = None, owner: Owner = OWNER
) -> StagedRow:
    """A row of a file; without a class of service, as of a file without that column."""
    return StagedRow(line, (*owner, code, description, service))


def never(row: StagedRow) -> None:
    """Takes the report of a row where there must be none."""
    raise AssertionError(row)


class BulkContract(EngineContract):
    """The suite."""

    def test_export_gives_everything_in_order(self, storage: Storage) -> None:
        """Every code of every owner comes out, ascending by code point, and is counted."""
        others = [
            Owner("Tenant", "g", "u"),
            Owner("tenant", "é", "😀"),
            Owner("a", "z"),
            Owner("ü"),
        ]
        owners = [*LEVELS.values(), *others]
        for owner in owners:
            codes = [Code("02", "two"), Code("#1", "", "national"), Code("é", "é😀\r\n", "é\t😀")]
            storage.add(owner, codes)
        rows = [(*owner, *code) for owner in owners for code in storage.list(owner)]
        assert list(storage.export()) == sorted(rows)
        assert storage.count() == 21
        assert storage.check() == {"codes": 21, "users": 3, "tenants": 4}

    def test_nothing_is_exported_and_counted(self, storage: Storage) -> None:
        """Of an empty database an export is empty."""
        assert list(storage.export()) == []
        assert storage.count() == 0

    def test_export_is_of_one_moment(self, storage: Storage, owner: Owner) -> None:
        """What others write while an export is read does not come into it, and goes on."""
        codes = [Code(f"{number:05}", "x" * 80) for number in range(10_000)]
        storage.add(owner, codes)
        export = storage.export()
        first = next(export)
        with closing(self.open()) as other:
            other.remove(owner, [new.code for new in codes[5_000:]])
            other.change(owner, "00001", {"description": "later", "class_of_service": "later"})
            other.add(owner, [Code("later", "")])
        assert [first, *export] == [(*owner, *code) for code in codes]
        assert storage.count() == 5_001

    def test_staged_rows_are_seen_once_added(self, storage: Storage) -> None:
        """Rows are gathered in parts, keep no writer waiting, and are stored as one."""
        rows = [staged(n, f"{n * 7919 % 30_000:05}", f"line {n}", "") for n in range(30_000)]
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

    def test_staged_rows_end_with_the_staging(self, storage: Storage, owner: Owner) -> None:
        """What was gathered and not added is gone, even after an error."""
        with storage.staging() as staging:
            staging.put([staged(1, "01", owner=owner)])
        with pytest.raises(ZeroDivisionError), storage.staging() as staging:
            staging.put(staged(1 // n, "02", owner=owner) for n in (1, 0))
        with storage.staging() as staging:
            staging.put([staged(1, "03", owner=owner)])
            assert staging.add("fail", never, keep_going=False) == 1
        with storage.staging() as staging:
            staging.put([])
            assert list(staging.take_repeated()) == []
            assert staging.add("fail", never, keep_going=False) == 0
            assert staging.remove() == 0
        assert storage.list(owner) == [Code("03", "")]

    def test_repeated_rows_are_taken_out(self, storage: Storage, owner: Owner) -> None:
        """Of rows with one owner and code the first stays, and the others are told by line."""
        others = [Owner("other"), *(other for other in LEVELS.values() if other != owner)]

        def row(line: int, code: str, description: str = "", service: str | None = "") -> StagedRow:
            return staged(line, code, description, service, owner)

        first = [row(2, "bb", "first", "x"), row(3, "aa", "", None)]
        more = [row(5, "aa", "again"), row(7, "bb", "", "y"), row(9, "bb"), row(10, "BB")]
        with storage.staging() as staging:
            staging.put(first + [staged(4, "bb", owner=other) for other in others])
            staging.put(more)
            staging.put([row(12, "aa", "", None)])
            assert list(staging.take_repeated()) == [*more[:3], row(12, "aa", "", None)]
            assert list(staging.take_repeated()) == []
            assert staging.add("fail", never, keep_going=False) == 6
        assert storage.list(owner) == [Code("BB", ""), Code("aa", ""), Code("bb", "first", "x")]

    @pytest.mark.parametrize(
        ("existing", "keep_going", "count", "reported", "stored"),
        [
            ("fail", False, 0, [3, 4], ["old", "old", None]),
            ("fail", True, 1, [3, 4], ["old", "old", "new"]),
            ("skip", False, 1, [], ["old", "old", "new"]),
            ("replace", False, 3, [], ["new", "new", "new"]),
        ],
    )
    def test_staged_rows_meet_stored_codes(
        self,
        storage: Storage,
        owner: Owner,
        existing: Existing,
        keep_going: bool,
        count: int,
        reported: list[int],
        stored: list[str | None],
    ) -> None:
        """Codes that are stored already fail the rows, make them skipped, or are replaced."""
        storage.add(owner, [Code("01", "old", "old"), Code("02", "old", "old")])
        beside = {each: [Code("01", "old"), Code("03", "old")] for each in LEVELS.values()}
        del beside[owner]
        for each, codes in beside.items():
            storage.add(each, codes)
        before = storage.list(owner)
        after = [Code(f"0{n}", text, text) for n, text in enumerate(stored, 1) if text]
        for dry_run, expected in ((True, before), (False, after)):
            told: list[StagedRow] = []
            rows = [staged(line, f"0{5 - line}", "new", "new", owner) for line in (2, 3, 4)]
            with storage.staging() as staging:
                staging.put(rows)
                added = staging.add(existing, told.append, keep_going=keep_going, dry_run=dry_run)
            assert added == count
            assert sorted(told) == [row for row in rows if row.line in reported]
            assert storage.list(owner) == expected
            assert {each: storage.list(each) for each in beside} == beside

    def test_replacing_row_may_leave_the_class_of_service(
        self, storage: Storage, owner: Owner
    ) -> None:
        """Of a row that replaces, None leaves the class of service, "" clears it, a text sets it.

        A new code has none where the row has none.
        """
        storage.add(owner, [Code(f"0{n}", "old", "national") for n in range(3)])
        storage.add(owner, [Code(f"1{n}", "old") for n in range(3)])
        services = [None, "", "international"]
        with storage.staging() as staging:
            for ten in range(3):
                staging.put(staged(n, f"{ten}{n}", "new", services[n], owner) for n in range(3))
            assert staging.add("replace", never, keep_going=False) == 9
        found = {code.code: code.class_of_service for code in storage.list(owner)}
        assert [found[f"0{n}"] for n in range(3)] == ["national", "", "international"]
        assert [found[f"1{n}"] for n in range(3)] == ["", "", "international"]
        assert [found[f"2{n}"] for n in range(3)] == ["", "", "international"]
        assert {code.description for code in storage.list(owner)} == {"new"}

    def test_reported_row_is_as_it_was_staged(self, storage: Storage) -> None:
        """A row whose code exists is reported with None or "" as it had it."""
        storage.add(OWNER, [Code("01", "old", "old"), Code("02", "old", "old")])
        rows = [staged(1, "01", "new", None), staged(2, "02", "new", "")]
        told: list[StagedRow] = []
        with storage.staging() as staging:
            staging.put(rows)
            assert staging.add("fail", told.append, keep_going=False) == 0
        assert sorted(told) == rows

    def test_staged_rows_are_removed(self, storage: Storage, owner: Owner) -> None:
        """Of the rows those that are stored are removed and counted; any text may be named."""
        storage.add(owner, [Code("01", "one"), Code("02", "two", "x"), Code("03", "three", "x")])
        others = [owner._replace(tenant="other"), *(o for o in LEVELS.values() if o != owner)]
        for other in others:
            storage.add(other, [Code("01", "")])
        with storage.staging() as staging:
            codes = ["01", "09", "03", "", "01\0", "é" * 999]
            staging.put(staged(n, code, "another", None, owner) for n, code in enumerate(codes))
            assert staging.remove(dry_run=True) == 2
            assert storage.count() == 6
            assert staging.remove() == 2
        assert storage.list(owner) == [Code("02", "two", "x")]
        assert storage.count() == 4
