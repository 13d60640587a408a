"""Reading a file of codes: recognizing its format by its content, and checking each row."""

import io
import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

from barring.domain import Owner
from barring.storage.staging import StagedRow
from schemas.rules import CLASS_OF_SERVICE, DESCRIPTION, GROUP_MISSING, OWNER_ID, TextRule

from . import formats
from .formats import COLUMNS, DEFAULTS, OPTIONAL, InputError, Record, Rejected

_NOT_UTF8 = (
    "is not UTF-8 text; it may be a spreadsheet, a compressed file, Latin-1 or UTF-16; "
    "save it as UTF-8 (in a spreadsheet: 'CSV UTF-8'), and try again"
)


class Reader:
    """The rows of a file, each checked.

    Without `code_rule`, the file lists codes to remove: a code may be any string, and its other
    fields are ignored. `kind` is "csv" or "ndjson", which includes a JSON array. `columns` are
    those of a table, without optional ones that it does not have. The constructor and the iteration
    raise InputError, with the `name` of the file.
    """

    def __init__(self, stream: BinaryIO, name: str, code_rule: TextRule | None) -> None:
        self._name = name
        self._rules = dict.fromkeys(Owner._fields, OWNER_ID.or_empty()) | {"tenant": OWNER_ID}
        if code_rule:
            self._rules |= {"code": code_rule, "description": DESCRIPTION}
            self._rules |= {"class_of_service": CLASS_OF_SERVICE.or_empty()}
        self._ignored = {} if code_rule else DEFAULTS
        self._text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
        with self._errors_named():
            self._header = self._text.readline()
            if "\0" in self._header:  # UTF-16 can be valid UTF-8.
                raise InputError(_NOT_UTF8)
        self._start = self._header.lstrip()[:1]
        self.columns = [c for c in COLUMNS if c not in OPTIONAL or c in self._header.lower()]
        self.kind = "ndjson" if self._start in ("[", "{") else "csv"

    def __iter__(self) -> Iterator[StagedRow | Rejected]:
        with self._errors_named():
            for record in self._records():
                yield record if isinstance(record, Rejected) else self._check(*record)

    def _records(self) -> Iterator[Record]:
        if self._start == "[":
            return formats.parse_json_array(self._header + self._text.read())
        lines = itertools.chain([self._header], self._text)
        if self._start == "{":
            return formats.parse_json_lines(lines)
        return formats.parse_table(lines, self._header)

    def _check(self, line: int, values: Mapping[str, Any]) -> StagedRow | Rejected:
        complete = {**DEFAULTS, **values, **self._ignored}
        for column in COLUMNS:
            value, rule = complete.get(column), self._rules.get(column)
            if value is None and column in OPTIONAL:
                continue
            if not isinstance(value, str):
                return Rejected(line, f"{column}: Must be present, and be text.", values)
            if rule and not rule.holds(value):
                return Rejected(line, f"{column}: {rule.message}", values)
        if complete["user"] and not complete["group"]:
            return Rejected(line, f"group: {GROUP_MISSING}", values)
        return StagedRow(line, tuple(complete[column] for column in COLUMNS))

    @contextmanager
    def _errors_named(self) -> Iterator[None]:
        try:
            yield
        except UnicodeDecodeError:
            raise InputError(f"{self._name}: {_NOT_UTF8}") from None
        except InputError as error:
            raise InputError(f"{self._name}: {error}") from None
