"""Writing a file of codes."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

from .formats import COLUMNS, OPTIONAL, Rejected
from .spreadsheets import guard

_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Writer:
    """Writes rows as CSV (RFC 4180), as tab-separated values, or as JSON lines."""

    def __init__(self, stream: TextIO, kind: str, columns: Sequence[str] = COLUMNS) -> None:
        """`kind` is csv, tsv or ndjson."""
        self._stream = stream
        self._columns = columns
        self._csv: Any = None
        if kind != "ndjson":
            # With \r\n as line end: only then does Python before 3.13 quote a cell that holds \r.
            delimiter = "\t" if kind == "tsv" else ","
            self._csv = csv.writer(stream, delimiter=delimiter)
            self._quoted = csv.writer(stream, delimiter=delimiter, quoting=csv.QUOTE_ALL)
            self._other_delimiters = {*"\t;,"} - {delimiter}
            self._csv.writerow(self._columns)

    def write(self, row: Iterable[str | None]) -> None:
        """Write one row."""
        values = zip(self._columns, row, strict=True)
        self._write({name: value for name, value in values if value or name not in OPTIONAL})

    def reject(self, row: Rejected) -> None:
        """Write a row as it was read, so that it is rejected again unless it is corrected."""
        self._write({**row.values, "line": row.line, "reason": row.reason}, row.excess)

    def _write(self, record: Mapping[str, Any], excess: Sequence[str] = ()) -> None:
        if self._csv:
            texts = (*(str(record.get(column, "")) for column in self._columns), *excess)
            # A spreadsheet may also split a cell at these, unless it has quotes.
            is_plain = self._other_delimiters.isdisjoint("".join(texts))
            (self._csv if is_plain else self._quoted).writerow(map(guard, texts))
        else:
            self._stream.write(_to_json(record) + "\n")
