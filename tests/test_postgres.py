"""The PostgreSQL engine: the storage contract, and what is its own."""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from barring.domain import AuthorizationCode as Code
from barring.settings import without_password
from barring.storage import open_storage
from barring.storage.base import Storage, StorageError, StorageUnavailable
from barring.storage.postgres.connections import CONNECTIONS
from tests.bulk_contract import BulkContract
from tests.command import failure, succeed
from tests.engines import Postgres
from tests.postgres import database, free_port
from tests.service import codes_path, running
from tests.storage_contract import OWNER, StorageContract
from tests.waiting import await_that


class TestContract(Postgres, StorageContract):
    """The contract of an owner's codes, kept by PostgreSQL."""


class TestBulkContract(Postgres, BulkContract):
    """The contract of many codes, kept by PostgreSQL."""


@pytest.fixture
def storage(postgres: str) -> Storage:
    """A prepared storage."""
    storage = open_storage(postgres)
    storage.prepare()
    return storage


def test_tables_are_made_once_and_kept(storage: Storage, postgres: str) -> None:
    """A later start finds what is there; a database of a later release is refused."""
    storage.add(OWNER, [Code("01", "")])
    open_storage(postgres).prepare()
    assert storage.check() == {
        "codes": 1,
        "users": 1,
        "tenants": 1,
    }
    with psycopg.connect(postgres) as connection:
        connection.execute("INSERT INTO barring_migrations VALUES ('of_tomorrow')")
    with pytest.raises(StorageError, match="was written by a later release \\(of_tomorrow\\)"):
        open_storage(postgres).prepare()


def waiting(connection: psycopg.Connection[tuple[int]]) -> int:
    """How many sessions of the database wait for another's lock."""
    # Within a transaction PostgreSQL goes on showing the sessions that it showed first.
    connection.execute("SELECT pg_stat_clear_snapshot()")
    found = connection.execute(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    ).fetchone()
    assert found
    return found[0]


def test_codes_are_removed_at_one_moment(storage: Storage, postgres: str) -> None:
    """While a list is removed, nobody adds a code of it and has it stay beside one that goes."""
    storage.add(OWNER, [Code("01", "old")])
    with psycopg.connect(postgres) as other, ThreadPoolExecutor(2) as pool:
        other.execute("SELECT FROM authorization_codes FOR UPDATE")
        removal = pool.submit(storage.remove, OWNER, ["02", "01", "02"])
        await_that(lambda: waiting(other) == 1)
        addition = pool.submit(storage.add, OWNER, [Code("02", "new")])
        await_that(lambda: waiting(other) == 2)
        assert storage.list(OWNER) == [Code("01", "old")]
        other.rollback()
        assert removal.result() == [Code("01", "old")]
        addition.result()
    assert storage.list(OWNER) == [Code("02", "new")]


@pytest.mark.parametrize("again", [False, True])
def test_removal_gives_what_the_write_before_it_left(
    storage: Storage, postgres: str, again: bool
) -> None:
    """A code that goes while a removal waits is not returned; one that comes is removed too."""
    storage.add(OWNER, [Code("01", ""), Code("02", "")])
    with psycopg.connect(postgres) as other, ThreadPoolExecutor(1) as pool:
        other.execute("SELECT FROM barring_tenant_marks FOR UPDATE")  # As each write begins.
        removal = pool.submit(storage.remove, OWNER, ["01", "02"])
        await_that(lambda: waiting(other) == 1)
        other.execute("DELETE FROM authorization_codes WHERE code = '01'")
        if again:
            other.execute(
                "INSERT INTO authorization_codes VALUES (%s, %s, %s, '01', 'again')", OWNER
            )
        other.commit()
        assert sorted(removal.result()) == [
            *([Code("01", "again")] if again else []),
            Code("02", ""),
        ]
    assert storage.list(OWNER) == []


