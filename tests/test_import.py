"""`barring import`: what becomes of a file of codes, and of the rows that cannot be taken."""

import csv
import os
import pty
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from barring.domain import AuthorizationCode as Code
from barring.domain import Owner
from barring.storage.sqlite.engine import SQLiteStorage
from tests.command import BARRING, barring, failure, logged, succeed
from tests.service import ROOT, environment

HEADER = "tenant,group,user,code,description\n"
ANNA = Owner("acme", "sales", "anna")


@pytest.fixture
def storage(tmp_path: Path) -> SQLiteStorage:
    """A database in which Anna has the codes 01 and 02."""
    storage = SQLiteStorage(str(tmp_path / "codes.sqlite3"))
    storage.prepare()
    storage.add(ANNA, [Code("01", "old"), Code("02", "old")])
    storage.close()
    return storage


def written(folder: Path, *rows: str, header: str = HEADER) -> str:
    """The path of a file with these rows, and on standard input what would read it."""
    file = folder / "codes.csv"
    file.write_text(header + "".join(f"{row}\n" for row in rows), newline="")
    return str(file)


def for_anna(*codes: str) -> list[str]:
    """Rows that give Anna codes, in a file of the release before."""
    return [f"acme,sales,anna,{code},new" for code in codes]


def rejected(folder: Path) -> list[list[str]]:
    """The rows of the file of rejected ones, after its header."""
    with (folder / "rejected.csv").open(encoding="utf-8", newline="") as stream:
        header, *rows = csv.reader(stream)
    assert header == ["tenant", "group", "user", "code", "description", "line", "reason"]
    return rows


def test_file_is_stored(tmp_path: Path) -> None:
    """A first import makes the database, tells how many codes it holds now, and is audited."""
    done = barring(tmp_path, "import", written(tmp_path, *for_anna("0815", '"4711"')))
    assert (done.returncode, done.stdout) == (0, "2 codes stored\n")
    created, audit = logged(done)
    assert created["event"] == "database_created"
    assert {"role": "operator", "operation": "create", "count": 2}.items() <= audit.items()
    assert succeed(tmp_path, "list", *ANNA) == ("0815            new\n4711            new\n")
    assert stat.S_IMODE((tmp_path / "codes.sqlite3").stat().st_mode) == 0o600
    assert {path.name for path in tmp_path.iterdir()} >= {"codes.csv", "codes.sqlite3"}


def test_stream_is_stored(tmp_path: Path) -> None:
    """For - the codes come from a pipe, or from a file in its place."""
    content = HEADER + "acme,sales,anna,01,\n"
    assert succeed(tmp_path, "import", "-", stdin=content) == "1 code stored\n"
    with open(written(tmp_path, *for_anna("02"))) as stream:
        subprocess.run(
            [*BARRING, "import", "-"],
            stdin=stream,
            cwd=ROOT,
            env=environment(tmp_path),
            check=True,
            capture_output=True,
        )
    assert succeed(tmp_path, "list", *ANNA).split() == ["01", "02", "new"]
    assert "<stdin>: is empty; the first line must name" in failure(
        tmp_path, "import", "-", stdin=""
    )


def test_header_alone_stores_nothing(tmp_path: Path) -> None:
    """A file without rows is no error."""
    assert succeed(tmp_path, "import", written(tmp_path)) == "0 codes stored\n"
    assert succeed(tmp_path, "import", "--delete", written(tmp_path)) == "0 codes removed\n"


