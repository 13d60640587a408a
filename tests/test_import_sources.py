"""Files from other systems and from spreadsheets: what `barring import` makes of them."""

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from barring.bulk.formats import COLUMNS, InputError, Rejected
from barring.bulk.reader import Reader
from barring.storage.staging import StagedRow
from schemas.rules import CODE_PATTERN, code_rule
from tests.command import failure, succeed

SALES: dict[str, Any] = {"tenant": "acme", "group": "sales", "user": ""}
HEADER = "tenant,group,user,code,description\n"
NUMBER = "A spreadsheet made a number of it. Enter it again, in a column formatted as text."
BLANKS = "Begins or ends with a blank or a no-break space, which nobody sees. Remove it."
FORMULA = 'Is a formula, ="…". Write only the text between the quotation marks.'
SOME = "--columns: the first line names only some of them; remove it, or name all in a line above"
NAMES = f"must name the columns {', '.join(COLUMNS)} (see --columns and --tenant)"


def read(
    content: str | bytes, *, remove: bool = False, pattern: str = CODE_PATTERN, **source: Any
) -> list[StagedRow | Rejected]:
    """What is read of a file with these options of an import."""
    content = content.encode() if isinstance(content, str) else content
    return list(
        Reader(
            io.BufferedReader(io.BytesIO(content)), "codes", code_rule(pattern), remove, **source
        )
    )


def refusal(content: str | bytes, **source: Any) -> str:
    """Why a file is refused as a whole."""
    with pytest.raises(InputError) as caught:
        read(content, **source)
    return str(caught.value).removeprefix("codes: ")


def codes(content: str | bytes, **source: Any) -> list[tuple[int, str | None, str | None]]:
    """The line, the code and the description of each row of a file of one group."""
    rows = [row for row in read(content, **SALES, **source) if isinstance(row, StagedRow)]
    assert {row.row[:3] for row in rows} == {("acme", "sales", "")}
    return [(row.line, row.row[3], row.row[4]) for row in rows]


@pytest.mark.parametrize(
    ("content", "columns", "expected"),
    [
        ("1234\n5678\n", "code", [(1, "1234", ""), (2, "5678", "")]),
        ("\n1234\r\n\r\n5678\x1a", "code", [(2, "1234", ""), (4, "5678", "")]),
        ("code\n1234\n", None, [(2, "1234", "")]),
        ("code\n1234\n", "code", [(2, "1234", "")]),
        (
            "1234,Reception,20\n5678,,\n",
            "code,description,-",
            [(1, "1234", "Reception"), (2, "5678", "")],
        ),
        ("Reception;7;1234\n", "Description, -,CODE", [(1, "1234", "Reception")]),
        ('1234,"a; b; c",20\n', "code,description,-", [(1, "1234", "a; b; c")]),
        ('1234;"a,b,c,d";20\n', "code,description,-", [(1, "1234", "a,b,c,d")]),
        ("[x,12\n", "description,code", [(1, "12", "[x")]),
        (
            "pin_number,accountcode,enabled,description\n12,7,true,Anna\n",
            "code=PIN_number,description",
            [(2, "12", "Anna")],
        ),
        (
            "\ufeffPIN_Number;x;x;Text\n12;7;;Anna\n",
            "code=pin_number,description=text",
            [(2, "12", "Anna")],
        ),
        ("Code,level,description,x\n12,,code\n", "code,-,description", [(2, "12", "code")]),
        ("12,code\n", "code,description", [(1, "12", "code")]),
        ("-,12\n", "-,code", [(1, "12", "")]),
    ],
)
def test_columns_are_named_by_an_option(
    content: str, columns: str | None, expected: list[tuple[int, str, str]]
) -> None:
    """--columns names the columns by their order, or maps the names of the first line."""
    assert codes(content, columns=columns) == expected


