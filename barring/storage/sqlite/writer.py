"""The writer of one process: commits all writes that wait together, with one sync of the disk.

SQLite lets one connection write at a time, and makes the others sleep in growing steps, so that
some starve. Here they queue: within a process for its one thread, among processes for a lock.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

from sqlite_utils import Database

from barring.storage.base import AlreadyExists, StorageUnavailable

from .lock import ProcessLock


class _Job:
    """A write that waits, and then what became of it."""

    done = False
    result: Any = None
    error: BaseException | None = None

    def __init__(self, operation: Callable[[Database], Any]) -> None:
        self.operation = operation
        self.asked = self.begun = time.monotonic()


class Writer:
    """Writes in a thread that is handed in; `write` and `turn` are called in any other."""

    def __init__(
        self,
        lock: ProcessLock,
        seconds: float,
        thread: Executor,
        transaction: Callable[[float], AbstractContextManager[Database]],
    ) -> None:
        """`seconds` is how long a write waits for its turn.

        `transaction` is given the seconds for which it may wait for another program's lock.
        """
        self._lock = lock
        self._seconds = seconds
        self._thread = thread
        self._transaction = transaction
        self._waiting: deque[_Job] = deque()
        self._asking = threading.Lock()
        self._asked = False  # Whether a task is to come that will take what waits.
        self._task: Future[None]

    def write(self, operation: Callable[[Database], Any], told: Callable[[float], object]) -> Any:
        """What an operation returns, once it is committed. `told` gets the seconds that it waited.

        An operation is one statement, or changes nothing where it raises AlreadyExists.
        Raises StorageUnavailable after too long a wait.
        """
        job = _Job(operation)
        with self._asking:
            self._waiting.append(job)
            if not self._asked:
                self._asked = True
                try:
                    self._task = self._thread.submit(self._write_waiting)
                except BaseException:
                    self._asked = False
                    self._waiting.remove(job)
                    raise
            task = self._task
        try:
            self._await(task)
        except StorageUnavailable:
            with suppress(ValueError):
                self._waiting.remove(job)
                raise
            while not job.done:  # It has begun, and so will end; its task may be an earlier one.
                with suppress(TimeoutError):
                    task.result(self._seconds)
        told(job.begun - job.asked)
        if job.error:
            raise job.error
        return job.result

    @contextmanager
    def turn(self) -> Iterator[float]:
        """Hold back the writers of all other processes. Gives the seconds of patience left."""
        asked = time.monotonic()
        task = self._thread.submit(self._lock.acquire)
        try:
            self._await(task)
        except StorageUnavailable:
            task.add_done_callback(lambda _: self._lock.release())
            raise
        try:
            yield self._patience(asked)
        finally:
            self._lock.release()

    def _await(self, task: "Future[None]") -> None:
        try:
            task.result(self._seconds)
        except TimeoutError:
            reason = f"other writes took over {self._seconds} seconds"
            raise StorageUnavailable(f"{self._lock.path}: {reason}") from None

    def _write_waiting(self) -> None:
        """Write all that waits."""
        jobs: list[_Job] = []
        try:
            try:
                self._lock.acquire()
            finally:
                self._asked = False  # Before it takes them, so that none is passed over.
                while self._waiting:
                    jobs.append(self._waiting.popleft())
            try:
                if jobs:
                    self._write_together(jobs)
            finally:
                self._lock.release()
        except BaseException as error:
            for job in jobs:
                job.error = error
        for job in jobs:
            job.done = True

    def _write_together(self, jobs: list[_Job]) -> None:
        begun = time.monotonic()
        with self._transaction(self._patience(jobs[0].asked)) as database:
            for job in jobs:
                job.begun = begun
                try:
                    job.result = job.operation(database)
                except AlreadyExists as error:
                    job.error = error

    def _patience(self, asked: float) -> float:
        return max(0.0, asked + self._seconds - time.monotonic())
