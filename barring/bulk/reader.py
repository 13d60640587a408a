"""Files of authorization codes: read row by row under the rules of the API, and written.

CSV with commas, semicolons or tabs, JSON a line, and a JSON array: the content tells which. The
columns are those of COLUMNS, in any order.
"""

import csv
import io
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple, TextIO

import orjson

from barring.storage.base import StagedRow
from barring.strict_json import NotJSON, parse_json
from schemas.rules import DESCRIPTION, OWNER_ID, TextRule

COLUMNS = ("tenant", "group", "user", "code", "description")
MORE = ("line", "reason")
"""The columns that a file of rejected rows has beside; who mends it need not take them out."""
LONGEST_LINE = 1_000_000
"""In characters, so that a file without line ends does not fill the memory."""


class InputError(Exception):
    """What was given cannot be taken; the message, one line, says why and what to do."""


class Rejected(NamedTuple):
    """A row that cannot be taken: where it began, why, and all that it held."""

    line: int
    reason: str
    values: dict[str, Any]
    """By column; of JSON that cannot be read, its text."""
    excess: Sequence[str] = ()
    """Cells beyond the columns of the table."""


Record = tuple[int, dict[str, Any], str | None, Sequence[str]]
"""The line that a record begins on, its values, what is wrong with its form, and excess cells."""


class Reader:
    """The rows of a file, each checked; without `code_rule` as for removal, where any code may be.

    A row's line is its item's number in a JSON array. `kind` is "ndjson" for JSON in either form,
    and else "csv". Raises InputError, at the start or from a row on, for a file that is not UTF-8,
    or of no known kind, or broken so that the rest of it cannot be told apart.
    """

    def __init__(self, stream: BinaryIO, code_rule: TextRule | None) -> None:
        self._code_rule = code_rule
        self._text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
        with _utf8_alone():
            self._first = self._text.readline(LONGEST_LINE)
        if "\0" in self._first:
            raise _not_utf8(self._first.encode())
        self._start = self._first.lstrip()[:1]
        self.kind = "ndjson" if self._start in ("[", "{") else "csv"

    def __iter__(self) -> Iterator[StagedRow | Rejected]:
        rules = [OWNER_ID] * 3 + ([self._code_rule, DESCRIPTION] if self._code_rule else [])
        for line, record, fault, excess in self._records():
            values: list[Any] = [record.get(column) for column in COLUMNS]
            if self._code_rule is None or "description" not in record:
                values[4] = ""
            reason = fault or _fault(values, rules)
            if reason is None:
                yield StagedRow(line, *values)
            else:
                yield Rejected(line, reason, record, excess)

    def _records(self) -> Iterator[Record]:
        with _utf8_alone():
            if self._start == "[":
                yield from _array(self._first + self._text.read())
            elif self._start == "{":
                yield from _json_lines(_lines(self._first, self._text))
            else:
                yield from _table(_lines(self._first, self._text), self._first)


def _fault(values: Sequence[Any], rules: Sequence[TextRule]) -> str | None:
    for column, value, rule in itertools.zip_longest(COLUMNS, values, rules):
        if not isinstance(value, str):
            return f"{column}: Must be there, and be a text."
        if rule and not rule.holds(value):
            return f"{column}: {rule.message}"
    return None


_OTHERS = {
    b"PK\3\4": "is a spreadsheet, or another archive; save it as CSV in UTF-8, and try again",
    b"\x1f\x8b": "is compressed; unpack it, and try again",
    b"SQLite format 3": "is a database; to put a backup in its place, use: barring restore",
}
"""What a file is that begins so, and is no text."""


