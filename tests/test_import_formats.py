"""Files of codes, as programs and spreadsheets write them: what is read, and what is refused."""

import csv
import io
import json
import re
from collections.abc import Iterator
from typing import Literal
from unittest.mock import ANY
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from barring.bulk.formats import COLUMNS, InputError, Rejected
from barring.bulk.reader import Reader
from barring.bulk.spreadsheets import damage
from barring.bulk.writer import Writer
from barring.storage.staging import Row, StagedRow
from schemas.rules import CODE_PATTERN, code_rule
from tests.service import codes_path

RULE = code_rule(CODE_PATTERN)
HEADER = "tenant,group,user,code,description\n"
ROWS = [
    ("acme", "sales", "anna", "0815", 'Night, "shift"; 5 o\'clock\t', ""),
    ("acme", "sales", "zoë@example.com", "#1", " two\nlines\r\nand\rmore, 😀", 'é, "😀";\t'),
    ("acme", "sales", "", "007", "", "national"),
    ("acme", "", "", "007", "", ""),
]


def read(content: str | bytes, *, remove: bool = False) -> list[StagedRow | Rejected]:
    """What is read of a file, to be stored or removed."""
    content = content.encode() if isinstance(content, str) else content
    return list(Reader(io.BufferedReader(io.BytesIO(content)), "codes", RULE, remove))


def refusal(content: str | bytes) -> str:
    """Why a file as a whole is refused."""
    with pytest.raises(InputError) as caught:
        read(content)
    return str(caught.value)


def table(
    delimiter: str = ",", end: str = "\n", quoting: Literal[0, 1, 2, 3] = csv.QUOTE_MINIMAL
) -> str:
    """The rows, as a spreadsheet would write them."""
    stream = io.StringIO(newline="")
    # The line end decides what the module quotes; a description here holds each of them.
    writer = csv.writer(stream, delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writerows([COLUMNS, *ROWS])
    return stream.getvalue()


def records() -> list[dict[str, str]]:
    """The rows, as JSON objects."""
    return [dict(zip(COLUMNS, row, strict=True)) for row in ROWS]


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (table(end="\r\n"), [2, 3, 7, 8]),
        (table(quoting=csv.QUOTE_ALL), [2, 3, 7, 8]),
        (table(";", "\r\n"), [2, 3, 7, 8]),
        (table("\t", "\r\n"), [2, 3, 7, 8]),
        (table(end="\r", quoting=csv.QUOTE_ALL), [2, 3, 7, 8]),
        (table(end="\r\n").rstrip("\r\n"), [2, 3, 7, 8]),
        ("\n".join(map(json.dumps, records())), [1, 2, 3, 4]),
        ("\r\n\r\n".join(json.dumps(r, ensure_ascii=False) for r in records()), [1, 3, 5, 7]),
        (json.dumps(records()), [1, 2, 3, 4]),
        ("  " + json.dumps(records(), indent=2), [1, 2, 3, 4]),
    ],
)
def test_format_is_told_from_the_content(content: str, lines: list[int], mark: str) -> None:
    """Each way to write the same rows gives the same rows, with the lines that they begin on."""
    expected = [StagedRow(line, tuple(row)) for line, row in zip(lines, ROWS, strict=True)]
    assert read(mark + content) == expected


def test_columns_are_named_in_any_order() -> None:
    """The first line says which column is which; a code's other fields may be left out."""
    row = ("a", "b", "c", "01", "", None)
    assert read("Code; TENANT ;user;group\n01;a;c;b\n") == [StagedRow(2, row)]
    more = "reason,code,tenant,line,group,user\nsome,01,a,9,b,c\n"
    assert read(more) == [StagedRow(2, row)]
    record = '{"code":"01","tenant":"a","group":"b","user":"c","line":7}'
    assert read(record) == [StagedRow(1, row)]
    more = " CLASS_OF_SERVICE ;code;tenant;group;user\nnational;01;a;b;c\n;02;a;b;c\n"
    assert read(more) == [
        StagedRow(2, (*row[:5], "national")),
        StagedRow(3, ("a", "b", "c", "02", "", "")),
    ]


