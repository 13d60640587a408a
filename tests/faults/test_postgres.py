"""What befalls a PostgreSQL database and the way to it, under load, judged by the same history.

Nothing acknowledged is lost, no answer is a 500, each comes within a stated time, and the service
goes on by itself.
"""

import itertools
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from barring.domain import AuthorizationCode as Code
from barring.domain import Owner
from barring.storage import open_storage
from barring.storage.postgres.connections import CONNECTIONS, RESPONSE_SECONDS, Connection
from barring.storage.postgres.places import CHECKOUT_SECONDS, STALLED
from tests.postgres import Cluster, cluster, free_port
from tests.service import codes_path
from tests.waiting import await_that

from .history import History
from .load import Load
from .server import Server
from .test_kills import finish, kill_workers

pytestmark = pytest.mark.long

GRACE = 2.0
"""Seconds that a busy machine may take beyond the time that is promised."""

WORKERS = 2

WAITING = "FROM pg_stat_activity WHERE wait_event = 'SyncRep'"

OTHERS = "pid <> pg_backend_pid() AND backend_type = 'client backend'"


@pytest.fixture
def own() -> Iterator[Cluster]:
    """A server of the test's own, to be broken."""
    with cluster() as started:
        yield started


def judge(server: Server, history: History, note: str) -> None:
    """Read everything, and judge the history."""
    with server.service.client() as client:
        history.read_all(client)
    history.judge(note)


def test_killed_workers_lose_nothing(tmp_path: Path, postgres: str, full_length: bool) -> None:
    """Workers die, and with them the requests that they had sent to the database."""
    history = History()
    with Server(tmp_path, BARRING_DATABASE_URL=postgres) as server:
        with Load(history, server.service.url):
            kill_workers(server, history, 30 if full_length else 4)
            history.await_acknowledged(3_000 if full_length else 400, seconds=300)
        finish(server, history)


def test_services_share_a_database(tmp_path: Path, postgres: str) -> None:
    """What one service acknowledges the other knows at once; both start at the same time."""
    history = History()
    with ExitStack() as stack:
        urls = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            server = Server(tmp_path / name, BARRING_DATABASE_URL=postgres)
            urls.append(stack.enter_context(server).service.url)
        with Load(history, urls[0], clients=4), Load(history, urls[1], clients=4):
            history.await_acknowledged(600)
        judge(server, history, "two services")


def test_cut_connections_lose_nothing(tmp_path: Path, own: Cluster, full_length: bool) -> None:
    """The database ends connections in the middle of what they do, again and again."""
    history = History()
    with Server(tmp_path, BARRING_DATABASE_URL=own.url) as server:
        with Load(history, server.service.url):
            for _ in range(60 if full_length else 8):
                history.await_acknowledged(history.acknowledged + 50)
                own.execute(
                    f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {OTHERS}"
                )
                history.faults += 1
        judge(server, history, "connections cut")


@pytest.mark.parametrize("way", ["fast", "immediate", "kill"])
def test_restarted_database_loses_nothing(tmp_path: Path, own: Cluster, way: str) -> None:
    """The database stops, is stopped short or is killed; its start is all that it takes."""
    history = History()
    with Server(tmp_path, BARRING_DATABASE_URL=own.url) as server:
        with Load(history, server.service.url):
            for _ in range(2):
                history.await_acknowledged(history.acknowledged + 100)
                own.kill() if way == "kill" else own.stop(way)
                history.faults += 1
                time.sleep(1)
                own.start()
                began = time.monotonic()
                history.await_acknowledged(history.acknowledged + 1)
                assert time.monotonic() - began < 5
        judge(server, history, f"database restarted, {way}")


def require_standby(primary: Cluster, name: str) -> None:
    """Have the commits of a primary wait for the standby of this name."""
    primary.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
    primary.execute("SELECT pg_reload_conf()")


@contextmanager
def standing_by(primary: Cluster) -> Iterator[tuple[Cluster, str]]:
    """A synchronous standby of a primary, and the URL of the two."""
    with cluster(standby_of=primary) as standby:
        require_standby(primary, "standby")
        state = "SELECT sync_state FROM pg_stat_replication"
        await_that(lambda: primary.execute(state) == [("sync",)])
        hosts = ",".join(f"127.0.0.1:{each.port}" for each in (primary, standby))
        yield standby, f"postgresql://postgres@{hosts}/postgres"


def test_failover_loses_nothing(tmp_path: Path, own: Cluster, full_length: bool) -> None:
    """The primary is killed and its synchronous standby promoted: the service writes within 5 s."""
    history = History()
    with standing_by(own) as (standby, url), Server(tmp_path, BARRING_DATABASE_URL=url) as server:
        with Load(history, server.service.url), server.service.client() as client:
            history.await_acknowledged(1_000 if full_length else 200)
            own.kill()
            history.faults += 1
            answer = client.get(codes_path())
            while answer.status_code == 200:  # The last that was answered before the kill.
                answer = client.get(codes_path())
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
            time.sleep(2)
            standby.promote()
            began = time.monotonic()
            history.await_acknowledged(history.acknowledged + 1)
            took = time.monotonic() - began
            history.await_acknowledged(history.acknowledged + 100)
        judge(server, history, f"failover, writing again {took:.1f} s after the promotion")
    assert took < 5


