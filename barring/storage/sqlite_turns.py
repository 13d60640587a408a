"""Whose turn it is to write: one transaction, and one sync of the disk, for all who wait.

SQLite lets one connection write at a time, and makes the others sleep in growing steps, so
that some starve. Here the threads of a process queue for a lock that wakes them, processes take
turns, and whose turn it is writes for all in the queue.
"""

import contextlib
import fcntl
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

from sqlite_utils import Database

from .base import AlreadyExists, StorageUnavailable

Result = TypeVar("Result")

_NOW, _NEXT = 0, 1
"""The bytes of the lock's file that the writing process locks, and the one after it."""

_POLL = 0.0005
"""Seconds between two looks at another process's lock."""


class _Job(NamedTuple):
    operation: Callable[[Database], Any]
    asked: float
    outcome: Future[Any]


class Turns:
    """The queue of one process's writers, and their lock among all processes."""

    def __init__(
        self,
        path: Path,
        seconds: float,
        transaction: Callable[[float], contextlib.AbstractContextManager[Database]],
    ) -> None:
        """`path` is the lock's file, `seconds` how long one waits, `transaction` how one writes.

        A transaction gets the seconds for which it may wait for another program's lock.
        """
        self._path = path
        self._seconds = seconds
        self._transaction = transaction
        self._threads = threading.Lock()
        self._waiting: deque[_Job] = deque()
        self._file: int | None = None

    @contextlib.contextmanager
    def turn(self) -> Iterator[float]:
        """Hold back every other writer, and give the seconds of patience that are left.

        Raises StorageUnavailable after too long a wait.
        """
        deadline = time.monotonic() + self._seconds
        if not self._threads.acquire(timeout=self._seconds):
            raise self._too_long()
        try:
            # Who holds _NEXT is the next to get _NOW: no process overtakes another that waits.
            self._lock(_NEXT, deadline)
            try:
                self._lock(_NOW, deadline)
            finally:
                self._unlock(_NEXT)
            try:
                yield max(0.0, deadline - time.monotonic())
            finally:
                self._unlock(_NOW)
        finally:
            self._threads.release()

    def write(
        self, operation: Callable[[Database], Result], told: Callable[[float], object]
    ) -> Result:
        """The result of an operation, once the transaction that it was part of is committed.

        An operation is one statement, or changes nothing where it raises AlreadyExists. `told` gets
        the seconds that it waited.
        """
        job = _Job(operation, time.perf_counter(), Future())
        self._waiting.append(job)
        try:
            with self.turn() as patience:
                if not job.outcome.done():
                    self._write_together(told, patience)
        except StorageUnavailable:
            with contextlib.suppress(ValueError):  # Another's turn has begun with it.
                self._waiting.remove(job)
                raise
        return cast(Result, job.outcome.result())

    def _write_together(self, told: Callable[[float], object], patience: float) -> None:
        jobs = [self._waiting.popleft() for _ in range(len(self._waiting))]
        results: list[tuple[Callable[[Any], None], Any]] = []
        try:
            with self._transaction(patience) as database:
                begun = time.perf_counter()
                for job in jobs:
                    told(begun - job.asked)
                    try:
                        results.append((job.outcome.set_result, job.operation(database)))
                    except AlreadyExists as error:
                        results.append((job.outcome.set_exception, error))
        except BaseException as error:
            results = [(job.outcome.set_exception, error) for job in jobs]
        for tell, result in results:
            tell(result)

    def _lock(self, byte: int, deadline: float) -> None:
        """Lock a byte of the file. Polls: a wait in the kernel could not be ended in time."""
        while True:
            try:
                fcntl.lockf(self._descriptor(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise self._too_long() from None
                time.sleep(_POLL)

    def _unlock(self, byte: int) -> None:
        fcntl.lockf(self._descriptor(), fcntl.LOCK_UN, 1, byte)

    def _descriptor(self) -> int:
        """The lock's file. A forked process inherits it open, and unlocked."""
        if self._file is None:
            try:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            except OSError as error:
                raise StorageUnavailable(f"{self._path}: {error.strerror}") from error
        return self._file

    def _too_long(self) -> StorageUnavailable:
        return StorageUnavailable(f"{self._path}: other writes took over {self._seconds} seconds")