def test_lines_without_a_row_are_passed_over() -> None:
    """Empty lines, and a spreadsheet's empty cells beside and below the table, are nothing."""
    content = "tenant,group,user,code,description,,\n\na,b,c,01,x,,\n,,,,,,\na,b,c,02\n\n,\n"
    assert read(content) == [
        StagedRow(3, ("a", "b", "c", "01", "x", None)),
        StagedRow(5, ("a", "b", "c", "02", "", None)),
    ]


@pytest.mark.parametrize("content", [HEADER, HEADER.rstrip(), "[]", "\ufeff" + HEADER + "\n\n"])
def test_file_without_rows_holds_nothing(content: str) -> None:
    """A header alone, or an empty array, is a file of no codes."""
    assert read(content) == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("acme,sales,anna,4711,Night shift\n", "lacks 'code', 'group', 'tenant', 'user'"),
        ("tenant,group,user,Code number\n", "lacks 'code'"),
        ("tenant,group,user,code,descripton\n", "also has 'descripton'"),
        ("tenant,group,,user,code\n", "also has ''"),
        ("tenant,group,user,code,code\n", "repeats 'code'"),
        ('tenant,group,"user,code\n', "line 1: unexpected end of data"),
        (HEADER + 'a,b,c,01,"x"y\na,b,c,02,\n', "line 2: ',' expected after '\"'"),
        (HEADER + 'a,b,c,01,x\na,b,c,02,"x\n\n', "line 3: unexpected end of data"),
        (HEADER + f"a,b,c,01,{'x' * 200_000}\n", "line 2: field larger than field limit"),
        ("[", "is not a JSON array: line 1, column 2"),
        ('[{"code": "01", "code": "02"}]', "is not a JSON array: an object repeats a key"),
        ("[NaN]", "is not a JSON array: a number is too large, or is not a JSON number"),
        ("[" * 100_000, "is not a JSON array: it is nested too deeply"),
    ],
)
def test_file_that_cannot_be_told_apart_is_refused(content: str, reason: str) -> None:
    """A file whose rows are not certain is refused as a whole, with the place."""
    assert reason in refusal(content)


@pytest.mark.parametrize(
    "content",
    [
        (HEADER + "a,b,zoë,01,\n").encode("latin-1"),
        (HEADER + "a,b,c,01,5 €\n").encode("cp1252"),
        (HEADER + "a,b,c,01,x\n").encode("utf-16-le"),
        (HEADER + "a,b,c,01,x\n").encode("utf-16-be"),
        ("tenant,group,usér,code\n").encode("latin-1"),
        json.dumps(records(), ensure_ascii=False).replace("😀", "").encode("latin-1"),
        HEADER.encode() + b"a,b,\xed\xa0\x80,01,\n",
        HEADER.encode() + b"a,b,c,01,\n" * 100_000 + b"\xff",
    ],
)
def test_other_encodings_are_refused(content: bytes) -> None:
    """Latin-1 and UTF-16 are never guessed at: what they hold could come out as another text."""
    assert re.fullmatch(
        "codes: is not UTF-8 text; it may be .*Latin-1 or UTF-16; save it as UTF-8 .*--encoding",
        refusal(content),
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x1f\x8b\x08\x00\x00\x00", "may be a spreadsheet, a compressed"),
        (b"PK\x03\x04\x14\x00\x08\x00", "may be a spreadsheet, a compressed"),
        (b"SQLite format 3\x00\x10\x00", "is not UTF-8 text"),
        (b"", "is empty"),
        (b"\n\n", "is empty"),
    ],
)
def test_file_that_is_not_text_is_refused(content: bytes, words: str) -> None:
    """The message for a file of another kind says what to save instead."""
    assert words in refusal(content)


