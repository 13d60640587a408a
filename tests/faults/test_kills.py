"""kill -9 under load: of workers, of the whole server, and of the master alone.

The server is back by itself where a worker died, and once it is started where all of it did,
without a repair. What was acknowledged is there, and of no list a part.
"""

import random
from pathlib import Path

import pytest

from .history import History
from .load import Load
from .server import Server

pytestmark = pytest.mark.long


def kill_workers(server: Server, history: History, kills: int) -> None:
    """Kill a worker, or at times all of them, at random moments."""
    choose = random.Random(kills)
    while history.faults < kills:
        history.await_acknowledged(history.acknowledged + choose.randint(1, 150))
        workers = server.workers()
        for worker in workers if choose.random() < 0.2 else [choose.choice(workers)]:
            server.kill_worker(worker)
            history.faults += 1
        server.await_workers()


def kill_servers(server: Server, history: History, kills: int) -> None:
    """Kill the whole server at random moments, and start it again."""
    choose = random.Random(kills)
    while history.faults < kills:
        history.await_acknowledged(history.acknowledged + choose.randint(1, 300))
        server.kill()
        history.faults += 1
        server.start()


def finish(server: Server, history: History) -> None:
    """Read everything and judge the history, of which no fault may have gone unnoticed."""
    with server.service.client() as client:
        history.read_all(client)
    report = history.judge("kills under load")
    assert report.unknown + report.unread > 0


def test_killed_workers_lose_nothing(tmp_path: Path, full_length: bool) -> None:
    """Workers die, and with them the requests they had; others take their place at once."""
    kills, writes = (70, 7_500) if full_length else (6, 600)
    history = History()
    with Server(tmp_path) as server:
        with Load(history, server.service.url):
            kill_workers(server, history, kills)
            history.await_acknowledged(writes, seconds=300)
        assert server.service.process.poll() is None
        finish(server, history)
    assert history.faults >= kills


def test_killed_server_loses_nothing(tmp_path: Path, full_length: bool) -> None:
    """The master and its workers die at once; a start is all that it takes to go on."""
    kills, writes = (40, 4_000) if full_length else (3, 300)
    history = History()
    with Server(tmp_path) as server:
        with Load(history, server.service.url):
            kill_servers(server, history, kills)
            history.await_acknowledged(writes, seconds=300)
        finish(server, history)
    assert history.faults >= kills


def test_workers_end_without_their_master(tmp_path: Path) -> None:
    """Workers whose master was killed give back the port and end, so that a start goes through."""
    history = History()
    with Server(tmp_path) as server, server.service.connect():  # It waits silently all the while.
        with Load(history, server.service.url):
            history.await_acknowledged(100)
            server.kill_master()
            history.faults += 1
            server.start()
            history.await_acknowledged(history.acknowledged + 100)
        assert server.ended(40, start=0)
        with server.service.client() as client:
            history.read_all(client)
    history.judge("the master killed")