def test_no_code_is_in_an_error(storage: Storage, postgres: str) -> None:
    """What the database says of a failure may quote values; the service's errors never do."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE 'no % here', NEW.code USING ERRCODE = '53100'; END $$"
        )
        connection.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON authorization_codes"
            " FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
    with pytest.raises(StorageUnavailable) as caught:
        storage.add(OWNER, [Code("s3cret", "")])
    assert str(caught.value).endswith(": DiskFull 53100")


def test_server_that_takes_no_writes_is_not_ready(storage: Storage, postgres: str) -> None:
    """A database that became read-only is told, by writes and by readiness."""
    storage.check_ready()
    name = postgres.rpartition("/")[2]
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with pytest.raises(StorageUnavailable):
        open_storage(postgres).check_ready()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://anna:p%40ss@db/codes", "postgresql://anna:***@db/codes"),
        (
            "postgresql://anna@a,b:5433/codes?password=x&connect_timeout=3",
            "password=***&connect_timeout=3",
        ),
        ("postgresql://:secret@/codes", "postgresql://:***@/codes"),
        ("postgresql://anna:p?ss@db/codes?user=a@b", "postgresql://anna:***@db/codes?user=a@b"),
        ("sqlite:////var/lib/codes@home:x.sqlite3", "sqlite:////var/lib/codes@home:x.sqlite3"),
    ],
)
def test_password_is_masked(tmp_path: Path, url: str, shown: str) -> None:
    """`check-config` and every message show where the database is, without its password."""
    assert without_password(url).endswith(shown)
    assert shown in succeed(tmp_path, "check-config", BARRING_DATABASE_URL=url)
    if url.startswith("postgresql"):
        assert not re.search("p%40ss|p.ss|=x|secret", str(open_storage(url)))
    assert without_password("postgresql://a:b?c@d@/x?host=h") == "postgresql://a:***@/x?host=h"


def test_unreachable_server_is_told_in_one_line(tmp_path: Path) -> None:
    """Where no server is, a command and a start say so, without the password."""
    url = f"postgresql://anna:s3cret@127.0.0.1:{free_port()}/codes"
    for command in (["list", *OWNER], ["serve"]):
        message = failure(tmp_path, *command, BARRING_DATABASE_URL=url)
        assert "Connection refused" in message
        assert "s3cret" not in message
    with pytest.raises(StorageError, match="URL is not valid for PostgreSQL"):
        open_storage("postgresql://anna:s3cret@host/x?nonsense=1")
    for place in ("host/x", "/x?host=/run/postgresql", "1/y@host/x?dbname=z"):
        url = f"postgresql://anna:s3@cret@{place}"
        copy = failure(tmp_path, "copy", "--from", url, "--to", url)
        for message in (copy, failure(tmp_path, "check-config", BARRING_DATABASE_URL=url)):
            assert "%40" in message
            assert "cret" not in message


def test_options_of_the_url_are_kept_beside_the_times(postgres: str) -> None:
    """A schema that the URL chooses is where the tables are; the times that requests have stay."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA own")
        chosen = open_storage(f"{postgres}?options=-csearch_path%3Down")
        chosen.prepare()
        chosen.add(OWNER, [Code("01", "")])
        assert connection.execute("SELECT code FROM own.authorization_codes").fetchall() == [
            ("01",)
        ]
        connection.execute("BEGIN; LOCK TABLE own.authorization_codes")
        with pytest.raises(StorageUnavailable, match="QueryCanceled"):
            chosen.get(OWNER, "01")


def test_table_of_another_program_is_told_in_one_line(tmp_path: Path, postgres: str) -> None:
    """A database in which the table's name is taken is refused by the start."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE TABLE authorization_codes (id integer)")
    assert "DuplicateTable" in failure(tmp_path, "serve", BARRING_DATABASE_URL=postgres)


def test_pool_is_opened_in_each_worker_and_bounded(tmp_path: Path, postgres: str) -> None:
    """The master holds no connection, and a worker no more than it may."""
    query = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'barring'"
    )
    with (
        running(tmp_path, BARRING_DATABASE_URL=postgres, BARRING_WORKERS="2") as service,
        psycopg.connect(postgres, autocommit=True) as other,
        service.client() as client,
    ):
        assert client.get(codes_path()).json() == {"authCodes": []}
        (count,) = other.execute(query).fetchone() or (0,)
        assert 2 <= count <= 2 * CONNECTIONS


def test_database_that_cannot_hold_every_text_is_refused(server: str) -> None:
    """Only UTF8 holds what the API takes; another encoding is told before anything is stored."""
    options = "ENCODING 'SQL_ASCII' TEMPLATE template0 LOCALE 'C'"
    refusal = pytest.raises(StorageError, match="its encoding is SQL_ASCII; create one with")
    with database(server, options) as url, refusal:
        open_storage(url).prepare()


def test_servers_on_one_host_are_two(tmp_path: Path) -> None:
    """A message, and `copy`, tell two servers apart by their ports too."""
    names = {str(open_storage(f"postgresql://anna@db:{port}/codes")) for port in (5432, 5433)}
    assert names == {"postgresql://db:5432/codes", "postgresql://db:5433/codes"}


def test_slow_reader_of_an_export_gets_all_of_it(storage: Storage, postgres: str) -> None:
    """The times that requests have do not bind an export, however long its reader takes."""
    for user in range(3):
        codes = [Code(f"{number:05}", "") for number in range(10_000)]
        storage.add(OWNER._replace(user=str(user)), codes)
    name = postgres.rpartition("/")[2]
    with psycopg.connect(postgres, autocommit=True) as connection:
        for what in ("idle_in_transaction_session_timeout", "statement_timeout"):
            connection.execute(f"ALTER DATABASE {name} SET {what} = '100ms'")
    export = open_storage(postgres).export()
    first = next(export)
    time.sleep(0.3)
    assert len([first, *export]) == 30_000
