"""Reading a file of codes: recognizing its format by its content, and checking each row."""

import io
import itertools
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from barring.domain import Owner
from barring.storage.staging import StagedRow
from schemas.rules import CLASS_OF_SERVICE, DESCRIPTION, GROUP_MISSING, OWNER_ID, TextRule

from . import formats
from .formats import COLUMNS, DEFAULTS, OPTIONAL, InputError, Record, Rejected
from .spreadsheets import damage

_SEPARATOR = re.compile(r'"?sep=([^\w"\s]|\t)"?\s*', re.IGNORECASE).fullmatch


class Reader:
    """The rows of a file, each checked.

    With `remove`, the file lists codes to remove: a code may be any string, and its other fields
    are ignored. `source` has options of an import: `encoding`, `columns`, and the ids for columns
    that the file does not have. `kind` is "csv" or "ndjson", which includes a JSON array. The
    attribute `columns` has those of a table, without optional ones that it does not have. The
    constructor and the iteration raise InputError, with the `name` of the file.
    """

    def __init__(
        self, stream: BinaryIO, name: str, code_rule: TextRule, remove: bool, **source: str | None
    ) -> None:
        self._name, self._code_rule = name, code_rule
        self._rules = dict.fromkeys(Owner._fields, OWNER_ID.or_empty()) | {"tenant": OWNER_ID}
        if not remove:
            self._rules |= {"code": code_rule, "description": DESCRIPTION}
            self._rules |= {"class_of_service": CLASS_OF_SERVICE.or_empty()}
        self._ignored = DEFAULTS if remove else {}
        encoding, columns = source.pop("encoding", None), source.pop("columns", None)
        self._owner = {key: value for key, value in source.items() if value is not None}
        self._columns = [c.strip().lower() for c in columns.split(",")] if columns else []
        # `stream` has a buffer. Another one would wait for more of a pipe than there is.
        marked = cast(io.BufferedReader, stream).peek(2)[:2] in (b"\xff\xfe", b"\xfe\xff")
        self._encoding = encoding or ("UTF-16" if marked else "UTF-8")
        self._first = self._delimiter = ""
        with self._errors_named():
            try:
                self._text = io.TextIOWrapper(stream, self._encoding, newline="")
            except LookupError:
                raise InputError(f"--encoding: Python has no encoding {encoding!r}") from None
            self._read_start()
        self._start = "" if columns else self._first.lstrip()[:1]
        named = (columns or self._first).lower()
        self.columns = [c for c in COLUMNS if c not in OPTIONAL or c in named]
        self.kind = "ndjson" if self._start in ("[", "{") else "csv"

    def _read_start(self) -> None:
        """Read up to the first line of the table or of the JSON."""
        text = itertools.chain([self._text.readline().removeprefix("\ufeff")], self._text)
        lines = (line.rstrip("\x1a") for line in text)  # DOS ends a file with 0x1A.
        skipped: list[str] = []
        for line in lines:
            if separator := _SEPARATOR(line):
                self._delimiter = separator[1]
            elif line.strip("\t;, \r\n"):
                self._first = line
                break
            skipped.append("\n")
        # Of a row without names, the cells may contain the other delimiters.
        first, last = self._first, len(self._columns) - 1
        ranks = {each: (first.count(each), -first.find(each)) for each in "\t;,"}
        likely = max(ranks, key=lambda each: (0 < ranks[each][0] == last, ranks[each]))
        self._delimiter = self._delimiter or likely
        if "\0" in self._first:  # UTF-16 can be valid UTF-8.
            raise UnicodeError
        self._lines = itertools.chain(skipped, [self._first], lines)

    def __iter__(self) -> Iterator[StagedRow | Rejected]:
        with self._errors_named():
            for record in self._records():
                yield record if isinstance(record, Rejected) else self._check(*record)

    def _records(self) -> Iterator[Record]:
        if self._start == "[":
            return formats.parse_json_array("".join(self._lines))
        if self._start == "{":
            return formats.parse_json_lines(self._lines)
        return formats.parse_table(self._lines, self._delimiter, self._columns, self._owner)

    def _check(self, line: int, values: Mapping[str, Any]) -> StagedRow | Rejected:
        is_table = self.kind == "csv"
        complete = {**DEFAULTS, **({} if is_table else self._owner), **values, **self._ignored}
        if is_table and "code" in values and not self._code_rule.holds(values["code"]):
            complete["code"] = values["code"].strip()
        for column in COLUMNS:
            value, rule = complete.get(column), self._rules.get(column)
            if value is None and column in OPTIONAL:
                continue
            if not isinstance(value, str):
                return Rejected(line, f"{column}: Must be present, and be text.", values)
            if is_table and column not in DEFAULTS and (fault := damage(value)):
                return Rejected(line, f"{column}: {fault}", values)
            if rule and not rule.holds(value):
                return Rejected(line, f"{column}: {rule.message}", values)
        if complete["user"] and not complete["group"]:
            return Rejected(line, f"group: {GROUP_MISSING}", values)
        return StagedRow(line, tuple(complete[column] for column in COLUMNS))

    @contextmanager
    def _errors_named(self) -> Iterator[None]:
        try:
            yield
        except UnicodeError:
            raise InputError(
                f"{self._name}: is not {self._encoding} text; it may be a spreadsheet, a "
                "compressed file, Latin-1 or UTF-16; save it as UTF-8 (in a spreadsheet: "
                "'CSV UTF-8'), or name its encoding with --encoding"
            ) from None
        except InputError as error:
            raise InputError(f"{self._name}: {error}") from None
