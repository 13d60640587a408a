"""PgBouncer in transaction mode, with two connections to the server."""

import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from barring.domain import AuthorizationCode as Code
from barring.domain import Owner
from barring.storage import open_storage
from barring.storage.base import StorageUnavailable
from tests.bulk_contract import never, staged
from tests.command import BARRING, succeed
from tests.postgres import USER, free_port
from tests.service import ROOT, codes_path, environment, running
from tests.storage_contract import OWNER
from tests.tools import needs
from tests.waiting import await_that

CONNECTIONS = 2
"""How many connections to the server PgBouncer has for all its clients."""

CODES = [Code(f"{number:04}", "") for number in range(2_000)]


@contextmanager
def pgbouncer(folder: Path, server: str, settings: str = "") -> Iterator[str]:
    """The URL of PgBouncer in front of a server, without the database."""
    program, port, there = needs("pgbouncer"), free_port(), conninfo_to_dict(server)
    configuration = folder / "pgbouncer.ini"
    configuration.write_text(
        f"[databases]\n* = host={there['host']} port={there['port']} user={there['user']}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\n"
        f"pool_mode = transaction\ndefault_pool_size = {CONNECTIONS}\n"
        f"ignore_startup_parameters = options\n{settings}\n"
    )
    folder.chmod(0o755)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, configuration], user=USER, stdout=log, stderr=log)
    try:
        await_that(lambda: b"listening on" in (folder / "log").read_bytes())
        yield f"postgresql://postgres@127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=20)


@pytest.fixture
def pooled(server: str, postgres: str) -> Iterator[str]:
    """The URL of the test's database through PgBouncer; `postgres` leads to it directly."""
    with tempfile.TemporaryDirectory() as folder, pgbouncer(Path(folder), server) as url:
        yield f"{url}/{postgres.rpartition('/')[2]}"


