"""`barring export`: every code, in a file that imports back to the same."""

import csv
import io
import json
import os
import re
import signal
import stat
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from barring.bulk.formats import COLUMNS
from barring.bulk.reader import Reader
from barring.bulk.writer import Writer
from barring.domain import AuthorizationCode as Code
from barring.domain import Owner
from barring.storage.sqlite.engine import SQLiteStorage
from barring.storage.staging import StagedRow
from schemas.rules import CODE_PATTERN, code_rule
from tests.command import BARRING, failure, succeed
from tests.service import ROOT, environment

ROWS = [
    ("=1+1", "+49301234", "-", "-01", "-1", "\t"),
    ("@", "'=1+1", "''@", "-_.", "'+", "''\r"),
    ("acme", "", "", "0815", "of the tenant", "international"),
    ("acme", "", "", "4711", "", ""),
    ("acme", "sales", "", "0815", "of the group", "national; 'long', \"x\"\r\n\t"),
    ("acme", "sales", "", "99", "", "é😀\u2028\x85\x1c\ufeff"),
    ("acme", "sales", "anna", "007", "", ""),
    ("acme", "sales", "anna", "0815", 'commas, semicolons; and "quotes"', "\r"),
    ("acme", "sales", "anna", "4711", "tab\tLF\nCR\rCRLF\r\nend\n", " "),
    ("acme", "sales", "anna", "99", "\r", "x" * 40),
    ("acme", "sales", "zoë@example.com", "*1#", "é😀\u2028\x85\x1c\ufeff", ""),
    ("acme", "\ufeff;s,a\"l'e s", "'", "-_.", " spaces ", "1"),
    ("{", "[", '"', "1E5", '=HYPERLINK("x")', "=1+1"),
    ("😀", "", "", "00", "x" * 80, ""),
    ("😀", "1", "01", "00", "x" * 80, ""),
]
KINDS = {"csv": "export.csv", "tsv": "export.tsv", "ndjson": "export.ndjson"}


@pytest.fixture
def storage(tmp_path: Path) -> SQLiteStorage:
    """A database of codes that are hard to write."""
    storage = SQLiteStorage(str(tmp_path / "codes.sqlite3"))
    storage.prepare()
    for row in ROWS:
        storage.add(Owner(*row[:3]), [Code(*row[3:])])
    storage.close()
    return storage


@pytest.mark.parametrize("kind", KINDS)
def test_export_imports_back_to_the_same_bytes(
    tmp_path: Path, storage: SQLiteStorage, kind: str
) -> None:
    """Exported, imported elsewhere and exported again, the codes are the same byte for byte."""
    first, second = tmp_path / KINDS[kind], tmp_path / f"again-{KINDS[kind]}"
    other = tmp_path / "other"
    other.mkdir()
    assert succeed(tmp_path, "export", str(first)) == ""
    succeed(other, "import", str(first))
    succeed(other, "export", str(second))
    assert second.read_bytes() == first.read_bytes()
    with closing(SQLiteStorage(str(other / "codes.sqlite3"))) as imported:
        assert list(imported.export()) == ROWS


