"""Rows of an import file, staged in a table of their own."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Literal, NamedTuple

from . import statements

Row = tuple[str | None, ...]
"""An owner and a code in one tuple, in the order of `statements.COLUMNS`.

None stands for a column that a file to import does not have. The stored value is then kept.
"""

Existing = Literal["fail", "skip", "replace"]
"""What to do with a staged row whose code is stored already."""


class StagedRow(NamedTuple):
    """A row of a file to import, and the number of the line that it began on."""

    line: int
    row: Row


class Staging(ABC):
    """The rows of an import file in a separate table, `staged`: line, owner and code.

    Reading a file takes long; the codes are locked only while the rows are added or removed.
    """

    _connection: Any
    """The driver connection that can see the table."""

    @abstractmethod
    def put(self, rows: Iterable[StagedRow]) -> None:
        """Stage rows."""

    def take_repeated(self) -> list[StagedRow]:
        """Remove rows that repeat the owner and code of an earlier row; return them by line."""
        rows = self._connection.execute(statements.TAKE_REPEATED)
        return sorted(StagedRow(line, tuple(row)) for line, *row in rows)

    def add(
        self,
        existing: Existing,
        report: Callable[[StagedRow], object],
        *,
        keep_going: bool,
        dry_run: bool = False,
    ) -> int:
        """Store the rows in one transaction, and return how many were stored or replaced.

        With `fail`, each row whose code exists is reported, and nothing is stored unless
        `keep_going`. With `dry_run`, the transaction is rolled back at the end.
        """
        with self._transaction(not dry_run):
            if existing == "fail":
                refused = False
                for line, *row in self._existing():
                    report(StagedRow(line, tuple(row)))
                    refused = not keep_going
                if refused:
                    return 0
            statement = statements.REPLACE if existing == "replace" else statements.ADD
            return self._count(statement)

    def remove(self, *, dry_run: bool = False) -> int:
        """Remove the codes of the rows in one transaction, and return how many existed."""
        with self._transaction(not dry_run):
            return self._remove()

    @abstractmethod
    def _transaction(self, commit: bool) -> AbstractContextManager[object]:
        """A transaction that blocks other writers. Without `commit`, it is rolled back."""

    @abstractmethod
    def _count(self, statement: str) -> int:
        """Execute a statement that stores or removes codes, and return how many."""

    def _existing(self) -> Iterator[Iterable[Any]]:
        """The rows whose code is stored already."""
        yield from self._connection.execute(statements.EXISTING)

    def _remove(self) -> int:
        """Remove the codes of the rows, and return how many existed."""
        return self._count(statements.REMOVE)
