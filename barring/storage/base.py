"""The contract that every storage engine keeps."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

from barring.domain import AuthorizationCode, Owner
from barring.pauses import PART, pause

from . import statements
from .threads import DaemonThread, Threads

Row = tuple[str, str, str, str, str]
"""A tenant, group, user, code and description."""

Progress = Callable[[int, int], object]
"""Told, on long work, how many of how many parts are done."""


READY_FOR = 1.0
"""Seconds after a write that succeeded for which none is tried again to see whether it would."""

Existing = Literal["fail", "skip", "replace"]
"""What becomes of a row whose code exists already."""


class StorageError(Exception):
    """The database cannot be used as it is. The message, one line, names it and the remedy."""


class StorageUnavailable(StorageError):
    """The database cannot answer now; the same call may succeed later. Nothing was changed."""


class OutcomeUnknown(StorageUnavailable):
    """The write may have happened and may not: the database failed while it was committed."""


class AlreadyExists(Exception):
    """Codes that were to be added exist already. Nothing was added.

    `positions` are the places, in the sequence given, of the codes at fault, ascending.
    The codes themselves are not told, so that no trace of this error holds one.
    """

    def __init__(self, positions: Sequence[int]) -> None:
        super().__init__(f"{len(positions)} of the codes exist already")
        self.positions = positions

    @classmethod
    def among(cls, codes: Sequence[tuple[str, str]], stored: Collection[str]) -> Self:
        """The error for `codes`, of which those in `stored` exist and a later twin repeats."""
        taken = set(stored)
        positions = []
        for position, (code, _) in enumerate(codes):
            if code in taken:
                positions.append(position)
            taken.add(code)
        return cls(positions)


class StagedRow(NamedTuple):
    """A row of a file on its way into the database, and the line that it began on."""

    line: int
    tenant: str
    group: str
    user: str
    code: str
    description: str


Transaction = Callable[[bool], AbstractContextManager[object]]
"""Begins a transaction that other writers wait for; its end commits if it is told to, or undoes."""


class Staging(ABC):
    """Rows gathered beside the codes, so that the codes are locked for as short as can be."""

    _transaction: Transaction

    @abstractmethod
    def put(self, rows: Iterable[StagedRow]) -> None:
        """Gather rows."""

    @abstractmethod
    def take_repeated(self) -> Iterator[StagedRow]:
        """Take out and give the rows whose owner and code an earlier row has, by line."""

    def add(
        self,
        existing: Existing,
        report: Callable[[StagedRow], object],
        *,
        keep_going: bool,
        dry_run: bool = False,
    ) -> int:
        """Store the rows in one transaction, and return how many were stored or replaced.

        With `fail`, a row whose code exists is reported, and nothing is stored unless `keep_going`.
        With `dry_run` the same happens, and is undone.
        """
        with self._transaction(not dry_run):
            refused = False
            if existing == "fail":
                with closing(self._existing()) as rows:
                    for row in rows:
                        report(StagedRow._make(row))
                        refused = not keep_going
            if refused:
                return 0
            return self._add(statements.REPLACE if existing == "replace" else statements.ADD)

    def remove(self, *, dry_run: bool = False) -> int:
        """Remove the codes of the rows in one transaction, and return how many existed."""
        with self._transaction(not dry_run):
            return self._remove()

    @abstractmethod
    def _existing(self) -> Generator[Iterable[Any], None, None]:
        """The rows whose code exists already."""

    @abstractmethod
    def _add(self, statement: str) -> int:
        """Store the rows by a statement, and return how many it stored."""

    @abstractmethod
    def _remove(self) -> int:
        """Remove the codes of the rows, and return how many existed."""


class Storage(ABC):
    """Keeps the authorization codes of every owner.

    One object serves many threads, and processes forked after it was made: connections are
    opened on first use. Any method but `close` raises StorageUnavailable when the database cannot
    answer now. A write that returned is durable: it survives the end of the process and of the
    machine's power.
    """

    threads: Threads = staticmethod(DaemonThread)
    """Makes threads for what blocks for long. A server that is no thread itself sets its own."""

    _wrote = float("-inf")
    """When `check_ready` last wrote."""

    on_lock_wait: Callable[[float], object] = staticmethod(lambda seconds: None)
    """Told of every write how many seconds it waited for the right to write."""

    @abstractmethod
    def __str__(self) -> str:
        """Where the database is, without any password."""

    @abstractmethod
    def prepare(self) -> None:
        """Create or upgrade the database, and leave no connection open.

        Several processes may call it at once; one does the work. Raises StorageError when what
        is there cannot be used.
        """

    @abstractmethod
    def list(self, owner: Owner) -> list[AuthorizationCode]:
        """The owner's codes, ascending by code point; empty for an owner without any."""

    @abstractmethod
    def get(self, owner: Owner, code: str) -> AuthorizationCode | None:
        """One of the owner's codes, or None. Any string may be asked for."""

    @abstractmethod
    def add(self, owner: Owner, codes: Sequence[tuple[str, str]]) -> None:
        """Store (code, description) pairs: all of them or, raising AlreadyExists, none.

        Neither part may hold NUL.
        """

    @abstractmethod
    def remove(self, owner: Owner, codes: Collection[str]) -> int:
        """Remove those of `codes` that exist, in one transaction, and return how many did."""

    def check_ready(self) -> None:
        """Read, and once a second at most write what changes nothing.

        Raises StorageUnavailable where either fails.
        """
        self._try_read()
        # A full disk, or a database that takes no writes any more, shows in a write alone; but
        # whoever asks for health, and anybody may, must not bring about more of them than that.
        if time.monotonic() > self._wrote + READY_FOR:
            self._try_write()
            self._wrote = time.monotonic()

    @abstractmethod
    def _try_read(self) -> None:
        """Read a little."""

    @abstractmethod
    def _try_write(self) -> None:
        """Write what changes nothing."""

    @abstractmethod
    def vacuum(self) -> None:
        """Rewrite the database so that nothing deleted can be read in its files any more."""

    @abstractmethod
    def count(self) -> int:
        """How many codes there are."""

    @abstractmethod
    def export(self) -> Generator[Row, None, None]:
        """Every code, ordered by what its row holds, as of one moment."""

    @abstractmethod
    def staging(self) -> AbstractContextManager[Staging]:
        """A place to gather many rows; with its end, all that it holds is gone."""

    @abstractmethod
    def exists(self) -> bool:
        """Whether there is a database already."""

    def keeps(self, path: Path) -> bool:
        """Whether a file is the database's own, by whatever name, and must not be written to."""
        return False

    @abstractmethod
    def backup(self, target: Path, progress: Progress) -> None:
        """Write a copy of the database as it is now to a file, whole or not at all."""

    @abstractmethod
    def restore(self, source: Path) -> None:
        """Put the backup `source`, once it is found sound, in the place of the database.

        Raises StorageError where it is not, or where the database is in use.
        """

    @abstractmethod
    def check(self) -> dict[str, int | str]:
        """How many codes, users and tenants there are, and the schema.

        Reads the whole database. Raises StorageError, with what is wrong, where it is damaged.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the connections that are kept open, when no other thread uses them any more."""


def read_codes(cursor: Any) -> list[AuthorizationCode]:
    """The codes of a driver's cursor, with a pause after each part of a long list."""
    codes: list[AuthorizationCode] = []
    while rows := cursor.fetchmany(PART):
        if codes:
            pause()
        codes += [AuthorizationCode(*row) for row in rows]
    return codes