def test_formats_are_what_they_are_called(tmp_path: Path, storage: SQLiteStorage) -> None:
    """Any reader of CSV, of tab-separated values and of JSON a line reads what was stored."""
    for file in KINDS.values():
        succeed(tmp_path, "export", str(tmp_path / file))
    for file, delimiter in (("export.csv", ","), ("export.tsv", "\t")):
        with (tmp_path / file).open(encoding="utf-8", newline="") as stream:
            header, *rows = csv.reader(stream, delimiter=delimiter)
        assert header == list(COLUMNS)
        # A spreadsheet takes no cell for a formula.
        assert not [cell for row in rows for cell in row if cell[:1] in {*"=+-@\t\r"}]
        assert [tuple(re.sub(r"^'('*[=+\-@\t\r])", r"\1", c) for c in row) for row in rows] == ROWS
        assert header[-1] == "class_of_service"
    lines = (tmp_path / "export.ndjson").read_text(encoding="utf-8").split("\n")
    written = [json.loads(line) for line in lines[:-1]]
    assert [tuple(record.get(column, "") for column in COLUMNS) for record in written] == ROWS
    # Only the class of service is left out where there is none.
    assert [list(record) for record in written] == [
        list(COLUMNS if row[-1] else COLUMNS[:-1]) for row in ROWS
    ]


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [([], "csv"), (["-"], "csv"), (["--format", "ndjson"], "ndjson"), (["--format", "tsv"], "tsv")],
)
@pytest.mark.parametrize("locale", ["C.UTF-8", "C", "POSIX"])
def test_stream_is_the_same_as_a_file(
    tmp_path: Path, storage: SQLiteStorage, arguments: list[str], kind: str, locale: str
) -> None:
    """Without a file the same bytes come on standard output, whatever the shell's encoding."""
    succeed(tmp_path, "export", str(tmp_path / KINDS[kind]))
    done = subprocess.run(
        [*BARRING, "export", *arguments],
        cwd=ROOT,
        env=environment(tmp_path, LC_ALL=locale, PYTHONIOENCODING="ascii"),
        capture_output=True,
        check=True,
    )
    assert done.stderr == b""
    assert done.stdout == (tmp_path / KINDS[kind]).read_bytes()


def test_export_is_its_owners_alone(tmp_path: Path, storage: SQLiteStorage) -> None:
    """The file is 0600, even where an older one was not; the option goes before the name."""
    file = tmp_path / "export.csv"
    file.write_text("older")
    file.chmod(0o644)
    succeed(tmp_path, "export", "--format", "ndjson", str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().startswith('{"tenant"')
    (tmp_path / "link.csv").symlink_to(file)
    succeed(tmp_path, "export", str(tmp_path / "link.csv"))
    assert (tmp_path / "link.csv").is_symlink()
    assert file.read_text().startswith("tenant,")


def test_ids_with_blanks_come_back_in_json(tmp_path: Path) -> None:
    """JSON lines alone bring back the ids that an import of a table refuses."""
    rows = [
        (" ", "\u3000g", "4.93012E+11", "01", "", ""),
        ("t ", 't\xa0"', '="0042"', "01", "", ""),
    ]
    with closing(SQLiteStorage(str(tmp_path / "codes.sqlite3"))) as storage:
        storage.prepare()
        for row in rows:
            storage.add(Owner(*row[:3]), [Code(*row[3:])])
    for kind in ("csv", "tsv"):
        content = succeed(tmp_path, "export", "--format", kind)
        message = failure(tmp_path, "import", "--on-existing", "skip", "-", stdin=content)
        assert "2 rows rejected" in message
    content = succeed(tmp_path, "export", "--format", "ndjson")
    assert succeed(tmp_path, "import", "--delete", "-", stdin=content) == "2 codes removed\n"
    assert succeed(tmp_path, "import", "-", stdin=content) == "2 codes stored\n"
    assert list(storage.export()) == rows


def test_empty_database_exports_a_header(tmp_path: Path) -> None:
    """Where no code is, a table is its header, and JSON a line is nothing."""
    with closing(SQLiteStorage(str(tmp_path / "codes.sqlite3"))) as storage:
        storage.prepare()
    header = "tenant,group,user,code,description,class_of_service\n"
    assert succeed(tmp_path, "export") == header
    assert succeed(tmp_path, "export", "--format", "ndjson") == ""


def test_export_that_is_told_to_end_leaves_nothing(tmp_path: Path, storage: SQLiteStorage) -> None:
    """SIGTERM ends an export as Ctrl-C does, without a file of codes left half-written."""
    storage.add(Owner("a", "b", "c"), [Code(f"{number:08}", "x" * 80) for number in range(100_000)])
    command = [*BARRING, "export", str(tmp_path / "codes.csv")]
    with subprocess.Popen(command, cwd=ROOT, env=environment(tmp_path)) as exporting:
        while not any(file.stat().st_size for file in tmp_path.glob(".codes.csv.*")):
            assert exporting.poll() is None
        exporting.terminate()
    assert exporting.returncode == 128 + signal.SIGTERM
    assert not list(tmp_path.glob("*codes.csv*"))


def test_ending_that_says_no_form_is_refused(tmp_path: Path, storage: SQLiteStorage) -> None:
    """A name of another kind of file gets no CSV in it, unless that is asked for."""
    file = tmp_path / "codes.xlsx"
    assert "unknown extension" in failure(tmp_path, "export", str(file))
    succeed(tmp_path, "export", "--format", "csv", str(file))


def test_export_appears_whole_or_not_at_all(tmp_path: Path, storage: SQLiteStorage) -> None:
    """An export that fails leaves the older file, and nothing beside it."""
    file = tmp_path / "export.csv"
    succeed(tmp_path, "export", str(file))
    before = file.read_bytes()
    nowhere = tmp_path / "nowhere" / "export.csv"
    assert f"{nowhere}: No such file" in failure(tmp_path, "export", str(nowhere))
    assert "not a regular file" in failure(tmp_path, "export", "/dev/null")
    assert "is a directory" in failure(tmp_path, "export", str(tmp_path), status=2)
    storage.path.write_bytes(b"damaged" * 1_000)
    assert "codes.sqlite3: is not an SQLite database" in failure(tmp_path, "export", str(file))
    assert file.read_bytes() == before
    storage.path.unlink()
    assert "there is no database yet" in failure(tmp_path, "export", str(file))
    left = {path.name for path in tmp_path.iterdir()}
    assert left - {"codes.sqlite3-lock"} == {"export.csv"}


def test_full_disk_is_told(tmp_path: Path, storage: SQLiteStorage) -> None:
    """A stream that takes no more ends the export in one line."""
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*BARRING, "export"],
            cwd=ROOT,
            env=environment(tmp_path),
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == b"barring: No space left on device\n"


