"""A disk without room, or a limit of file size: writes are refused, reads go on, both end well."""

import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.service import codes_path
from tests.test_health import metrics, requests_counted
from tests.waiting import await_that

from .history import History
from .load import Load
from .mounts import disk, small
from .operations import Kind, Operation, Outcome
from .server import Server

pytestmark = pytest.mark.long

Fault = Callable[[Server, Path], AbstractContextManager[None]]


@contextmanager
def full(server: Server, folder: Path) -> Iterator[None]:
    """Leave not a byte free in the file system of `folder`."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        size = -1
        # ext4 keeps some room back until it knows where everything goes.
        while size < (size := filler.stat().st_size):
            fill(file.fileno())
            os.fsync(file.fileno())
    yield
    filler.unlink()


def fill(descriptor: int) -> None:
    """Append until no byte more fits."""
    block = 1 << 16
    while block:
        try:
            os.write(descriptor, bytes(block))
        except OSError:
            block //= 2


@contextmanager
def limited(server: Server, folder: Path) -> Iterator[None]:
    """Let no process of the server write beyond the first page of any file."""
    processes = [server.service.process.pid, *server.workers()]
    before = {pid: resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in processes}
    for pid, (_, hard) in before.items():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, hard))
    yield
    for pid, limits in before.items():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


@contextmanager
def plain(folder: Path) -> Iterator[None]:
    """A folder where there is room."""
    folder.mkdir()
    yield


def test_full_disk_of_temporary_files_is_no_matter_of_the_metrics(tmp_path: Path) -> None:
    """Where TMPDIR has no room, workers live on, requests succeed, and all are counted."""
    path = codes_path()
    with small(tmp_path / "tmp") as folder:
        settings = {"BARRING_METRICS": "true", "TMPDIR": str(folder)}
        with Server(tmp_path, **settings) as server, full(server, folder):
            for number in range(60):
                with server.service.client() as client:
                    assert client.post(path, json={"code": f"{number:03}"}).status_code == 201
                    client.get(f"/nothing/{number}")
                if number == 30:
                    server.kill_worker(server.workers()[0])
                    server.await_workers()
            assert requests_counted(metrics(server.service), "POST") == 60
            started = server.service.logged(event="gunicorn.error", level="info")
            assert sum("Booting worker" in line["message"] for line in started) == 3


def observe_fault(history: History, client: httpx.Client, kept: Operation, told: Outcome) -> None:
    """While the fault lasts: each write is 503 and says `told`, reads go on, readiness tells."""
    start = time.monotonic()
    written = client.post(codes_path(), json={"code": "200"})
    # Readiness tries a write once a second at most.
    await_that(lambda: client.get("/health/ready").status_code == 503, 5)
    for answer in (client.get("/health/ready"), written):
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert client.get("/health/live").status_code == 200
    many = history.new_items(str(number) for number in range(10_000, 20_000))
    for operation, outcome in (
        # A long list meets the fault before its commit, which then is none.
        (Operation(Kind.ADD, "many", many, True), Outcome.UNDONE),
        (Operation(Kind.ADD, "kept", history.new_items(["201"])), told),
        (Operation(Kind.CHANGE, "kept", history.new_items(["200"])), told),
        (Operation(Kind.REMOVE, "kept", kept.items), told),
    ):
        history.perform(client, operation)
        assert (operation.outcome, operation.failure) == (outcome, "503")
    assert not history.perform(client, Operation(Kind.LIST, "kept")).failure

    def under_load(*kinds: Kind) -> list[Operation]:
        return [op for op in list(history.operations) if op.start > start and op.kind in kinds]

    await_that(lambda: len(under_load(Kind.ADD)) > 30 and len(under_load(Kind.LIST)) > 30, 30)
    # A removal of what is not there changes nothing, and may be told done.
    # Who is written together with a long list fails with it, before the commit.
    told_to_all = {told, Outcome.UNDONE, Outcome.REFUSED}
    assert {op.outcome for op in under_load(Kind.ADD)} <= told_to_all
    assert not [op.failure for op in under_load(Kind.LIST, Kind.GET) if op.failure]


@pytest.mark.parametrize(
    ("place", "fault", "told"),
    # Of a write error, other than a full disk, SQLite's driver does not tell how far it came.
    [
        (small, full, Outcome.UNDONE),
        (disk, full, Outcome.UNDONE),
        (plain, limited, Outcome.UNKNOWN),
    ],
    ids=["small-tmpfs", "small-ext4", "file-size-limit"],
)
def test_no_room_refuses_writes_until_there_is_some(
    tmp_path: Path,
    place: Callable[[Path], AbstractContextManager[object]],
    fault: Fault,
    told: Outcome,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without room writes are 503 and reads go on; with room writes succeed, with no restart."""
    history, folder = History(), tmp_path / "place"
    url = f"sqlite:///{folder / 'codes.sqlite3'}"
    with place(folder), Server(tmp_path, BARRING_DATABASE_URL=url) as server:
        with server.service.client() as client, Load(history, server.service.url):
            kept = Operation(Kind.ADD, "kept", history.new_items(["200"]))
            history.perform(client, kept)
            history.await_acknowledged(30)
            for _ in range(3):
                with fault(server, folder):
                    observe_fault(history, client, kept, told)
                history.faults += 1
                history.await_acknowledged(history.acknowledged + 30)
                assert client.get("/health/ready").status_code == 200
        assert len(server.workers()) == 2
        server.kill()
        server.start()
        with server.service.client() as client:
            history.read_all(client)
    with capsys.disabled():
        history.judge("no room")


def test_start_without_room_answers_reads(tmp_path: Path) -> None:
    """A server that was killed comes back on a full disk, and answers reads."""
    history = History()
    with small(tmp_path / "place") as folder:
        url = f"sqlite:///{folder / 'codes.sqlite3'}"
        with Server(tmp_path, BARRING_DATABASE_URL=url) as server:
            with server.service.client() as client:
                history.perform(client, Operation(Kind.ADD, "kept", history.new_items(["200"])))
            server.kill()
            with full(server, folder):
                server.start()
                with server.service.client() as client:
                    history.read_all(client)
    history.check().assert_clean()
    assert history.acknowledged == 1