def test_all_or_nothing(tmp_path: Path, storage: SQLiteStorage) -> None:
    """If one row is rejected none is stored; all that are, are reported with line and reason."""
    file = written(tmp_path, *for_anna("03", "3", '"0\n4"', "02", "05", "03", "03"), "acme,sales")
    errors = tmp_path / "rejected.csv"
    message = failure(tmp_path, "import", "--errors", str(errors), file)
    assert "0 codes stored; 6 rows rejected, the first: line 3: code: Must have" in message
    assert sorted(rejected(tmp_path), key=lambda row: int(row[5])) == [
        [*ANNA, "3", "new", "3", "code: " + RULE],
        [*ANNA, "0\n4", "new", "4", "code: " + RULE],
        [*ANNA, "02", "new", "6", "code: This code exists already."],
        [*ANNA, "03", "new", "8", "code: Repeats the code of an earlier line."],
        [*ANNA, "03", "new", "9", "code: Repeats the code of an earlier line."],
        ["acme", "sales", "", "", "", "10", "user: Must be present, and be text."],
    ]
    assert stat.S_IMODE(errors.stat().st_mode) == 0o600
    assert storage.list(ANNA) == [Code("01", "old"), Code("02", "old")]


RULE = "Must have 2 to 14 characters, and match [0-9A-Za-z*#._-]+ from end to end, and not be `..`."


def test_good_rows_are_stored_and_the_others_mended(tmp_path: Path, storage: SQLiteStorage) -> None:
    """With --keep-going the good rows are stored; the file of the others is mended and sent."""
    errors = str(tmp_path / "rejected.csv")
    options = ["--keep-going", "--errors", errors]
    file = written(tmp_path, *for_anna("03", "4", "02", "05", "05"))
    done = barring(tmp_path, "import", *options, file)
    assert (done.returncode, done.stdout) == (1, "")
    audit, message = done.stderr.splitlines()
    assert '"count":2' in audit
    assert message.startswith("barring: 2 codes stored; 3 rows rejected, the first: line 3: code:")
    mended = (tmp_path / "rejected.csv").read_text().replace("anna,4,", "anna,04,")
    (tmp_path / "rejected.csv").write_text(mended.replace("anna,05,new", "anna,06,né\u20ac"))
    message = failure(tmp_path, "import", *options, errors, events=("audit",))
    assert "2 codes stored; 1 row rejected, the first: line 4: code: This code" in message
    (tmp_path / "rejected.csv").write_text(mended)
    assert "3 rows" in failure(tmp_path, "import", *options, errors)
    assert {row[5] for row in rejected(tmp_path)} == {"2", "3", "4"}
    succeed(
        tmp_path,
        "import",
        "--on-existing",
        "replace",
        *options,
        written(tmp_path, mended, header=""),
    )
    assert [code.code for code in storage.list(ANNA)] == ["01", "02", "03", "04", "05", "06"]
    assert rejected(tmp_path) == []


@pytest.mark.parametrize(
    ("existing", "count", "stored"),
    [("skip", 1, ["old", "old", "new"]), ("replace", 2, ["old", "new", "new"])],
)
def test_existing_codes(
    tmp_path: Path, storage: SQLiteStorage, existing: str, count: int, stored: list[str]
) -> None:
    """Codes that exist are left out, or get the file's description; others stay untouched."""
    # A code's class of service stays: files of the release before have none.
    assert storage.change(ANNA, "02", {"class_of_service": "national"})
    storage.close()
    file = written(tmp_path, *for_anna("03", "02"))
    for options, done in ((["--dry-run"], "would be stored"), ([], "stored")):
        output = succeed(tmp_path, "import", "--on-existing", existing, *options, file)
        assert output == f"{count} code{'s' * (count > 1)} {done}\n"
    services = ["", "national", ""]
    assert storage.list(ANNA) == [
        Code(f"0{number}", text, service)
        for number, text, service in zip((1, 2, 3), stored, services, strict=True)
    ]


def test_removal_file(tmp_path: Path, storage: SQLiteStorage) -> None:
    """With --delete the codes are removed; absent ones are no error, and repeated ones are."""
    file = written(tmp_path, "acme,sales,anna,01", "acme,sales,bob,02", header=HEADER[:22] + "\n")
    assert succeed(tmp_path, "import", "--delete", "--dry-run", file) == (
        "1 code would be removed\n"
    )
    done = barring(tmp_path, "import", "--delete", file)
    assert (done.returncode, done.stdout) == (0, "1 code removed\n")
    assert {"operation": "delete", "count": 1}.items() <= logged(done)[0].items()
    assert storage.list(ANNA) == [Code("02", "old")]
    file = written(tmp_path, *for_anna("02", "02"), "a/b,sales,anna,02")
    assert "0 codes removed; 2 rows" in failure(tmp_path, "import", "--delete", file)
    assert storage.list(ANNA) == [Code("02", "old")]


