"""What was acknowledged survives a power cut, with an ext4 disk that loses what was not synced."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service import ROOT, codes_path, environment

from .history import History
from .load import Load
from .mounts import Disk, disk
from .operations import Outcome
from .server import Server

pytestmark = pytest.mark.long

UNSYNCED = """
from barring.storage.sqlite import file

class Unsynced(file.Database):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.execute("PRAGMA synchronous = OFF")

file.Database = Unsynced
from wsgi import app
"""
"""The service with a database that syncs nothing."""


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Disk]:
    """A disk whose power can be cut."""
    with disk(tmp_path / "disk") as made:
        yield made


def server_on(device: Disk, *options: str, application: str = "wsgi:app") -> Server:
    """A server whose database, and nothing else, lies on the disk."""
    url = f"sqlite:///{device.folder / 'codes.sqlite3'}"
    folder = device.folder.parent
    return Server(folder, *options, application=application, BARRING_DATABASE_URL=url)


def cut_under_load(server: Server, device: Disk, history: History, writes: int) -> None:
    """Cut the power once so many writes are acknowledged, end the server, and boot the disk."""
    with Load(history, server.service.url):
        history.await_acknowledged(history.acknowledged + writes)
        cut = time.monotonic()
        device.cut_power()
        server.kill()
    # Here the server outlives the power by a moment, and ext4 may call a sync done that was cut
    # short. A server without power says nothing.
    for operation in history.operations:
        if operation.outcome is not Outcome.UNSENT and operation.end > cut:
            operation.outcome = Outcome.UNKNOWN
    history.faults += 1
    device.boot()


def cut_first_start(server: Server, device: Disk, after: float) -> None:
    """Cut the power so many seconds after the first file shows, and boot the disk."""
    process = subprocess.Popen(
        server.command,
        cwd=ROOT,
        env=environment(server.folder, **server.settings),
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while not any(device.folder.glob("codes*")):
            assert process.poll() is None
        time.sleep(after)
        device.cut_power()
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    device.boot()


def test_power_cuts_lose_nothing(
    device: Disk, full_length: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """However often the power is cut under load, each acknowledged write is there afterwards."""
    history, choose = History(), random.Random(4)
    with server_on(device) as server:
        for _ in range(120 if full_length else 4):
            cut_under_load(server, device, history, choose.randint(1, 150))
            server.start()
            with server.service.client() as client:
                history.read_all(client)
    with capsys.disabled():
        report = history.judge("power cuts under load")
    assert report.acknowledged >= report.faults


def test_first_write_survives_a_power_cut(
    tmp_path: Path, full_length: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """The power goes with the very first acknowledgement: database and code are there."""
    trials = 30 if full_length else 2
    for trial in range(trials):
        with disk(tmp_path / f"disk{trial}") as device, server_on(device) as server:
            with server.service.client() as client:
                answer = client.post(codes_path(), json={"code": "4711"})
                device.cut_power()
            assert answer.status_code == 201
            server.kill()
            device.boot()
            server.start()
            with server.service.client() as client:
                assert client.get(f"{codes_path()}4711/").status_code == 200
            assert not server.service.logged(event="database_created")
            server.kill()
    with capsys.disabled():
        print(f"\npower cuts at the first write: {trials}, 0 lost")


def test_first_start_survives_a_power_cut(
    device: Disk, full_length: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """The power goes while the database is made: the next start needs no repair."""
    trials, kept = 40 if full_length else 3, 0
    for trial in range(trials):
        server = server_on(device)
        # To make a database takes some 20 ms, which the cuts are spread over.
        cut_first_start(server, device, after=0.03 * trial / trials)
        kept += (device.folder / "codes.sqlite3").exists()
        with server, server.service.client() as client:
            assert client.post(codes_path(), json={"code": "4711"}).status_code == 201
        for file in device.folder.glob("codes*"):
            file.unlink()
        device.boot()
    with capsys.disabled():
        print(f"\npower cuts at the first start: {trials}, {kept} of them with a database left")


def test_power_cut_loses_what_is_not_synced(device: Disk) -> None:
    """The simulation is one: a file that nobody synced is lost, and one that was is not."""
    for name in ("synced", "unsynced"):
        with (device.folder / name).open("wb", buffering=0) as file:
            file.write(b"4711")
            if name == "synced":
                os.fsync(file.fileno())
    device.cut_power()
    device.boot()
    # Of the other there may be the name.
    left = {path.name: path.read_bytes() for path in device.folder.iterdir() if path.is_file()}
    assert left in ({"synced": b"4711"}, {"synced": b"4711", "unsynced": b""})


def test_power_cut_finds_a_database_that_does_not_sync(tmp_path: Path, device: Disk) -> None:
    """The trial can fail: without syncs the same load loses acknowledged writes."""
    (tmp_path / "unsynced.py").write_text(UNSYNCED)
    with server_on(device) as server:
        pass
    history = History()
    options = ("--pythonpath", str(tmp_path))
    with server_on(device, *options, application="unsynced:app") as server:
        cut_under_load(server, device, history, 100)
        server.start()
        with server.service.client() as client:
            history.read_all(client)
    assert history.check().lost