@pytest.mark.parametrize(
    ("content", "values", "reason"),
    [
        ("a,b,c,1,", ("a", "b", "c", "1", ""), "code: Must have 2 to 14 characters"),
        ("a,b,c, 1 ,", ("a", "b", "c", " 1 ", ""), "code: Must have 2 to 14 characters"),
        ("a,b,c", ("a", "b", "c", "", ""), "code: Must be present, and be text."),
        ("a,,c,01,", ("a", "", "c", "01", ""), "group: Must not be empty where there is a user."),
        (",b,c,01,", ("", "b", "c", "01", ""), "tenant: Must have 1 to 161 characters"),
        ("a,b,c/d,01,", ("a", "b", "c/d", "01", ""), "user: Must have at most 161 characters"),
        ("a/b,b,c,01,", ("a/b", "b", "c", "01", ""), "tenant: Must have 1 to 161"),
        ("a,..,c,01,", ("a", "..", "c", "01", ""), "group: Must have at most 161"),
        ("a,b,c,01,x,y", ("a", "b", "c", "01", "x"), "Has more cells than there are columns."),
        ("a,b,c,01,x\0", ("a", "b", "c", "01", "x\0"), "description: Must have at most 80"),
        ("a,b,c,0\0,", ("a", "b", "c", "0\0", ""), "code: Must have"),
        (f"a,b,c,01,{'é' * 81}", ("a", "b", "c", "01", "é" * 81), "description: Must have"),
        (f"a,b,c,01,{'x' * 99_999}", ("a", "b", "c", "01", "x" * 99_999), "description:"),
    ],
)
def test_row_that_breaks_a_rule_is_rejected(
    content: str, values: tuple[str, ...], reason: str
) -> None:
    """A row is rejected with its line, what it held, and why; the rows beside it are taken."""
    good = "a,b,c,98,\n"
    first, row, last = read(f'{HEADER}{good}{content}\na,b,c,99,"\n"\n')
    assert first == StagedRow(2, ("a", "b", "c", "98", "", None))
    assert isinstance(row, Rejected)
    assert row.line == 3
    assert tuple(row.values.get(column, "") for column in COLUMNS[:-1]) == values
    assert list(row.excess) == (["y"] if "more cells" in reason else [])
    assert row.reason.startswith(reason)
    assert last == StagedRow(4, ("a", "b", "c", "99", "\n", None))


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ("{", "Is not JSON: column 2."),
        ("7", "Is not a JSON object."),
        ('{"code":"01","code":"02"}', "Is not JSON: an object repeats a key"),
        ('{"tenant":"\\ud800"}', "Is not JSON: it contains half"),
        ('{"a":1}', "a: No such column."),
        ('{"tenant":"a","group":"b","user":"c"}', "code: Must be present"),
        ('{"tenant":"a","group":"b","user":"c","code":4711}', "code:"),
        (
            '{"tenant":"a","group":"b","user":"c","code":"01","description":null}',
            "description: Must be present, and be text.",
        ),
        (
            '{"tenant":"a","group":"b","user":"c","code":"01","class_of_service":7}',
            "class_of_service: Must be present, and be text.",
        ),
        (
            '{"tenant":"a","group":"b","user":"c","code":"01","classOfService":"x"}',
            "classOfService: No such column.",
        ),
    ],
)
def test_json_that_breaks_a_rule_is_rejected(record: str, reason: str) -> None:
    """Of JSON a line, what is no such object is rejected alone: types are never converted."""
    good = '{"tenant":"a","group":"b","user":"c","code":"01"}'
    _, row, last = read(f"{good}\n{record}\n\n{good}\n")
    assert isinstance(row, Rejected)
    assert row.line == 2
    assert row.values == (json.loads(record) if reason[0].islower() else {"text": ANY})
    assert row.reason.startswith(reason)
    assert last == StagedRow(4, ("a", "b", "c", "01", "", None))