@pytest.mark.parametrize(
    ("content", "source", "message"),
    [
        ("12\n", {"columns": "code"}, f"--columns {NAMES}; it lacks 'group', 'tenant', 'user'"),
        (
            "12\n",
            {"columns": "code", "tenant": "a", "group": "b"},
            f"--columns {NAMES}; it lacks 'user'",
        ),
        ("code\n12\n", {"tenant": "a", "group": "b"}, f"the first line {NAMES}; it lacks 'user'"),
        ("12\n", {**SALES, "columns": "pin"}, f"--columns {NAMES}; it lacks 'code'"),
        ("12,x\n", {**SALES, "columns": "code,level"}, f"--columns {NAMES}; it also has 'level'"),
        ("12,x\n", {**SALES, "columns": "code,code"}, f"--columns {NAMES}; it repeats 'code'"),
        (
            "pin\n12\n",
            {**SALES, "columns": "code=number"},
            "--columns: the first line does not name 'number'",
        ),
        (
            "pin,pin\n1,2\n",
            {**SALES, "columns": "code=pin"},
            f"--columns {NAMES}; it repeats 'code'",
        ),
        *(
            (first, {**SALES, "columns": columns}, SOME)
            for first, columns in [
                ("12,description\n", "code,description"),
                ("pin,x,description\n", "code,-,description"),
                ("code,-,text\n", "code,-,description"),
                ("code\n", "code,description"),
                ("user;12\n", "User,code"),
            ]
        ),
        ("", {**SALES, "columns": "code"}, "is empty"),
        ("\n \n;;\n", {**SALES, "columns": "code"}, "is empty"),
        ("sep=;\n", {}, f"is empty; the first line {NAMES}"),
        ("x", {"encoding": "latin-99"}, "--encoding: Python has no encoding 'latin-99'"),
        ("x", {"encoding": "hex"}, "--encoding: Python has no encoding 'hex'"),
    ],
)
def test_file_is_refused_with_what_to_do(
    content: str, source: dict[str, str], message: str
) -> None:
    """A file whose columns are not certain is refused; the message says which option helps."""
    assert refusal(content, **source) == message


def test_more_cells_than_named_columns() -> None:
    """A row with more cells than --columns names is rejected."""
    (row,) = read("1234,Reception\n", columns="code", **SALES)
    assert isinstance(row, Rejected)
    assert row.reason == "Has more cells than there are columns."


