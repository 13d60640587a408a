"""What spreadsheets do to the cells of a table, and how an export prevents it."""

import re

_FORMULA = re.compile(r"'*[=+\-@\t\r]").match
_WRAPPED = re.compile(r'\A\s*="(.*)"\s*\Z')
_DAMAGE = re.compile(
    r'(?is)(?P<number>[\d.,]+E(?:\+|-0)\d+)|(?P<blanks>\s.*|.*\s)|(?P<formula>=".*")'
)
_REASONS = {
    "number": "A spreadsheet made a number of it. Enter it again, in a column formatted as text.",
    "blanks": "Begins or ends with a blank or a no-break space, which nobody sees. Remove it.",
    "formula": 'Is a formula, ="…". Write only the text between the quotation marks.',
}


def guard(cell: str) -> str:
    """Return a cell with an apostrophe before it if a spreadsheet would run it (CWE-1236)."""
    return f"'{cell}" if _FORMULA(cell) else cell


def read_cell(column: str, cell: str) -> str:
    """Undo `guard`. Of a code that is a formula, `="0815"`, return the text."""
    if cell[:1] == "'" and _FORMULA(cell):
        return cell[1:]
    return _WRAPPED.sub(r"\1", cell) if column == "code" else cell


def damage(value: str) -> str:
    """What a spreadsheet did to a code or an id, and what to do; empty if it did nothing."""
    found = _DAMAGE.fullmatch(value)
    return _REASONS[found.lastgroup or ""] if found else ""
