"""The writer of one process: commits all waiting writes together, with one sync of the disk.

SQLite lets one connection write at a time, and makes the others sleep in growing steps, so that
some starve. Here writes queue: within a process for its one thread, among processes for a lock.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from barring.storage.base import AlreadyExists, OutcomeUnknown, StorageUnavailable
from barring.storage.time_limit import seconds_left

from .connections import Connections
from .file import BUSY_TIMEOUT
from .lock import ProcessLock

Operation = Callable[[Database], Any]


class _Job:
    """A waiting write, and its outcome once it is done."""

    done = given_up = False
    result: Any = None
    error: BaseException | None = None

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        self.asked = self.begun = time.monotonic()


class Writer:
    """Writes in the one thread of an executor. Its methods may be called in any other thread."""

    _seconds = BUSY_TIMEOUT
    """How long a write may wait before it starts."""

    def __init__(self, path: Path, connections: Connections, thread: Executor) -> None:
        self._lock = ProcessLock(path.with_name(f"{path.name}-lock"))
        self._connections = connections
        self._thread = thread
        self._waiting: deque[_Job] = deque()
        self._submitting = threading.Lock()
        self._submitted = False  # Whether a submitted task has yet to take the waiting writes.
        self._task: Future[None]

    def write(self, operation: Operation, on_wait: Callable[[float], object]) -> Any:
        """Commit an operation, and return its result. `on_wait` gets the seconds that it waited.

        An operation that raises AlreadyExists has changed nothing. Raises StorageUnavailable after
        too long a wait, and with a time limit OutcomeUnknown if it then has begun.
        """
        job = _Job(operation)
        with self._submitting:
            self._waiting.append(job)
            if not self._submitted:
                self._submitted = True
                try:
                    self._task = self._thread.submit(self._write_waiting)
                except BaseException:
                    self._submitted = False
                    self._waiting.remove(job)
                    raise
            task = self._task
        try:
            self._await(task)
        except (StorageUnavailable, KeyboardInterrupt, SystemExit) as error:
            with suppress(ValueError):
                self._waiting.remove(job)
                raise
            if not isinstance(error, StorageUnavailable):
                raise OutcomeUnknown(f"{self._lock.path}: interrupted") from None
            if seconds_left(self._seconds) < self._seconds:
                job.given_up = True
                raise OutcomeUnknown(str(error)) from None
            while not job.done:  # No longer queued: a task has taken it, and sets `done`.
                time.sleep(0.01)
        on_wait(job.begun - job.asked)
        if job.error:
            raise job.error
        return job.result

    @contextmanager
    def exclusive(self, database: Database, *, commit: bool) -> Iterator[None]:
        """A transaction on another connection, while no other process writes."""
        asked = time.monotonic()
        task = self._thread.submit(self._lock.acquire)
        try:
            self._await(task)
            with self._connections.transaction(self._seconds_left(asked), database, commit=commit):
                yield
        finally:
            # The lock may be granted only after the wait for it was given up.
            task.add_done_callback(lambda _: self._lock.release())

    def _await(self, task: "Future[None]") -> None:
        seconds = seconds_left(self._seconds)
        try:
            task.result(seconds)
        except TimeoutError:
            reason = f"other writes took over {seconds:.1g} seconds"
            raise StorageUnavailable(f"{self._lock.path}: {reason}") from None

    def _write_waiting(self) -> None:
        """Commit all waiting writes; called in the thread."""
        jobs: list[_Job] = []
        try:
            try:
                self._lock.acquire()
            finally:
                self._submitted = False  # Before taking the writes, so that none is missed.
                while self._waiting:
                    jobs.append(self._waiting.popleft())
            if jobs:
                self._write_together(jobs)
        except BaseException as error:
            for job in jobs:
                job.error = error
        self._lock.release()
        for job in jobs:
            job.done = True

    def _write_together(self, jobs: list[_Job]) -> None:
        with self._connections.transaction(self._seconds_left(jobs[0].asked)) as database:
            # Who gave up a write may have done it in another way.
            for job in (job for job in jobs if not job.given_up):
                job.begun = time.monotonic()
                try:
                    job.result = job.operation(database)
                except AlreadyExists as error:
                    job.error = error

    def _seconds_left(self, asked: float) -> float:
        return max(0.0, asked + self._seconds - time.monotonic())
