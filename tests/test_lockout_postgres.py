"""The lockouts in PostgreSQL: their contract, and what is its own."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress

import psycopg
import pytest

from barring.domain import DAY, Lockout
from barring.domain import AuthorizationCode as Code
from barring.storage import open_storage
from barring.storage.base import Storage, StorageUnavailable
from barring.storage.postgres import schema
from barring.storage.postgres.engine import PostgresStorage
from barring.storage.time_limit import time_limit
from barring.verification.verifier import Verifier
from tests.engines import Postgres
from tests.lockout_contract import NOW, LockoutContract, failed, unlocked, user
from tests.storage_contract import OWNER
from tests.test_postgres import waiting
from tests.waiting import await_that


class TestLockoutContract(Postgres, LockoutContract):
    """The contract of lockouts, kept by PostgreSQL."""

    def size(self) -> int:
        """The bytes of the lockouts and their indexes, without dead rows."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("VACUUM FULL lockouts")
            found = connection.execute("SELECT pg_total_relation_size('lockouts')").fetchone()
            assert found
            return int(found[0])


@pytest.fixture
def storage(postgres: str) -> PostgresStorage:
    """A prepared storage."""
    storage = PostgresStorage(postgres)
    storage.prepare()
    return storage


def test_database_without_lockouts_is_upgraded(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database of a release that had no lockouts has them after the start, and its codes."""
    with monkeypatch.context() as earlier, closing(open_storage(postgres)) as storage:
        earlier.delitem(schema._STEPS, "create_lockouts")
        storage.prepare()
        storage.add(OWNER, [Code("01", "")])
        with pytest.raises(StorageUnavailable, match="UndefinedTable"):
            storage.lockout(OWNER)
    with closing(open_storage(postgres)) as storage:
        storage.prepare()
        assert not storage.remove_lockout(OWNER)
        assert storage.list(OWNER) == [("01", "", "")]


def test_row_that_another_writes_is_not_removed(storage: Storage, postgres: str) -> None:
    """A failure neither waits for an expired row that another one renews, nor removes it."""
    storage._NOW = f"CAST({NOW} AS bigint)"
    for number in (1, 2):
        storage.add_failure(user(number), failed)
    storage._NOW = f"CAST({NOW + DAY} AS bigint)"
    with psycopg.connect(postgres) as other, ThreadPoolExecutor(1) as pool:
        renew = f"UPDATE lockouts SET failures = '{NOW + DAY}', expires = {NOW + 2 * DAY}"
        other.execute(f"{renew} WHERE user_id = 'user1'")
        adding = pool.submit(storage.add_failure, OWNER, failed)
        with suppress(TimeoutError):
            adding.result(0.5)
        waited = waiting(other)
        other.commit()
        adding.result()
    assert waited == 0
    assert storage.lockout(user(1))[1].failures == (NOW + DAY,)
    assert storage.lockout(user(2))[1] == Lockout()


def test_time_limit_ends_with_its_use(storage: PostgresStorage, postgres: str) -> None:
    """A connection that a verification used with a time limit then waits as long as any other."""
    with time_limit(0.2):
        storage.add_failure(OWNER, failed)
        storage.find(OWNER, "01", unlocked)
    with psycopg.connect(postgres) as other, ThreadPoolExecutor(1) as pool:
        other.execute("LOCK TABLE authorization_codes")
        connection = storage._pool._pool[0]
        reading, writing = (
            pool.submit(storage.get, OWNER, "01"),
            pool.submit(storage.lockout, OWNER),
        )
        await_that(lambda: waiting(other) == 1)
        time.sleep(0.4)
        other.commit()
        assert reading.result() is None
        assert len(writing.result()[1].failures) == 1
    assert not connection.closed
    storage.close()


@pytest.mark.parametrize("table", ["barring_tenant_marks", "lockouts", "authorization_codes"])
def test_waits_of_a_verification_end_in_time(
    storage: Storage, postgres: str, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a verification waits for, it is given up in time, and then all is as before."""
    verifier = Verifier(storage, 5, 900)
    monkeypatch.setattr("barring.verification.verifier.TIME_LIMIT", 0.3)
    storage.add_failure(OWNER, failed)
    with psycopg.connect(postgres) as other:
        other.execute(f"LOCK TABLE {table}")
        for _ in range(3):
            began = time.monotonic()
            with pytest.raises(StorageUnavailable):
                verifier.verify(OWNER, "01")
            assert 0.3 <= time.monotonic() - began < 0.6
        other.rollback()
    assert len(storage.add_failure(OWNER, failed).failures) == 2
    storage.close()


def test_waits_for_connections_end_in_time(
    storage: PostgresStorage, postgres: str, server: str
) -> None:
    """Where the connection that was waited for is dead, the wait for another one is shorter."""
    storage._pool.resize(1, 1)
    storage.check_ready()
    name = postgres.rpartition("/")[2]
    with ThreadPoolExecutor(1) as pool, psycopg.connect(server, autocommit=True) as other:
        with storage._connection():
            waits = pool.submit(timed_find, storage, 1.0)
            other.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
            )
            time.sleep(0.6)
        assert waits.result() < 1.2
    storage.close()


def timed_find(storage: Storage, seconds: float) -> float:
    """How long a look-up takes that cannot succeed."""
    began = time.monotonic()
    with pytest.raises(StorageUnavailable), time_limit(seconds):
        storage.find(OWNER, "01", unlocked)
    return time.monotonic() - began