def test_removal_names_any_code() -> None:
    """For removal a code may be any text, as in the API, and a description is passed over."""
    assert read(HEADER + f"a,b,c,é {'0' * 99},{'x' * 99}\n", remove=True) == [
        StagedRow(2, ("a", "b", "c", "é " + "0" * 99, "", None))
    ]
    record = '{"tenant":"a","group":"b","user":"c","code":"0\\u0000","description":null}'
    assert read(record, remove=True) == [StagedRow(1, ("a", "b", "c", "0\0", "", None))]
    (row,) = read(record.replace('"0\\u0000"', "7"), remove=True)
    assert isinstance(row, Rejected)


def near(limits: list[int], usual: str, unusual: str) -> st.SearchStrategy[str]:
    """Texts of usual characters up to a limit's length, and half of them not so usual."""
    of_a_length = st.tuples(st.sampled_from(limits), st.sampled_from(usual + unusual))
    odd = st.one_of(
        of_a_length.map(lambda drawn: drawn[1] * drawn[0]),
        st.text(usual + unusual, max_size=max(limits)),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    )
    even = st.text(usual, min_size=2, max_size=min(limits[-2:]))
    return st.booleans().flatmap(lambda is_odd: odd if is_odd else even)


ids = near([1, 160, 161, 162], "aZé😀. %;,\"'=+@-\ufeff", "/\t\r\n\0\x7f\x85\u2028")
codes = near([1, 2, 14, 15], "09azAZ*#._-", "\n+é٣ﬁK\0 ='")
services = near([1, 40, 41], "aé😀\r\n\t,;\"'\x85\u2028\ufeff", "\0")
descriptions = near([80, 81], "aé😀=+@-\r\n\t,;\"'\x85\u2028\ufeff", "\0")


def writings(row: Row) -> Iterator[tuple[str, Row]]:
    """The files that hold this one row, and what is read of it.

    No table holds an id or a code with blanks around it, or one that a spreadsheet has damaged.
    """
    exact = not any(text != (text or "").strip() or damage(text) for text in row[:4])
    for kind in ("csv", "tsv", "ndjson") if exact else ("ndjson",):
        stream = io.StringIO(newline="")
        Writer(stream, kind).write(row)
        yield stream.getvalue(), row if kind == "ndjson" else (*row[:-1], row[-1] or "")
    yield json.dumps([dict(zip(COLUMNS, row, strict=True))]), row


# The pool of PostgreSQL's connections draws lots in a thread, and hypothesis takes it for ours.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    tenant=ids,
    group=st.one_of(st.sampled_from(["", "group"]), ids),
    user=st.one_of(st.just(""), ids),
    code=codes,
    description=descriptions,
    service=st.none() | services.filter(bool),
)
@example("a", "group", "b", "01\n", "", None)
@example("..", "group", "b", "01", "", None)
@example("a", "group", "b\n", "01", "", None)
@example("a", "group", " ", "01", "\r", "\r")
@example("a", "group", "", "01", "", "x")
@example("=1", "'@b", "''-c", "-1", "'=1", "\t+")
@example("a", "", "", "01", "", None)
@example("a", "", "b", "01", "", None)
def test_import_takes_what_the_api_takes(
    client: FlaskClient,
    tenant: str,
    group: str,
    user: str,
    code: str,
    description: str,
    service: str | None,
) -> None:
    """A row of a file is taken if, and only if, the API creates that code for that owner."""
    path, headers = codes_path(tenant, group, user), {"X-Role": "Tenant Admin"}
    body = {"code": code, "description": description}
    body |= {} if service is None else {"classOfService": service}
    answer = client.post(path, json=body, headers=headers)
    assert answer.status_code in (201, 400, 404)
    if answer.status_code == 201:
        removal = client.delete(f"{path}{quote(code, safe='')}/", headers=headers)
        assert removal.status_code == 200
    row = (tenant, group, user, code, description, service)
    if not any(row):
        return
    for content, expected in writings(row):
        (taken,) = read(content)
        assert isinstance(taken, StagedRow) is (answer.status_code == 201), content
        if isinstance(taken, StagedRow):
            assert taken.row == expected
