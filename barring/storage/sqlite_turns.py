"""Whose turn it is to write: one transaction, and one sync of the disk, for all who wait.

SQLite lets one connection write at a time, and makes the others sleep in growing steps, so
that some starve. Here they queue for a lock that wakes them, and whose turn it is writes for
all in the queue.
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
        transaction: Callable[[], contextlib.AbstractContextManager[Database]],
    ) -> None:
        """`path` is the lock's file, `seconds` how long one waits, `transaction` how one writes."""
        self._path = path
        self._seconds = seconds
        self._transaction = transaction
        self._threads = threading.Lock()
        self._waiting: deque[_Job] = deque()
        self._lock_file = (0, 0)

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Hold back every other writer. Raises StorageUnavailable after too long a wait."""
        if not self._threads.acquire(timeout=self._seconds):
            raise StorageUnavailable(f"{self._path}: other writes took more than {self._seconds} s")
        try:
            descriptor = self._descriptor()
            # No time-out: a process holds it for one transaction, and loses it with its life.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(descriptor, fcntl.LOCK_UN)
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
            with self.turn():
                if not job.outcome.done():
                    self._write_together(told)
        except StorageUnavailable:
            with contextlib.suppress(ValueError):  # Another's turn has begun with it.
                self._waiting.remove(job)
                raise
        return cast(Result, job.outcome.result())

    def _write_together(self, told: Callable[[float], object]) -> None:
        jobs = [self._waiting.popleft() for _ in range(len(self._waiting))]
        results: list[tuple[Callable[[Any], None], Any]] = []
        try:
            with self._transaction() as database:
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

    def _descriptor(self) -> int:
        """The lock's file, opened by each process for itself: a fork would share the lock."""
        process, descriptor = self._lock_file
        if process != os.getpid():
            try:
                descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            except OSError as error:
                raise StorageUnavailable(f"{self._path}: {error.strerror}") from error
            self._lock_file = (os.getpid(), descriptor)
        return descriptor
