"""The formats of a file of codes: tables with a header, JSON lines, and a JSON array.

Each function here yields the records of a file: the line that a record begins on and its values by
column, or a Rejected. It raises InputError if the rest of the file cannot be parsed.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from barring.domain import AuthorizationCode, Owner
from barring.strict_json import NotJSON, parse_json

COLUMNS = Owner._fields + AuthorizationCode._fields
DEFAULTS = {"description": "", "class_of_service": None}
"""The columns that a file may omit, and the value that is then stored. None stores nothing."""
OPTIONAL = {column for column, default in DEFAULTS.items() if default is None}
"""The columns that JSON omits if they are empty."""
REJECTION_COLUMNS = ("line", "reason")
"""The additional columns of a file of rejected rows. An import ignores them."""


class InputError(Exception):
    """The input cannot be accepted. The one-line message says why, and what to do."""


class Rejected(NamedTuple):
    """A row that cannot be accepted: the line that it begins on, the reason, and its content."""

    line: int
    reason: str
    values: Mapping[str, Any]
    """The content by column; JSON that is not an object is in the column `text`."""
    excess: Sequence[str] = ()
    """The cells after the last column of a table."""


Record = tuple[int, dict[str, Any]] | Rejected


def parse_table(lines: Iterable[str], header: str) -> Iterator[Record]:
    """Parse CSV. The delimiter is tab, semicolon or comma: the most frequent in the header."""
    reader = csv.reader(lines, delimiter=max("\t;,", key=header.count), strict=True)
    line = 1
    try:
        names = _column_names(next(reader, []))
        line = reader.line_num + 1
        # Spreadsheets may leave out empty cells at the end of a row.
        empty = dict.fromkeys(OPTIONAL.intersection(names), "")
        for cells in reader:
            values = empty | dict(zip(names, cells, strict=False))
            excess = cells[len(names) :]
            # Spreadsheets write empty cells below the last row and after the last column.
            if any(excess):
                yield Rejected(line, "Has more cells than there are columns.", values, excess)
            elif any(cells):
                yield line, values
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"line {line}: {error}") from None


def _column_names(cells: Sequence[str]) -> list[str]:
    names = [cell.strip().lower() for cell in cells]
    while names and not names[-1]:
        names.pop()
    expected = f"the first line must name the columns {', '.join(COLUMNS)}"
    if not names:
        raise InputError(f"is empty; {expected}")
    for verb, wrong in (
        ("lacks", {*COLUMNS} - {*DEFAULTS} - {*names}),
        ("also has", {*names} - {*COLUMNS, *REJECTION_COLUMNS}),
        ("repeats", {name for name in names if names.count(name) > 1}),
    ):
        if wrong:
            raise InputError(f"{expected}; it {verb} {', '.join(map(repr, sorted(wrong)))}")
    return names


def parse_json_array(text: str) -> Iterator[Record]:
    """Parse a JSON array of objects. The position of an item, from 1, serves as its line."""
    try:
        items = parse_json(text)
    except NotJSON as error:
        raise InputError(f"is not a JSON array: {error}") from None
    yield from map(_json_record, range(1, len(items) + 1), items)


def parse_json_lines(lines: Iterable[str]) -> Iterator[Record]:
    """Parse one JSON object per line."""
    for number, line in enumerate(lines, 1):
        if text := line.strip():
            try:
                yield _json_record(number, parse_json(text))
            except NotJSON as error:
                reason = f"Is not JSON: {str(error).removeprefix('line 1, ')}."
                yield Rejected(number, reason, {"text": text})


def _json_record(line: int, item: Any) -> Record:
    if not isinstance(item, dict):
        return Rejected(line, "Is not a JSON object.", {"text": item})
    if unknown := sorted(item.keys() - {*COLUMNS, *REJECTION_COLUMNS}):
        return Rejected(line, f"{', '.join(unknown)}: No such column.", item)
    return line, item
