"""Verification while PostgreSQL cannot be asked, or written: fails closed and fast."""

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest

from barring.storage.postgres.connections import CONNECTIONS
from tests.call_platform import LIMIT, TIME_LIMIT, Platform
from tests.command import succeed
from tests.postgres import Cluster, cluster
from tests.waiting import await_that

from .server import Server
from .test_postgres import OTHERS, proxy

pytestmark = pytest.mark.long


@pytest.fixture
def own() -> Iterator[Cluster]:
    """A server of the test's own, to be broken, with a code of two users."""
    with cluster() as started:
        yield started


def settings_for(url: str, workers: int = 1) -> dict[str, str]:
    """A database, and so many workers."""
    return {"BARRING_DATABASE_URL": url, "BARRING_WORKERS": str(workers)}


def add_codes(folder: Path, url: str) -> None:
    """Give two users the right code."""
    for user in ("foouser", "other"):
        add = ("add", "footenant", "foogroup", user, "right")
        succeed(folder, *add, BARRING_DATABASE_URL=url)


@contextmanager
def stopped(server: Cluster) -> Iterator[None]:
    """The server is stopped."""
    server.stop()
    yield
    server.start()


@contextmanager
def killed(server: Cluster) -> Iterator[None]:
    """The server has lost its power."""
    server.kill()
    yield
    server.start()


@contextmanager
def hung(server: Cluster) -> Iterator[None]:
    """The server accepts connections, and does not respond."""
    server.send(signal.SIGSTOP)
    try:
        yield
    finally:
        server.send(signal.SIGCONT)


@contextmanager
def table_locked(server: Cluster) -> Iterator[None]:
    """Another session holds a lock of the codes against everyone."""
    with psycopg.connect(server.url) as other:
        other.execute("LOCK TABLE authorization_codes")
        yield


@pytest.mark.alone
@pytest.mark.parametrize(
    ("fault", "used"),
    [(stopped, True), (killed, True), (hung, True), (table_locked, True), (hung, False)],
)
def test_absent_database_is_told_in_a_second(
    tmp_path: Path,
    own: Cluster,
    fault: Callable[[Cluster], AbstractContextManager[None]],
    used: bool,
) -> None:
    """One verification, and 50 at once, are 503 within a second; then all is as it was."""
    add_codes(tmp_path, own.url)
    with (
        Server(tmp_path, **settings_for(own.url, 2)) as server,
        Platform(server.service.url) as platform,
    ):
        if used:
            assert platform.verify() == 403
            assert {*platform.at_once(["right"] * 100)} == {200}
            platform.took()
        with fault(own):
            for _ in range(3):
                assert platform.verify("right") == 503
                assert platform.verify("wrong") == 503
            assert platform.took() < TIME_LIMIT
            for code in ("right", "wrong"):
                assert {*platform.at_once([code] * 50)} == {503}
            assert {*platform.at_users("right", 50)} == {503}
            assert platform.took() < TIME_LIMIT
        await_that(lambda: {*platform.at_once(["right"] * 50)} == {200}, 10)
        statuses = [platform.verify() for _ in range(LIMIT + 1)]
        assert statuses.count(403) == LIMIT - used
        assert platform.verify("right") == 429


@contextmanager
def writes_locked(server: Cluster) -> Iterator[None]:
    """Another session holds a lock of the lockouts against those who write."""
    with psycopg.connect(server.url) as other:
        other.execute("LOCK TABLE lockouts IN EXCLUSIVE MODE")
        yield


@contextmanager
def turn_taken(server: Cluster) -> Iterator[None]:
    """Another session holds what each write takes first."""
    with psycopg.connect(server.url) as other:
        other.execute("LOCK TABLE barring_tenant_marks IN EXCLUSIVE MODE")
        yield


@contextmanager
def read_only(server: Cluster) -> Iterator[None]:
    """The database takes no writes, as on a standby."""
    server.execute("ALTER SYSTEM SET default_transaction_read_only = on")
    server.execute("SELECT pg_reload_conf()")
    await_that(lambda: server.execute("SHOW default_transaction_read_only") == [("on",)])
    yield
    writing = server.url + "?options=-cdefault_transaction_read_only%3Doff"
    with psycopg.connect(writing, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM RESET default_transaction_read_only")
        connection.execute("SELECT pg_reload_conf()")


@contextmanager
def refused(server: Cluster) -> Iterator[None]:
    """Each write fails, as on a full disk."""
    server.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE 'no room' USING ERRCODE = '53100'; END $$"
    )
    server.execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON lockouts FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    yield
    server.execute("DROP TRIGGER refuse ON lockouts")