@contextmanager
def _utf8_alone() -> Iterator[None]:
    """Turn Python's error for what is not UTF-8 into one that helps."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise _not_utf8(error.object) from None


def _not_utf8(content: bytes) -> InputError:
    for start, words in _OTHERS.items():
        if content.startswith(start):
            return InputError(words)
    return InputError(
        "is not UTF-8, but perhaps Latin-1 or UTF-16; "
        "save it as UTF-8 (in a spreadsheet: 'CSV UTF-8'), and try again"
    )


def _lines(first: str, text: TextIO) -> Iterator[str]:
    rest = iter(lambda: text.readline(LONGEST_LINE), "")
    for number, line in enumerate(itertools.chain([first], rest), 1):
        if len(line) == LONGEST_LINE:
            raise InputError(f"line {number}: has more than {LONGEST_LINE:,} characters")
        yield line


def _array(text: str) -> Iterator[Record]:
    try:
        items = parse_json(text)
    except NotJSON as error:
        raise InputError(f"is not a JSON array: {error}") from None
    for number, item in enumerate(items, 1):
        yield _json_record(number, item)


def _json_lines(lines: Iterable[str]) -> Iterator[Record]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield _json_record(number, parse_json(line.rstrip()))
            except NotJSON as error:
                reason = f"Is not JSON: {str(error).removeprefix('line 1, ')}."
                yield number, {"text": line.rstrip()}, reason, ()


def _json_record(number: int, item: Any) -> Record:
    if not isinstance(item, dict):
        return number, {"text": item}, "Is not a JSON object.", ()
    unknown = ", ".join(sorted(item.keys() - {*COLUMNS, *MORE}))
    return number, item, f"{unknown}: No such column." if unknown else None, ()


def _table(lines: Iterable[str], header: str) -> Iterator[Record]:
    delimiter = max("\t;,", key=header.count)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    line = 1
    try:
        names = _names(next(reader, []))
        width = len(names)
        line = reader.line_num + 1
        for cells in reader:
            # A spreadsheet writes lines of delimiters alone, and delimiters after the last column.
            if any(cells):
                excess = cells[width:] if any(cells[width:]) else ()
                fault = "Has more cells than there are columns." if excess else None
                yield line, dict(zip(names, cells, strict=False)), fault, excess
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"line {line}: {error}") from None


def _names(cells: Sequence[str]) -> list[str]:
    """The columns that the first line of a table names."""
    if not any(cells):
        raise InputError(f"is empty; its first line must name the columns {', '.join(COLUMNS)}")
    names = [cell.strip().lower() for cell in cells]
    while names and not names[-1]:
        names.pop()
    lacking = sorted({*COLUMNS[:4]} - {*names})
    unknown = sorted({*names} - {*COLUMNS, *MORE})
    twice = sorted({name for name in names if names.count(name) > 1})
    for fault, at_fault in (("lacks", lacking), ("also has", unknown), ("repeats", twice)):
        if at_fault:
            raise InputError(
                f"the first line must name the columns {', '.join(COLUMNS)}; "
                f"it {fault} {', '.join(map(repr, at_fault))}"
            )
    return names


class Writer:
    """Writes rows as CSV (RFC 4180), as tab-separated values, or as JSON a line."""

    def __init__(self, stream: TextIO, kind: str, more: tuple[str, ...] = ()) -> None:
        """`kind` is csv, tsv or ndjson; `more` are columns after those of COLUMNS."""
        self._stream = stream
        self._columns = COLUMNS + more
        self._csv: Any = None
        if kind != "ndjson":
            # Line ends of \r\n: Python before 3.13 quotes a cell for the \r in it only then.
            self._csv = csv.writer(stream, delimiter="\t" if kind == "tsv" else ",")
            self._csv.writerow(self._columns)

    def write(self, row: Iterable[str]) -> None:
        """Write one row."""
        if self._csv:
            self._csv.writerow(row)
        else:
            record = dict(zip(self._columns, row, strict=True))
            self._stream.write(orjson.dumps(record).decode() + "\n")

    def reject(self, row: Rejected) -> None:
        """Write a row as it was read, so that unmended it is rejected again, and its reason."""
        if self._csv:
            cells = [row.values.get(column, "") for column in COLUMNS]
            self._csv.writerow((*cells, row.line, row.reason, *row.excess))
        else:
            record = {**row.values, "line": row.line, "reason": row.reason}
            self._stream.write(json.dumps(record, ensure_ascii=False) + "\n")