def test_reader_that_has_enough_ends_the_export(tmp_path: Path, storage: SQLiteStorage) -> None:
    """When whoever reads the stream goes away, the export ends without a word."""
    storage.add(Owner("a", "b", "c"), [Code(f"{number:06}", "x" * 80) for number in range(20_000)])
    storage.close()
    with subprocess.Popen(
        [*BARRING, "export"],
        cwd=ROOT,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert os.read(process.stdout.fileno(), 6) == b"tenant"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=20) == 1


LEVELS = [Owner("a", "b", "c"), Owner("a", "b"), Owner("a")]
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=80)
telling = st.text("=+-@,;\t\"'\r\n\\ é😀[{\ufeff\x85\u2028", max_size=80)


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(st.sampled_from(LEVELS), st.one_of(texts, telling), st.one_of(texts, telling)),
        max_size=5,
    ),
    st.sampled_from(list(KINDS)),
)
def test_any_description_comes_back(drawn: list[tuple[Owner, str, str]], kind: str) -> None:
    """Whatever a description and a class of service hold, what is written is read as the same."""
    rows: list[tuple[str | None, ...]] = [
        (*owner, f"{n:02}", text, service[:40]) for n, (owner, text, service) in enumerate(drawn)
    ]
    stream = io.StringIO(newline="")
    writer = Writer(stream, kind)
    for row in rows:
        writer.write(row)
    content = io.BufferedReader(io.BytesIO(stream.getvalue().encode()))
    rule = code_rule(CODE_PATTERN)
    read = list(Reader(content, "codes", rule, remove=False)) if drawn else []
    # JSON leaves out an empty class of service, and a row that has none leaves what is stored.
    if kind == "ndjson":
        rows = [(*row[:-1], row[-1] or None) for row in rows]
    assert [row.row for row in read if isinstance(row, StagedRow)] == rows
    assert len(read) == len(rows)