def test_option_stands_for_a_missing_column_alone() -> None:
    """An empty cell means the level above, as without the options; so does an empty option."""
    content = "tenant,user,code\na,,01\nb,u,02\nc\n"
    first, second, third = read(content, tenant="x", group="sales", user="x")
    assert first == StagedRow(2, ("a", "sales", "", "01", "", None))
    assert second == StagedRow(3, ("b", "sales", "u", "02", "", None))
    assert isinstance(third, Rejected)
    assert third.reason == "user: Must be present, and be text."
    lines = (
        '{"tenant":"a","group":"","code":"01"}\n{"tenant":"a","group":"b","user":"c","code":"02"}'
    )
    assert read(lines, tenant="x", group="x", user="") == [
        StagedRow(1, ("a", "", "", "01", "", None)),
        StagedRow(2, ("a", "b", "c", "02", "", None)),
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("first", ["sep={0}\r\n", '"SEP={0}"\n', "\n \r\n", ";;;\nsep={0}\n\n"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_table_of_a_spreadsheet(encoding: str, first: str, delimiter: str) -> None:
    """What spreadsheets write before a table, and its encoding, are no fault."""
    if "sep" not in first and delimiter == "|":
        delimiter = ","
    table = 'tenant,group,user,code,description\r\na,"b",zoë,="0815",x\r\n\r\na,b,, 01\xa0,\r\n\x1a'
    content = first.format(delimiter) + table.replace(",", delimiter)
    line = 1 + first.count("\n")
    assert read(content.encode(encoding)) == [
        StagedRow(line + 1, ("a", "b", "zoë", "0815", "x", None)),
        StagedRow(line + 3, ("a", "b", "", "01", "", None)),
    ]


def test_json_after_an_empty_line() -> None:
    """An empty first line and a trailing 0x1A are no fault of JSON either."""
    record = '{"tenant":"a","group":"b","user":"c","code":"01"}'
    row = ("a", "b", "c", "01", "", None)
    assert read(f"\n\r\n{record}\n\x1a") == [StagedRow(3, row)]
    assert read(f"\n[{record}]\x1a") == [StagedRow(1, row)]
    assert read(f"\n[{record}]".encode("utf-16")) == [StagedRow(1, row)]


@pytest.mark.parametrize("encoding", ["latin-1", "windows-1252", "utf-16-be", "UTF8", "utf-16"])
def test_encoding_is_named(encoding: str) -> None:
    """--encoding names an encoding that the content does not tell, with or without a mark."""
    row = ("a", "b", "zoë", "01", "", None)
    for mark in ("", "\ufeff") if "u" in encoding.lower() else ("",):
        content = f"{mark}tenant,group,user,code\na,b,zoë,01\n".encode(encoding)
        assert read(content, encoding=encoding) == [StagedRow(2, row)]
    assert "is not windows-1252 text" in refusal(b"tenant\x81", encoding="windows-1252")
    assert "is not utf-16 text" in refusal(b"tenant,group", encoding="utf-16")


@pytest.mark.parametrize("remove", [False, True])
@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("a,b,c,4.71E+03,", f"code: {NUMBER}"),
        ('a,b,c,"4,71e+3",', f"code: {NUMBER}"),
        ("a,b,c,1E+13,", f"code: {NUMBER}"),
        ("a,b,4.93012E+11,01,", f"user: {NUMBER}"),
        ("1E-05,b,c,01,", f"tenant: {NUMBER}"),
        ('a,b,="0042",01,', f"user: {FORMULA}"),
        ('a,"=""0042""",c,01,', f"group: {FORMULA}"),
        ('a,b,\'="0042",01,', f"user: {FORMULA}"),
        ("a,b ,c,01,", f"group: {BLANKS}"),
        ("a,b,\xa0c,01,", f"user: {BLANKS}"),
        ("a\u202f,b,c,01,", f"tenant: {BLANKS}"),
        ("a,b,' -c\u2007,01,", f"user: {BLANKS}"),
        ("a,b, ,01,", f"user: {BLANKS}"),
    ],
)
def test_damaged_code_or_id_is_rejected(row: str, reason: str, remove: bool) -> None:
    """What a spreadsheet has damaged is rejected with the reason, to be stored or removed."""
    first, second = read(f"{HEADER}{row}\na,b,1E5,01,1E+05\n", remove=remove)
    assert isinstance(first, Rejected)
    assert first.reason == reason
    assert second == StagedRow(3, ("a", "b", "1E5", "01", "" if remove else "1E+05", None))


def test_cells_are_what_they_were_before_the_export() -> None:
    """One apostrophe before a formula goes; `="…"` is unwrapped only as a code."""
    cells = ["'=1", "''+1", "'-", "'@", "'\t", "'x", "''", "=1", '="x"', '\'="x"']
    texts = ["=1", "'+1", "-", "@", "\t", "'x", "''", "=1", '="x"', '="x"']
    content = HEADER + "".join(
        f'a,b,c,0{n},"{c.replace(chr(34), 2 * chr(34))}"\n' for n, c in enumerate(cells)
    )
    rows = read(content)
    assert [row.row[4] for row in rows if isinstance(row, StagedRow)] == texts


def test_pattern_of_the_operator_binds_the_code_as_it_stands() -> None:
    """Where the operator's pattern allows blanks or formulas, no code silently becomes another."""
    content = HEADER + 'a,b,c, 01,\na,b,c,\'=01,\na,b,c,\'="01",\na,b,c,="02",\n'
    for remove in (False, True):
        blank, formula, wrapped, unwrapped = read(content, pattern=".+", remove=remove)
        assert isinstance(blank, Rejected)
        assert blank.reason == f"code: {BLANKS}"
        assert isinstance(formula, StagedRow)
        assert formula.row[3] == "=01"
        assert isinstance(wrapped, Rejected)
        assert wrapped.reason == f"code: {FORMULA}"
        assert isinstance(unwrapped, StagedRow)
        assert unwrapped.row[3] == "02"


def test_rejected_rows_are_mended_without_the_options(tmp_path: Path) -> None:
    """The file of rejected rows names all columns, so it is imported without options."""
    file, errors = tmp_path / "pins.csv", tmp_path / "rejected.csv"
    file.write_bytes("sep=|\n1234|=1+1|9\n5|Gebühr €|9\n5678|'-1|9|=2\n".encode("cp1252"))
    owner = ["--tenant", "acme", "--group", "sales", "--user", "anna"]
    more = ["--columns", "code,description,-", "--encoding", "cp1252"]
    options = ["--keep-going", "--errors", str(errors)]
    message = failure(
        tmp_path, "import", *owner, *more, *options, str(file), events=("audit", "created")
    )
    assert "1 code stored; 2 rows rejected, the first: line 3: code: Must have" in message
    for _ in range(2):
        with errors.open(encoding="utf-8", newline="") as stream:
            _, short, long = csv.reader(stream)
        assert short[:5] == ["acme", "sales", "anna", "5", "Gebühr €"]
        assert long[:5] == ["acme", "sales", "anna", "5678", "'-1"]
        assert long[7:] == ["'=2"]
        assert "2 rows" in failure(tmp_path, "import", *options, str(errors))
    errors.write_text(errors.read_text().replace(",5,Geb", ",55,Geb").replace(",'=2", ""))
    assert succeed(tmp_path, "import", str(errors)) == "2 codes stored\n"
    listed = succeed(tmp_path, "list", "acme", "sales", "anna")
    assert [line.split(maxsplit=1) for line in listed.splitlines()] == [
        ["1234", "=1+1"],
        ["55", "Gebühr €"],
        ["5678", "-1"],
    ]


def test_row_that_contains_the_name_of_its_column_is_not_lost(tmp_path: Path) -> None:
    """Such a first row is refused, and stored below a line that names all columns."""
    file = tmp_path / "pins.csv"
    file.write_text("1234,description\n5678,Anna\n")
    options = ["--tenant", "acme", "--group", "sales", "--user", "anna"]
    options += ["--columns", "code,description", "--keep-going"]
    message = failure(tmp_path, "import", *options, str(file))
    assert message == f"barring: {file}: {SOME}"
    file.write_text(f"code,description\n{file.read_text()}")
    assert succeed(tmp_path, "import", *options, str(file)) == "2 codes stored\n"
    listed = succeed(tmp_path, "list", "acme", "sales", "anna")
    assert listed.split() == ["1234", "description", "5678", "Anna"]


def test_leavers_from_a_list_of_codes(tmp_path: Path) -> None:
    """The options serve a list of codes to remove, too."""
    for user in ("anna", "bert"):
        owner = ["--tenant", "acme", "--group", "sales", "--user", user, "--columns", "code"]
        assert succeed(tmp_path, "import", *owner, "-", stdin="01\n02\n") == "2 codes stored\n"
    assert (
        succeed(tmp_path, "import", "--delete", *owner, "-", stdin=' 02\n="01"\n')
        == "2 codes removed\n"
    )
    assert succeed(tmp_path, "list", "acme", "sales", "anna").split() == ["01", "02"]


def test_mapped_header_keeps_the_owners_that_the_file_has() -> None:
    """A column that --columns does not map, but that has a name of ours, is not ignored."""
    content = "tenant,group,user,pin\nacme,sales,anna,4711\n"
    row = ("acme", "sales", "anna", "4711", "", None)
    assert read(content, columns="code=pin", **{**SALES, "tenant": "other"}) == [StagedRow(2, row)]


@pytest.mark.parametrize("code", ["2e-33", "7E-1"])
def test_code_that_only_looks_like_a_number_is_kept(code: str) -> None:
    """No spreadsheet writes a small number with one digit, or a large one with a minus."""
    assert codes(f"code\n{code}\n") == [(2, code, "")]