def test_frozen_primary_is_given_up(tmp_path: Path, own: Cluster) -> None:
    """A primary that stands still is not asked again, once it has not answered in time."""
    history = History()
    with standing_by(own) as (standby, url), Server(tmp_path, BARRING_DATABASE_URL=url) as server:
        with Load(history, server.service.url, clients=16):
            history.await_acknowledged(200)
            own.send(signal.SIGSTOP)
            history.faults += 1
            standby.promote()
            began = time.monotonic()
            history.await_acknowledged(history.acknowledged + 100)
            took = time.monotonic() - began
        judge(server, history, f"a frozen primary, given up after {took:.1f} s")
        own.kill()
    assert took < RESPONSE_SECONDS + CHECKOUT_SECONDS + 5


@contextmanager
def serving_without_standby(folder: Path, primary: Cluster) -> Iterator[httpx.Client]:
    """A client of a service whose database holds a code, and waits for a standby from then on."""
    with (
        Server(folder, BARRING_DATABASE_URL=primary.url) as server,
        server.service.client() as client,
    ):
        assert client.post(codes_path(), json={"code": "01"}).status_code == 201
        require_standby(primary, "nobody")
        await_that(lambda: primary.execute("SHOW synchronous_standby_names") == [("nobody",)])
        yield client


def test_cancelled_wait_for_the_standby_is_no_success(tmp_path: Path, own: Cluster) -> None:
    """PostgreSQL calls a write done whose wait for the standby was cancelled; this does not."""
    with serving_without_standby(tmp_path, own) as client, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client.post, codes_path(), json={"code": "02"})
        await_that(lambda: bool(own.execute(f"SELECT pid {WAITING}")))
        own.execute(f"SELECT pg_cancel_backend(pid) FROM (SELECT pid {WAITING}) AS found")
        assert answer.result().status_code == 503
        assert "may have happened" in answer.result().json()["message"]


@pytest.mark.parametrize(("method", "code"), [("POST", "02"), ("DELETE", "01")])
def test_retry_waits_for_the_standby_too(
    tmp_path: Path, own: Cluster, method: str, code: str
) -> None:
    """What a retry finds done is on no standby yet, and is not acknowledged until it is."""
    path = codes_path() + (f"{code}/" if method == "DELETE" else "")
    body = {"code": code} if method == "POST" else None
    with serving_without_standby(tmp_path, own) as client, ThreadPoolExecutor(1) as pool:
        for codes in (["01"], ["01", "02"] if method == "POST" else []):
            await_that(lambda: client.get(codes_path()).status_code == 200)
            assert [each["code"] for each in client.get(codes_path()).json()["authCodes"]] == codes
            answer = pool.submit(client.request, method, path, json=body)
            await_that(lambda: bool(own.execute(f"SELECT pid {WAITING}")))
            own.kill()
            own.start()
            assert answer.result().status_code == 503


def test_hung_standby_stops_writes_alone(tmp_path: Path, own: Cluster) -> None:
    """Behind a standby that hangs no writes pile up, and all read; once it is back, all write.

    PostgreSQL keeps the writes that wait, after their clients were told that they may happen.
    """
    history = History(late=True)
    with standing_by(own) as (standby, url), Server(tmp_path, BARRING_DATABASE_URL=url) as server:
        with (
            Load(history, server.service.url, clients=40, owners=12),
            server.service.client() as client,
        ):
            history.await_acknowledged(200)
            standby.send(signal.SIGSTOP)
            history.faults += 1
            hanging = time.monotonic() + 3 * RESPONSE_SECONDS
            while time.monotonic() < hanging:
                answer = client.get(codes_path(), timeout=CHECKOUT_SECONDS + GRACE)
                assert answer.status_code == 200
                time.sleep(0.05)
            ((connections,),) = own.execute(f"SELECT count(*) FROM pg_stat_activity WHERE {OTHERS}")
            standby.send(signal.SIGCONT)
            await_that(lambda: not own.execute(f"SELECT pid {WAITING}"))
            history.settle()
            history.await_acknowledged(history.acknowledged + 100)
        judge(server, history, f"a hung standby, {connections} connections")
    assert isinstance(connections, int)
    assert connections <= WORKERS * 28


