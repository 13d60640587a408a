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
from pathlib import Path
from typing import Any, TypeVar, cast

from sqlite_utils import Database

from .base import AlreadyExists, StorageUnavailable

Result = TypeVar("Result")

_NOW, _NEXT = 0, 1
"""The bytes of the lock's file that the writing process locks, and the one after it."""

_POLL = 0.0005
"""Seconds between two looks at another process's lock."""


class _Job:
    """A write in the queue. Its thread sleeps until it is done, or has to write for the queue."""

    def __init__(self, operation: Callable[[Database], Any]) -> None:
        self.operation = operation
        self.asked = time.monotonic()
        self.done = False
        self._result: Any = None
        self._error: BaseException | None = None
        self._asleep = threading.Lock()
        self._asleep.acquire()

    def sleep(self, seconds: float) -> bool:
        """Wait for `wake`; whether it came in this time."""
        return self._asleep.acquire(timeout=seconds)

    def wake(self) -> None:
        """End the sleep, of now or to come."""
        self._asleep.release()

    def end(self, result: Any = None, error: BaseException | None = None) -> None:
        """Keep what came of the write."""
        self._result, self._error, self.done = result, error, True

    def result(self) -> Any:
        """The result, or the error raised."""
        if self._error:
            raise self._error
        return self._result


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
        self._queue = threading.Lock()
        self._waiting: deque[_Job] = deque()
        self._writes = False  # Whether a thread writes for the queue, or was woken to do so.
        self._file: int | None = None

    @contextlib.contextmanager
    def turn(self, asked: float | None = None) -> Iterator[float]:
        """Hold back every other writer, and give the seconds of patience that are left.

        `asked` is when the wait for it began. Raises StorageUnavailable after too long a wait.
        """
        deadline = (time.monotonic() if asked is None else asked) + self._seconds
        if not self._threads.acquire(timeout=max(0.0, deadline - time.monotonic())):
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
        job = _Job(operation)
        with self._queue:
            self._waiting.append(job)
            mine, self._writes = not self._writes, True
        if not mine and not job.sleep(self._seconds):
            self._give_up(job)
        if not job.done:
            self._write_for_all(job, told)
        return cast(Result, job.result())

    def _give_up(self, job: _Job) -> None:
        """Leave the queue, unless the write has begun, or it is now this thread's to do."""
        with self._queue:
            if job in self._waiting:
                if not job.sleep(0):
                    self._waiting.remove(job)
                    raise self._too_long()
                return
        job.sleep(-1)

    def _write_for_all(self, job: _Job, told: Callable[[float], object]) -> None:
        """Take a turn for all in the queue, `job` among them, and wake who goes on from there."""
        jobs: list[_Job] = []
        try:
            with self.turn(job.asked) as patience:
                with self._queue:
                    jobs = [*self._waiting]
                    self._waiting.clear()
                self._write_together(jobs, told, patience)
        except BaseException as error:
            job.end(error=error)
        with self._queue:
            if job in self._waiting:  # Its turn did not come in time; the others may have longer.
                self._waiting.remove(job)
            self._writes = bool(self._waiting)
            if self._waiting:
                self._waiting[0].wake()
        for other in jobs:
            if other is not job:
                other.wake()

    def _write_together(
        self, jobs: list[_Job], told: Callable[[float], object], patience: float
    ) -> None:
        ends: list[tuple[Any, AlreadyExists | None]] = []
        try:
            with self._transaction(patience) as database:
                begun = time.monotonic()
                for job in jobs:
                    told(begun - job.asked)
                    try:
                        ends.append((job.operation(database), None))
                    except AlreadyExists as error:
                        ends.append((None, error))
        except BaseException as error:
            for job in jobs:
                job.end(error=error)
        else:
            for job, end in zip(jobs, ends, strict=True):
                job.end(*end)

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
