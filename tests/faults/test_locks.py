"""A database that another process has locked, and many writers at once."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pysqlite3
import pytest

from barring.storage.sqlite.file import BUSY_TIMEOUT
from tests.service import Service, codes_path, running

from .history import History
from .operations import Kind, Operation, Outcome

pytestmark = pytest.mark.long

SLOW = """
from gevent.monkey import get_original
from barring.storage.sqlite.connections import Connections

def slowly(connections, database, commit=Connections._commit):
    get_original("time", "sleep")(0.01)
    commit(connections, database)

Connections._commit = slowly
from wsgi import app
"""
"""The service with a disk that takes 10 ms to sync a commit."""

BOUND = BUSY_TIMEOUT + 2
"""Seconds within which a write is answered however long the lock is held."""


@contextmanager
def locked(database: Path, begin: str) -> Iterator[pysqlite3.Connection]:
    """Hold the lock that `begin` takes."""
    connection = pysqlite3.connect(database, isolation_level=None)
    try:
        connection.execute(begin)
        yield connection
    finally:
        connection.close()


def at_once(count: int, task: Callable[[int], None]) -> None:
    """Run a task in so many threads, and wait for all."""
    threads = [threading.Thread(target=task, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Service]:
    """A service of its own."""
    with running(tmp_path) as service:
        yield service


def write(history: History, client: httpx.Client, *codes: str) -> Operation:
    """Create codes."""
    operation = Operation(Kind.ADD, "anna", history.new_items(codes), len(codes) > 1)
    return history.perform(client, operation)


@pytest.mark.parametrize("begin", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
def test_lock_beyond_the_timeout_is_unavailable(fresh: Service, begin: str) -> None:
    """All writes are 503 with Retry-After within the bound; reads go on; then all is well."""
    history = History()
    with fresh.client() as client:
        assert write(history, client, "100", "101").outcome is Outcome.ACKNOWLEDGED
        with locked(fresh.database, begin):
            told: list[httpx.Response] = []

            def ask(number: int) -> None:
                with fresh.client() as another:
                    if number == 0:
                        time.sleep(1.1)  # Readiness tries a write once a second at most.
                        told.append(another.get("/health/ready"))
                    elif number == 1:
                        told.append(another.post(codes_path(), json={"code": "100"}))
                    elif number % 2:
                        write(history, another, f"{200 + number}", f"{300 + number}")
                    else:
                        items = history.new_items(["100", "101"])
                        history.perform(another, Operation(Kind.REMOVE, "anna", items, True))

            writers = threading.Thread(target=at_once, args=(16, ask))
            writers.start()
            reads = 0
            while writers.is_alive():
                read = history.perform(client, Operation(Kind.LIST, "anna"))
                assert not read.failure
                assert read.end - read.start < 1
                reads += 1
            writers.join()
        assert write(history, client, "102").outcome is Outcome.ACKNOWLEDGED
        assert client.get("/health/ready").status_code == 200
        history.read_all(client)
    refused = [op for op in history.operations if op.failure]
    assert [op.outcome for op in refused] == [Outcome.UNDONE] * 14
    for operation in refused:
        assert BUSY_TIMEOUT - 1 < operation.end - operation.start < BOUND
    told_so = [(answer.status_code, answer.headers["Retry-After"]) for answer in told]
    assert told_so == [(503, "1")] * 2
    assert reads > 100
    history.check().assert_clean()
    assert not fresh.logged(event="unexpected_error")


def test_lock_released_in_time_is_waited_for(fresh: Service) -> None:
    """A write that finds the lock taken succeeds once it is free."""
    history = History()
    with fresh.client() as client, locked(fresh.database, "BEGIN IMMEDIATE") as holder:
        waiting = threading.Thread(target=write, args=(history, client, "100"))
        waiting.start()
        waiting.join(BUSY_TIMEOUT / 2)
        assert waiting.is_alive()
        released = time.monotonic()
        holder.execute("ROLLBACK")
        waiting.join()
    assert [op.outcome for op in history.operations] == [Outcome.ACKNOWLEDGED]
    assert history.operations[0].end - released < 1


@pytest.mark.parametrize("application", ["wsgi:app", "slow:app"])
def test_many_writers_all_succeed(
    tmp_path: Path, application: str, full_length: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Thirty-two writers at once all succeed, and none waits so long that it nearly would not."""
    (tmp_path / "slow.py").write_text(SLOW)
    history, rounds = History(), 30 if full_length else 6
    options = ("--pythonpath", str(tmp_path))
    with running(tmp_path, *options, application=application) as service:

        def use(number: int) -> None:
            with service.client() as client:
                for _ in range(rounds):
                    items = history.new_items([f"{number + 100}", f"{number + 200}"])
                    for kind in (Kind.ADD, Kind.REMOVE, Kind.ADD, Kind.REMOVE):
                        history.perform(client, Operation(kind, f"owner{number % 8}", items, True))

        at_once(32, use)
        writes = list(history.operations)
        with service.client() as client:
            history.read_all(client)
    longest = max(op.end - op.start for op in writes)
    with capsys.disabled():
        print(f"\n32 writers at {application}: {len(writes)} writes, the longest {longest:.1f} s")
    assert [op for op in writes if op.outcome is not Outcome.ACKNOWLEDGED] == []
    assert longest < BUSY_TIMEOUT * 0.6
    history.check().assert_clean()
