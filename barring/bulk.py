"""Files of authorization codes: read row by row under the rules of the API, and written.

CSV with commas, semicolons or tabs, JSON a line, and a JSON array: the content tells which. The
columns are those of COLUMNS, in any order.
"""

import csv
import io
import itertools
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, NamedTuple, TextIO

import orjson

from schemas import DESCRIPTION, OWNER_ID, TextRule

from .body import NotJSON, parse_json
from .storage import StagedRow

COLUMNS = ("tenant", "group", "user", "code", "description")
MORE = ("line", "reason")
"""The columns that a file of rejected rows has beside; who mends it need not take them out."""


class InputError(Exception):
    """What was given cannot be taken; the message, one line, says why and what to do."""


class Rejected(NamedTuple):
    """A row that cannot be taken: where it began, what it held as far as it is known, and why."""

    line: int
    values: tuple[str, ...]
    reason: str


Record = tuple[int, dict[str, Any]]


def read_rows(stream: BinaryIO, code_rule: TextRule | None) -> Iterator[StagedRow | Rejected]:
    """The rows of a file, each checked; without `code_rule` as for removal, where any code may be.

    Raises InputError for a file that is not UTF-8, or of no known kind.
    """
    rules: dict[str, TextRule] = dict.fromkeys(COLUMNS[:3], OWNER_ID)
    if code_rule:
        rules |= {"code": code_rule, "description": DESCRIPTION}
    for line, record in _records(stream):
        values = {"description": "", **{k: v for k, v in record.items() if v is not None}}
        reason = _fault(values, rules)
        if reason is None:
            yield StagedRow(line, *(values[column] for column in COLUMNS))
        else:
            shown = tuple(str(values.get(column, "")) for column in COLUMNS)
            yield Rejected(line, shown, reason)


def _fault(values: dict[str, Any], rules: dict[str, TextRule]) -> str | None:
    for column in COLUMNS:
        if not isinstance(values.get(column), str):
            return f"{column}: Must be there, and be a text."
        if column in rules and not rules[column].holds(values[column]):
            return f"{column}: {rules[column].message}"
    if unknown := values.keys() - {*COLUMNS, *MORE}:
        return f"{', '.join(sorted(map(str, unknown)))}: No such column."
    return None


def _records(stream: BinaryIO) -> Iterator[Record]:
    """Every record of the file, as a dict, with the number of the line that it begins on."""
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
    try:
        first = text.readline()
        start = first.lstrip()[:1]
        if start == "[":
            yield from _array(first + text.read())
        elif start == "{":
            yield from _json_lines(itertools.chain([first], text))
        else:
            yield from _table(itertools.chain([first], text), first)
    except UnicodeDecodeError:
        raise InputError(
            "is not UTF-8; save it as UTF-8 (in a spreadsheet: 'CSV UTF-8'), and try again"
        ) from None
    finally:
        text.detach()


def _array(text: str) -> Iterator[Record]:
    try:
        items = parse_json(text)
    except NotJSON as error:
        raise InputError(f"is not a JSON array: {error}") from None
    for number, item in enumerate(items, 1):
        yield number, item if isinstance(item, dict) else {}


def _json_lines(lines: Iterable[str]) -> Iterator[Record]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                item = parse_json(line)
            except NotJSON:
                item = None
            yield number, item if isinstance(item, dict) else {}


def _table(lines: Iterable[str], header: str) -> Iterator[Record]:
    delimiter = max("\t;,", key=header.count)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    names = [name.strip().lower() for name in next(reader, [])]
    if missing := set(COLUMNS[:4]) - set(names):
        raise InputError(
            f"the first line must name the columns {', '.join(COLUMNS)}; "
            f"it lacks {', '.join(sorted(missing))}"
        )
    line = reader.line_num + 1
    try:
        for cells in reader:
            if cells:
                extra = {"a cell more than columns": ""} if len(cells) > len(names) else {}
                yield line, dict(zip(names, cells, strict=False)) | extra
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"line {line}: {error}") from None


class Writer:
    """Writes rows as CSV, as tab-separated values, or as JSON a line."""

    def __init__(self, stream: TextIO, kind: str, more: tuple[str, ...] = ()) -> None:
        """`kind` is csv, tsv or ndjson; `more` are columns after those of COLUMNS."""
        self._stream = stream
        self._columns = COLUMNS + more
        self._csv: Any = None
        if kind != "ndjson":
            delimiter = "\t" if kind == "tsv" else ","
            self._csv = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
            self._csv.writerow(self._columns)

    def write(self, row: Iterable[str]) -> None:
        """Write one row."""
        if self._csv:
            self._csv.writerow(row)
        else:
            record = dict(zip(self._columns, row, strict=True))
            self._stream.write(orjson.dumps(record).decode() + "\n")