@pytest.mark.alone
@pytest.mark.parametrize("fault", [writes_locked, turn_taken, read_only, refused])
def test_fault_gives_no_more_guesses(
    tmp_path: Path, own: Cluster, fault: Callable[[Cluster], AbstractContextManager[None]]
) -> None:
    """A wrong code is 503, never 403, and after the limit the right code is too."""
    add_codes(tmp_path, own.url)
    with (
        Server(tmp_path, **settings_for(own.url)) as server,
        Platform(server.service.url) as platform,
    ):
        assert platform.verify() == 403
        with fault(own):
            assert platform.guess(1) == {503: LIMIT - 1}
            assert {*platform.at_once(["right", "wrong"] * 25)} == {503}
            assert {*platform.at_users("wrong", 50)} == {503}
            assert platform.took() < TIME_LIMIT
            assert {*platform.at_once(["right"] * 50, "other")} == {200}
        await_that(lambda: platform.verify("right") == 429)
        succeed(tmp_path, "unlock", "footenant", "foogroup", "foouser", **settings_for(own.url))
        assert platform.verify("right") == 200
        assert not server.service.logged(event="unexpected_error")


def test_lost_connections_give_no_more_guesses(tmp_path: Path, own: Cluster) -> None:
    """Where connections break during the commit, the failures count, stored or not."""
    add_codes(tmp_path, own.url)
    with proxy(own.port) as way:
        url = own.url.replace(str(own.port), str(way.port))
        with (
            Server(tmp_path, **settings_for(url)) as server,
            Platform(server.service.url) as platform,
        ):
            assert platform.verify("right") == 200
            for _ in range(2):
                way.silent_at = b"COMMIT\0"
                assert platform.verify() == 503
                way.silent_at = None
                way.flowing.set()
                await_that(lambda: platform.verify("right") == 200)
            assert platform.took() < TIME_LIMIT
            wrong = [platform.verify() for _ in range(LIMIT)]
            assert wrong.count(403) <= LIMIT - 2
            assert platform.verify("right") == 429


def test_waiting_verifications_open_few_connections(tmp_path: Path, own: Cluster) -> None:
    """While a lock lets no verification end, those given up do not fill the server."""
    add_codes(tmp_path, own.url)
    with (
        Server(tmp_path, **settings_for(own.url, 2)) as server,
        Platform(server.service.url) as platform,
        psycopg.connect(own.url) as other,
    ):
        assert {*platform.at_once(["right"] * 100)} == {200}
        for table in ("lockouts IN EXCLUSIVE MODE", "authorization_codes"):
            other.execute(f"LOCK TABLE {table}")
            with ThreadPoolExecutor(1) as pool:
                load = pool.submit(lambda: [platform.at_users("wrong", 50) for _ in range(7)])
                most = 0
                while not load.done():
                    sessions = own.execute(f"SELECT pid FROM pg_stat_activity WHERE {OTHERS}")
                    most = max(most, len(sessions))
            assert {status for statuses in load.result() for status in statuses} == {503}
            assert most <= 2 * 2 * CONNECTIONS
            other.rollback()


def test_parallel_tries_at_two_services(tmp_path: Path, own: Cluster) -> None:
    """Of 2,000 tries no more are looked at than the limit, and one for each worker."""
    add_codes(tmp_path, own.url)
    with ExitStack() as stack:
        urls = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            server = Server(tmp_path / name, **settings_for(own.url, 2))
            urls.append(stack.enter_context(server).service.url)
        platform = stack.enter_context(Platform(*urls))
        codes = [f"{number:04}" for number in range(2_000)]
        codes[1_234] = "right"
        statuses = platform.at_once(codes)
        assert {*statuses} <= {403, 429}
        assert LIMIT <= statuses.count(403) <= LIMIT + 4
        assert statuses[1_234] == 429