def test_waiting_commits_are_limited(own: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once too many commits wait for a standby that hangs, writes for other tenants fail, too."""
    monkeypatch.setattr(Connection, "patience", 0.2)
    monkeypatch.setattr("barring.storage.postgres.engine.MAX_WAITING", 20)
    tenants = (Owner(f"tenant{number}") for number in itertools.count())
    with closing(open_storage(own.url)) as storage:
        storage.prepare()
        require_standby(own, "nobody")
        await_that(lambda: own.execute("SHOW synchronous_standby_names") == [("nobody",)])
        with ThreadPoolExecutor(8) as pool:
            writes = [pool.submit(storage.add, next(tenants), [Code("01", "")]) for _ in range(80)]
        errors = [str(write.exception()) for write in writes]
        waiting = len(own.execute(f"SELECT pid {WAITING}"))
        assert storage.list(next(tenants)) == []
    assert 20 <= waiting < 20 + 8
    assert sum("writes wait for a standby" in error for error in errors) == 80 - waiting


def test_locked_table_and_used_up_pool_are_told_in_time(tmp_path: Path, own: Cluster) -> None:
    """While another session locks the codes everyone is told so; once it lets go all is well."""
    with (
        Server(tmp_path, BARRING_DATABASE_URL=own.url, BARRING_WORKERS="1") as server,
        server.service.client() as client,
        psycopg.connect(own.url) as other,
        ThreadPoolExecutor(40) as pool,
    ):
        other.execute("LOCK TABLE authorization_codes")
        began = time.monotonic()
        codes = [{"code": f"{number:02}"} for number in range(40)]
        answers = list(pool.map(lambda code: client.post(codes_path(), json=code), codes))
        assert {answer.status_code for answer in answers} == {503}
        assert all("nothing was changed" in answer.json()["message"] for answer in answers)
        # The database gives a statement up after 5 s, and a call waits for a place before that.
        assert time.monotonic() - began < 5 + CHECKOUT_SECONDS + STALLED + GRACE
        other.rollback()
        assert client.get(codes_path()).json() == {"authCodes": []}
        assert client.post(codes_path(), json={"authCodes": codes}).status_code == 201


def test_stale_connections_cost_one_request_no_time(tmp_path: Path, own: Cluster) -> None:
    """The server restarts while nobody asks: the next request finds sixteen dead connections."""
    with (
        Server(tmp_path, BARRING_DATABASE_URL=own.url, BARRING_WORKERS="1") as server,
        server.service.client() as client,
        psycopg.connect(own.url) as other,
        ThreadPoolExecutor(CONNECTIONS) as pool,
    ):
        other.execute("LOCK TABLE authorization_codes")
        answers = [pool.submit(client.get, codes_path()) for _ in range(CONNECTIONS)]
        locked = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        await_that(lambda: len(own.execute(locked)) > CONNECTIONS // 2)
        other.rollback()
        assert {answer.result().status_code for answer in answers} == {200}
        own.kill()
        own.start()
        began = time.monotonic()
        assert client.get(codes_path()).status_code == 200
        assert time.monotonic() - began < CHECKOUT_SECONDS / 2


class Proxy:
    """A way to a server that can fall silent, as a network does that drops every packet."""

    silent_at: bytes | None = None
    """What it must not pass on: it falls silent before."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self.flowing = threading.Event()
        self.flowing.set()
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            for pair in ((client, server), (server, client)):
                threading.Thread(target=self._forward, args=pair, daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with source, target:
            try:
                while data := source.recv(65_536):
                    if self.silent_at and self.silent_at in data:
                        self.flowing.clear()
                    self.flowing.wait()
                    target.sendall(data)
                target.shutdown(socket.SHUT_WR)
            except OSError:
                return

    def close(self) -> None:
        """Let nobody in any more, and let go who waits."""
        self._listener.close()
        self.flowing.set()


@contextmanager
def proxy(target: int) -> Iterator[Proxy]:
    """A proxy, for as long as it is needed."""
    made = Proxy(target)
    try:
        yield made
    finally:
        made.close()


def test_silent_network_is_told_in_time(tmp_path: Path, own: Cluster) -> None:
    """Where no packet comes through, all are told to try again; a commit, that it may have been."""
    with proxy(own.port) as way:
        url = own.url.replace(str(own.port), str(way.port))
        settings = {"BARRING_DATABASE_URL": url, "BARRING_WORKERS": "1"}
        with Server(tmp_path, **settings) as server, server.service.client() as client:
            assert client.post(codes_path(), json={"code": "01"}).status_code == 201
            way.silent_at = b"COMMIT\0"
            began = time.monotonic()
            answer = client.post(codes_path(), json={"code": "02"})
            assert time.monotonic() - began < CHECKOUT_SECONDS + RESPONSE_SECONDS + GRACE
            assert answer.status_code == 503
            assert "may have happened" in answer.json()["message"]
            began = time.monotonic()
            answer = client.get(codes_path())
            assert time.monotonic() - began < CHECKOUT_SECONDS + RESPONSE_SECONDS + GRACE
            assert answer.status_code == 503
            way.silent_at = None
            way.flowing.set()
            await_that(lambda: client.get(codes_path()).status_code == 200, 5)
            way.flowing.clear()
            began = time.monotonic()
            answer = client.post(codes_path(), json={"code": "04"})
            assert time.monotonic() - began < CHECKOUT_SECONDS + RESPONSE_SECONDS + GRACE
            assert answer.status_code == 503
            assert "nothing was changed" in answer.json()["message"]
            way.flowing.set()
            await_that(lambda: client.get(codes_path()).status_code == 200, 5)
            assert client.post(codes_path(), json={"code": "03"}).status_code == 201