@pytest.mark.parametrize("options", [[], ["--on-existing", "replace"], ["--delete"]])
def test_dry_run_changes_nothing(
    tmp_path: Path, storage: SQLiteStorage, options: list[str]
) -> None:
    """A rehearsal tells and writes what the import would, and leaves the database as it is."""
    before = storage.path.read_bytes()
    errors = str(tmp_path / "rejected.csv")
    file = written(tmp_path, *for_anna("01", "03", "4/4"), "a,,b,05")
    done = barring(
        tmp_path, "import", "--dry-run", "--keep-going", "--errors", errors, *options, file
    )
    assert done.returncode == 1
    assert " would be " in done.stderr
    assert "audit" not in done.stderr
    assert "5" in [row[5] for row in rejected(tmp_path)]
    assert storage.path.read_bytes() == before


def test_first_rehearsal_makes_an_empty_database(tmp_path: Path) -> None:
    """Where there is no database, a rehearsal tells what the import would do all the same."""
    file = written(tmp_path, *for_anna("01"))
    assert succeed(tmp_path, "import", "--dry-run", file) == "1 code would be stored\n"
    assert succeed(tmp_path, "export") == f"{HEADER.rstrip()},class_of_service\n"


def test_removal_makes_no_database(tmp_path: Path) -> None:
    """Where there is no database, there is nothing to remove from."""
    file = written(tmp_path, *for_anna("01"))
    assert "there is no database yet" in failure(tmp_path, "import", "--delete", file)
    assert [path.name for path in tmp_path.iterdir()] == ["codes.csv"]


def test_file_that_is_refused_stores_nothing(tmp_path: Path, storage: SQLiteStorage) -> None:
    """A file that breaks off in disorder is refused by name, even with --keep-going."""
    file = written(tmp_path, *for_anna("03", '"04'))
    options = ["--keep-going", "--errors", str(tmp_path / "rejected.csv")]
    message = failure(tmp_path, "import", *options, file)
    assert "codes.csv: line 3: unexpected end of data" in message
    assert storage.count() == 2
    assert {path.name for path in tmp_path.iterdir()} >= {"codes.csv", "codes.sqlite3"}
    assert not (tmp_path / "rejected.csv").exists()
    assert list(tmp_path.glob(".*")) == []


def test_place_for_the_errors_is_tried_first(tmp_path: Path, storage: SQLiteStorage) -> None:
    """Where the rejected rows cannot be written nothing is stored; a device stays a device."""
    file = written(tmp_path, *for_anna("03"))
    nowhere = str(tmp_path / "nowhere" / "rejected.csv")
    assert f"{nowhere}: No such file" in failure(tmp_path, "import", "--errors", nowhere, file)
    assert "regular file" in failure(tmp_path, "import", "--errors", "/dev/null", file)
    assert storage.count() == 2


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("codes.csv", HEADER + "a,b,c,11,one, two\n"),
        ("codes.ndjson", '{"tenant":"a","group":"b","user":"c","code":0.10,"x":[null]}\n'),
        ("codes.ndjson", '{"tenant":"a","group":"b"\n7\n'),
    ],
)
def test_rejected_row_is_rejected_until_it_is_mended(
    tmp_path: Path, name: str, content: str
) -> None:
    """The file of rejected rows holds each as it was, so that unmended none is taken for good."""
    file, errors = tmp_path / name, tmp_path / f"rejected-{name}"
    header = HEADER if name == "codes.csv" else "{}\n"
    file.write_text((header if name == "codes.csv" else "") + content.removeprefix(HEADER))
    for source in (file, errors, errors):
        options = ["--keep-going", "--errors", str(errors)]
        assert "0 codes stored" in failure(tmp_path, "import", *options, str(source))
    assert ("two" in errors.read_text()) == (name == "codes.csv")


