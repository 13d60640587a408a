"""The formats of a file of codes: tables with a header, JSON lines, and a JSON array.

Each function here yields the records of a file: the line that a record begins on and its values by
column, or a Rejected. It raises InputError if the rest of the file cannot be parsed.
"""

import csv
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from barring.domain import AuthorizationCode, Owner
from barring.strict_json import NotJSON, parse_json

from .spreadsheets import read_cell

COLUMNS = Owner._fields + AuthorizationCode._fields
DEFAULTS = {"description": "", "class_of_service": None}
"""The columns that a file may omit, and the value that is then stored. None stores nothing."""
OPTIONAL = {column for column, default in DEFAULTS.items() if default is None}
"""The columns that JSON omits if they are empty."""
REJECTION_COLUMNS = ("line", "reason")
"""The additional columns of a file of rejected rows. An import ignores them."""
IGNORED = "-"
"""The name of the columns that an import ignores, in --columns."""

_SOME = "--columns: the first line names only some of them; remove it, or name all in a line above"


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


def parse_table(
    lines: Iterable[str], delimiter: str, columns: Sequence[str], owner: Mapping[str, str]
) -> Iterator[Record]:
    """Parse CSV. `columns` are those of --columns; `owner` has the ids for missing columns."""
    rows = _rows(lines, delimiter)
    first = next(rows, (1, []))
    names, is_header = _column_names(first[1], columns, owner)
    # Spreadsheets may leave out empty cells at the end of a row.
    given = dict.fromkeys(OPTIONAL & {*names}, "") | {k: owner[k] for k in owner.keys() - names}
    for line, cells in rows if is_header else itertools.chain([first], rows):
        values = given | {n: read_cell(n, cell) for n, cell in zip(names, cells, strict=False)}
        excess = [read_cell("", cell) for cell in cells[len(names) :]]
        reason = "Has more cells than there are columns."
        # Spreadsheets write empty cells after the last column.
        yield Rejected(line, reason, values, excess) if any(excess) else (line, values)


def _rows(lines: Iterable[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of a table that are not blank, each with the line that it begins on."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    line = 1
    try:
        for cells in reader:
            if any(map(str.strip, cells)):
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"line {line}: {error}") from None


def _column_names(
    cells: Sequence[str], columns: Sequence[str], owner: Mapping[str, str]
) -> tuple[list[str], bool]:
    """The column of each cell, and whether the first row, `cells`, is a header."""
    header = [cell.strip().lower() for cell in cells]
    while header and not header[-1]:
        header.pop()
    expected = f"must name the columns {', '.join(COLUMNS)} (see --columns and --tenant)"
    if not header:
        raise InputError("is empty" if columns else f"is empty; the first line {expected}")
    names, is_header = [*columns] or header, True
    if any("=" in column for column in columns):
        sources = {s or name: name for name, _, s in (column.partition("=") for column in columns)}
        if missing := sorted({*sources} - {*header}):
            raise InputError(f"--columns: the first line does not name {missing[0]!r}")
        own = {*COLUMNS} - {*sources.values()}
        names = [sources.get(name, name if name in own else IGNORED) for name in header]
    elif columns:
        same = {name for cell, name in zip(header, names, strict=False) if cell == name}
        is_header = same >= {*names} - {IGNORED}
        if same - {IGNORED} and not is_header:  # A row may contain the name of its column, too.
            raise InputError(_SOME)
    for verb, wrong in (
        ("lacks", {*COLUMNS} - {*DEFAULTS} - {*names} - {*owner}),
        ("also has", {*names} - {*COLUMNS, *REJECTION_COLUMNS, IGNORED}),
        ("repeats", {name for name in names if name != IGNORED and names.count(name) > 1}),
    ):
        if wrong:
            fault = f"{expected}; it {verb} {', '.join(map(repr, sorted(wrong)))}"
            raise InputError(f"{'--columns' if columns else 'the first line'} {fault}")
    return names, is_header


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
