"""Verification while an SQLite database cannot be written: fails closed and fast."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tests.call_platform import LIMIT, TIME_LIMIT, Platform
from tests.command import succeed
from tests.waiting import await_that

from .mounts import disk, small
from .server import Server
from .test_disk import full, limited, plain
from .test_locks import locked

pytestmark = pytest.mark.long


@contextmanager
def written_by_another(server: Server, folder: Path) -> Iterator[None]:
    """Another program holds SQLite's lock for writes."""
    with locked(folder / "codes.sqlite3", "BEGIN IMMEDIATE"):
        yield


@contextmanager
def imported_by_another(server: Server, folder: Path) -> Iterator[None]:
    """Another process of the service, such as an import, has its turn to write."""
    script = "import fcntl, sys; f = open(sys.argv[1], 'a+'); fcntl.lockf(f, fcntl.LOCK_EX, 1, 0)\n"
    script += "print('locked', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", script, str(folder / "codes.sqlite3-lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        assert other.stdout.readline() == b"locked\n"
        yield
        other.communicate()


def unlock(folder: Path, settings: dict[str, str]) -> None:
    """Lift the lock of the user."""
    succeed(folder, "unlock", "footenant", "foogroup", "foouser", **settings)


def settings_for(folder: Path, workers: int) -> dict[str, str]:
    """A database in a folder, and so many workers."""
    url = f"sqlite:///{folder / 'codes.sqlite3'}"
    return {"BARRING_DATABASE_URL": url, "BARRING_WORKERS": str(workers)}


def add_codes(folder: Path, settings: dict[str, str]) -> None:
    """Give two users the right code."""
    for user in ("foouser", "other"):
        succeed(folder, "add", "footenant", "foogroup", user, "right", **settings)


@pytest.mark.alone
@pytest.mark.parametrize(
    ("place", "fault", "workers"),
    [
        (small, full, 1),
        (small, full, 2),
        (plain, limited, 1),
        (plain, written_by_another, 1),
        (plain, written_by_another, 2),
        (plain, imported_by_another, 1),
    ],
)
def test_fault_gives_no_more_guesses(
    tmp_path: Path,
    place: Callable[[Path], AbstractContextManager[object]],
    fault: Callable[[Server, Path], AbstractContextManager[None]],
    workers: int,
) -> None:
    """A wrong code is 503, never 403, and after the limit in each worker the right code is too.

    Once the database can be written the user is locked, until the lock is lifted once.
    """
    folder = tmp_path / "place"
    settings = settings_for(folder, workers)
    with place(folder):
        add_codes(tmp_path, settings)
        with (
            Server(tmp_path, **settings) as server,
            Platform(server.service.url) as platform,
        ):
            with fault(server, folder):
                guesses = platform.guess(workers)
                assert guesses.total() == LIMIT or workers > 1
                assert {*guesses} == {503}
                assert {*platform.at_once(["right", "wrong"] * 25)} == {503}
                assert platform.took() < TIME_LIMIT
                assert {*platform.at_once(["right"] * 50, "other")} == {200}
            platform.verify("right")
            await_that(lambda: {*platform.at_once(["right"] * 50)} == {429})
            over = int(time.time())  # The database counts whole seconds.
            await_that(lambda: time.time() > over + 1)
            unlock(tmp_path, settings)  # What the other workers remember is forgotten, too.
            assert {*platform.at_once(["right"] * 50)} == {200}
            assert "unexpected_error" not in server.service.log_file.read_text()
            assert len(server.workers()) == workers


@pytest.mark.alone
def test_read_only_database_gives_no_more_guesses(tmp_path: Path) -> None:
    """On a disk that has become read-only, wrong codes are 503, and then all codes of the user."""
    with disk(tmp_path / "place") as place:
        settings = settings_for(place.folder, 1)
        add_codes(tmp_path, settings)
        with Server(tmp_path, **settings) as server, Platform(server.service.url) as platform:
            assert platform.verify() == 403
            place.protect()
            assert platform.guess(1) == {503: LIMIT - 1}
            assert {*platform.at_once(["right", "wrong"] * 25)} == {503}
            assert {*platform.at_once(["right"] * 50, "other")} == {200}
            assert platform.took() < TIME_LIMIT


def test_refused_tries_count_after_kills(tmp_path: Path) -> None:
    """Each answered 403 counts after kill -9 of the workers, and of the whole server."""
    settings = settings_for(tmp_path, 2)
    add_codes(tmp_path, settings)
    with Server(tmp_path, **settings) as server:
        for _ in range(2):
            with Platform(server.service.url) as platform:
                assert platform.verify() == 403
                workers = server.workers()
                for worker in workers:
                    server.kill_worker(worker)
                server.await_workers()
                assert platform.verify() == 403
            server.kill()
            server.start()
        with Platform(server.service.url) as platform:
            assert platform.verify() == 403
            server.kill()
            server.start()
        with Platform(server.service.url) as platform:
            assert {*platform.at_once(["right", "wrong", "", "0"] * 10)} == {429}


def test_tries_at_the_moment_of_a_kill_count(tmp_path: Path) -> None:
    """However workers are killed during tries, no more are refused than the limit."""
    settings = settings_for(tmp_path, 2)
    add_codes(tmp_path, settings)
    with Server(tmp_path, **settings) as server, ThreadPoolExecutor(8) as pool:
        for number in range(10):
            with Platform(server.service.url) as platform:

                def attempt(_: int, platform: Platform = platform, user: str = f"u{number}") -> int:
                    with suppress(httpx.HTTPError):
                        return platform.verify(user=user)
                    return 0

                statuses = pool.map(attempt, range(60))
                for worker in server.workers():
                    server.kill_worker(worker)
                assert [*statuses].count(403) <= LIMIT + 2
                server.await_workers()