def test_rejected_rows_can_go_to_standard_output(tmp_path: Path) -> None:
    """`--errors -` prints the rejected rows with their reasons; no code of the file is stored."""
    file = written(tmp_path, *for_anna("03", "4"))
    command = [*BARRING, "import", "--errors", "-", file]
    done = subprocess.run(
        command, env=environment(tmp_path), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    (row,) = csv.DictReader(done.stdout.splitlines())
    assert (row["code"], row["line"]) == ("4", "3")


def test_no_file_of_codes_is_overwritten(tmp_path: Path, storage: SQLiteStorage) -> None:
    """Neither the database nor the rows to import give way to what is written."""
    database = tmp_path / "codes.sqlite3"
    link = tmp_path / "link.csv"
    link.symlink_to(database)
    file = written(tmp_path, *for_anna("03", "4"))
    for target in (str(database), str(link), f"{database}-wal"):
        for arguments in (["export", "--format", "csv", target], ["import", "--errors", target]):
            end = [file] if arguments[0] == "import" else []
            assert "is a file of the database" in failure(tmp_path, *arguments, *end)
    before = Path(file).read_bytes()
    for option in ([], ["--dry-run", "--keep-going"]):
        message = failure(tmp_path, "import", *option, "--errors", file, file)
        assert "is the file to import" in message
    assert Path(file).read_bytes() == before
    both = ("--delete", "--on-existing", "skip")
    assert "cannot be combined" in failure(tmp_path, "import", *both, file, status=2)
    assert storage.count() == 2


def test_message_is_one_line_whatever_the_file_holds(tmp_path: Path) -> None:
    """What a file calls its columns can neither break the line nor steer a terminal."""
    record = '{"a\\nb\\u001b[2J": 1}\n'
    message = failure(tmp_path, "import", "-", stdin=record)
    assert message.endswith("the first: line 1: a b [2J: No such column.")
    assert "also has 'x\\ny'" in failure(tmp_path, "import", "-", stdin=HEADER[:-12] + '"x\ny"\n')


def test_code_pattern_of_the_operator_binds(tmp_path: Path) -> None:
    """BARRING_CODE_PATTERN is the rule of an import too, and not of a removal."""
    file = written(tmp_path, *for_anna("ab"))
    digits: dict[str, Any] = {"BARRING_CODE_PATTERN": "[0-9]+"}
    assert "match [0-9]+" in failure(tmp_path, "import", file, **digits)
    succeed(tmp_path, "import", file)
    assert succeed(tmp_path, "import", "--delete", file, **digits) == "1 code removed\n"


@pytest.mark.parametrize("command", ["import", "export"])
def test_bar_on_a_terminal(tmp_path: Path, command: str) -> None:
    """On a terminal a bar shows how far the work is; elsewhere standard error stays silent."""
    file = written(tmp_path, *for_anna(*(f"{number:05}" for number in range(30_000))))
    if command == "export":
        succeed(tmp_path, "import", file)
    terminal, other_end = pty.openpty()
    with subprocess.Popen(
        [*BARRING, command, file],
        cwd=ROOT,
        env=environment(tmp_path, TERM="xterm"),
        stderr=other_end,
        stdout=subprocess.PIPE,
    ) as process:
        os.close(other_end)
        shown = b""
        try:
            while part := os.read(terminal, 10_000):
                shown += part
        except OSError:
            pass  # The other end is closed.
        assert process.wait(timeout=60) == 0
    os.close(terminal)
    assert (b"Reading" if command == "import" else b"Writing") in shown
    assert b"100%" in shown
    assert b"\x1b[?25h" in shown  # The cursor is there again.