@pytest.fixture
def direct(postgres: str) -> Iterator[psycopg.Connection[tuple[int]]]:
    """A connection to the test's database that does not go through PgBouncer."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        yield connection


IDLE = "state = 'idle in transaction'"
LONG = "clock_timestamp() - state_change > '0.2 s'"


def count(connection: psycopg.Connection[tuple[int]], source: str) -> int:
    """How many rows there are of the tables and conditions that follow FROM."""
    found = connection.execute(f"SELECT count(*) FROM {source}").fetchone()
    assert found
    return found[0]


def sessions(connection: psycopg.Connection[tuple[int]], condition: str) -> int:
    """How many sessions of the database meet a condition."""
    activity = f"pg_stat_activity WHERE datname = current_database() AND {condition}"
    return count(connection, activity)


def test_requests_share_the_connections(pooled: str) -> None:
    """Many threads read and write together over the two connections that PgBouncer has."""
    with closing(open_storage(pooled)) as storage, ThreadPoolExecutor(16) as pool:
        storage.prepare()

        def write_and_read(number: int) -> Code | None:
            storage.add(OWNER, [Code(f"{number:03}", "x"), Code(f"{number:03}+", "y")])
            storage.remove(OWNER, [f"{number:03}+"])
            return storage.get(OWNER, f"{number:03}")

        found = list(pool.map(write_and_read, range(300)))
        assert found == [Code(f"{number:03}", "x") for number in range(300)]
        assert storage.list(OWNER) == found


def import_file(folder: Path, pooled: str, *options: str) -> subprocess.Popen[str]:
    """An import that has read the first line of its file; the rest is a user's CODES."""
    process = subprocess.Popen(
        [*BARRING, "import", "-", *options],
        cwd=ROOT,
        env=environment(folder, BARRING_DATABASE_URL=pooled),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    process.stdin.write("tenant,group,user,code,description\n")
    process.stdin.flush()
    return process


def rows(user: str) -> str:
    """The lines of a file that has the CODES of a user."""
    return "".join(f"t,g,{user},{code.code},\n" for code in CODES)


def test_imports_at_once_meet_nothing_of_each_other(
    tmp_path: Path, pooled: str, direct: psycopg.Connection[tuple[int]]
) -> None:
    """Of imports and requests at once each does its own work only, and nothing is left behind."""
    source = f"sqlite:///{tmp_path / 'source.sqlite3'}"
    with closing(open_storage(source)) as storage:
        storage.prepare()
        for user in ("kept", "gone"):
            storage.add(Owner("t", "g", user), CODES)
    assert "4000 codes copied" in succeed(tmp_path, "copy", "--from", source, "--to", pooled)
    # The first two hold the two connections; the others and the requests wait for them.
    expected = {
        ("new",): "2000 codes stored\n",
        ("dry", "--dry-run"): "2000 codes would be stored\n",
        ("gone", "--delete"): "2000 codes removed\n",
        ("kept",): "0 codes stored; 2000 rows rejected",
    }
    with (
        running(tmp_path, BARRING_DATABASE_URL=pooled) as service,
        service.client() as client,
        ThreadPoolExecutor(12) as pool,
    ):
        imports = {job: import_file(tmp_path, pooled, *job[1:]) for job in expected}
        await_that(lambda: sessions(direct, IDLE) == CONNECTIONS)
        paths = [codes_path("t", "g", f"user{number}") for number in range(8)]
        requests = [pool.submit(client.post, path, json={"code": "01"}) for path in paths]
        ends = {job: pool.submit(imports[job].communicate, rows(job[0])) for job in imports}
        for job, result in expected.items():
            assert result in "".join(ends[job].result(60))
        assert [response.result().status_code for response in requests] == [201] * 8
        assert sessions(direct, IDLE) == count(direct, "pg_class WHERE relname = 'staged'") == 0
        again = import_file(tmp_path, pooled)
        assert again.communicate(rows("later"))[0] == "2000 codes stored\n"
        listed = {
            user: len(client.get(codes_path("t", "g", user)).json()["authCodes"])
            for user in ("kept", "gone", "new", "dry", "later")
        }
    assert listed == {"kept": 2000, "gone": 0, "new": 2000, "dry": 0, "later": 2000}


def test_timeouts_of_requests_do_not_stop_long_work(
    postgres: str, pooled: str, direct: psycopg.Connection[tuple[int]]
) -> None:
    """An import and an export may take longer than the timeouts that the database has."""
    storage = open_storage(postgres)
    storage.prepare()
    for user in range(3):
        codes = [Code(f"{number:05}", "") for number in range(10_000)]
        storage.add(OWNER._replace(user=str(user)), codes)
    name = postgres.rpartition("/")[2]
    with ThreadPoolExecutor(1) as pool, psycopg.connect(postgres) as other:
        for timeout in ("statement_timeout", "idle_in_transaction_session_timeout"):
            direct.execute(f"ALTER DATABASE {name} SET {timeout} = '100ms'")
        storage = open_storage(pooled)
        export = storage.export()
        first = next(export)
        with storage.staging() as staging:
            staging.put([staged(1, "new")])
            await_that(lambda: sessions(direct, f"{IDLE} AND {LONG}") == 2)
            other.execute("LOCK TABLE authorization_codes IN EXCLUSIVE MODE")
            addition = pool.submit(staging.add, "fail", never, keep_going=False)
            await_that(lambda: sessions(direct, f"wait_event_type = 'Lock' AND {LONG}") == 1)
            other.rollback()
            assert addition.result() == 1
        assert len([first, *export]) == 30_000
        # Both connections were given back as they were.
        with psycopg.connect(pooled) as connection:
            assert connection.execute("SHOW statement_timeout").fetchone() == ("100ms",)


def test_error_of_pgbouncer_points_to_its_log(server: str, postgres: str) -> None:
    """If no connection is free for longer than PgBouncer waits, the error says where to look."""
    with (
        tempfile.TemporaryDirectory() as folder,
        pgbouncer(Path(folder), server, "query_wait_timeout = 1") as url,
        closing(open_storage(f"{url}/{postgres.rpartition('/')[2]}")) as storage,
    ):
        storage.prepare()
        told = pytest.raises(StorageUnavailable, match="08P01; the log of PgBouncer has")
        with storage.staging(), storage.staging(), told:
            storage.get(OWNER, "01")
