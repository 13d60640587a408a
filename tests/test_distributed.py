"""What a distributed database does differently, imitated by one PostgreSQL.

tests/test_cluster.py has the tests with Citus itself.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Event
from urllib.parse import urlsplit

import psycopg
import pytest

from barring.domain import AuthorizationCode as Code
from barring.domain import Owner
from barring.storage import open_storage
from barring.storage.base import OutcomeUnknown, Storage, StorageUnavailable
from barring.storage.postgres.connections import CONNECTIONS
from barring.storage.postgres.places import Places
from barring.storage.staging import Existing
from tests.bulk_contract import never, staged
from tests.lockout_contract import failed
from tests.storage_contract import OWNER
from tests.waiting import await_that

AWAY = Owner("away", "group", "user")
"""A user whose codes are on another database node."""

TABLES = ("authorization_codes", "lockouts", "barring_tenant_marks")

WRITES: dict[str, Callable[[Storage, Owner], object]] = {
    "add": lambda storage, owner: storage.add(owner, [Code("02", "")]),
    "add a list": lambda storage, owner: storage.add(owner, [Code("03", ""), Code("04", "")]),
    "change": lambda storage, owner: storage.change(owner, "01", {"description": "new"}),
    "remove": lambda storage, owner: storage.remove(owner, ["01"]),
    "remove nothing": lambda storage, owner: storage.remove(owner, ["09"]),
    "add a failure": lambda storage, owner: storage.add_failure(owner, failed),
    "remove a lockout": lambda storage, owner: storage.remove_lockout(owner),
}
READS: dict[str, Callable[[Storage, Owner], object]] = {
    "list": lambda storage, owner: storage.list(owner),
    "get": lambda storage, owner: storage.get(owner, "01"),
    "find": lambda storage, owner: storage.find(owner, "01", lambda *_: False),
    "lockout": lambda storage, owner: storage.lockout(owner),
}
CALLS = READS | WRITES


@pytest.fixture
def storage(postgres: str) -> Iterator[Storage]:
    """A prepared storage with a code."""
    with closing(open_storage(postgres)) as storage:
        storage.prepare()
        storage.add(OWNER, [Code("01", "one")])
        yield storage


@pytest.mark.parametrize(
    "notice",
    [
        "EXCEPTION 'could not commit transaction for shard 102008 on at least 1 active node'"
        " USING ERRCODE = 'XX000'",
        "WARNING 'connection to the remote node failed'",
    ],
    ids=["error", "warning"],
)
@pytest.mark.parametrize("write", WRITES)
def test_commit_with_an_error_may_have_happened(
    storage: Storage, postgres: str, write: str, notice: str
) -> None:
    """A commit that fails with SQLSTATE XX000, or succeeds with a warning, is not acknowledged."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION doubt() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE {notice}; RETURN NULL; END $$"
        )
        connection.execute(
            "CREATE CONSTRAINT TRIGGER doubt AFTER INSERT OR UPDATE ON barring_tenant_marks"
            " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION doubt()"
        )
    with pytest.raises(OutcomeUnknown):
        WRITES[write](storage, OWNER)


@pytest.fixture
def _wrong_row_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The database counts wrongly what a statement wrote."""
    monkeypatch.setattr(psycopg.Cursor, "rowcount", property(lambda _: 999))


@pytest.mark.usefixtures("_wrong_row_counts")
@pytest.mark.parametrize(("existing", "count"), [("fail", 1), ("skip", 1), ("replace", 2)])
@pytest.mark.parametrize("dry_run", [False, True])
def test_imported_codes_are_counted(
    storage: Storage, existing: Existing, count: int, dry_run: bool
) -> None:
    """What an import reports does not depend on the row count of the database."""
    told: list[object] = []
    with storage.staging() as staging:
        staging.put([staged(2, "01", "new"), staged(3, "02", "new")])
        added = staging.add(existing, told.append, keep_going=True, dry_run=dry_run)
    assert (added, len(told)) == (count, existing == "fail")
    with storage.staging() as staging:
        staging.put([staged(2, "01"), staged(3, "02"), staged(4, "09")])
        assert staging.remove(dry_run=dry_run) == (1 if dry_run else 2)
        assert dry_run or staging.add("fail", never, keep_going=False) == 3


@pytest.mark.usefixtures("_wrong_row_counts")
def test_removed_lockouts_and_codes_are_counted(storage: Storage) -> None:
    """What a removal reports does not depend on the row count of the database."""
    assert not storage.remove_lockout(OWNER)
    storage.add_failure(OWNER, failed)
    assert storage.remove_lockout(OWNER)
    assert [*storage.remove(OWNER, ["01", "02"])] == [Code("01", "one")]


@pytest.fixture
def nodes(storage: Storage, postgres: str) -> Iterator[psycopg.Connection[tuple[int]]]:
    """Lets each access to the rows of the tenant `away` do what `away()` does.

    A connection of the database's owner, to whom that does not apply.
    """
    storage.add(AWAY, [Code("01", "one")])
    storage.add_failure(AWAY, failed)
    with psycopg.connect(postgres, autocommit=True) as connection:
        # The function is expensive, so that PostgreSQL compares the tenant first.
        connection.execute(
            "CREATE ROLE barring_test LOGIN;"
            "GRANT ALL ON ALL TABLES IN SCHEMA public TO barring_test;"
            "CREATE FUNCTION away() RETURNS boolean LANGUAGE sql AS 'SELECT true';"
            "CREATE FUNCTION reachable(tenant text) RETURNS boolean LANGUAGE plpgsql COST 1000000"
            " AS $$ BEGIN RETURN tenant <> 'away' OR away(); END $$"
        )
        for table in TABLES:
            connection.execute(
                f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;"
                f"CREATE POLICY reachable ON {table} USING (reachable(tenant_id))"
            )
        try:
            yield connection
        finally:
            connection.execute("DROP OWNED BY barring_test; DROP ROLE barring_test")


def let_node(connection: psycopg.Connection[tuple[int]], action: str) -> None:
    """Let the node of the tenant `away` do something for each access."""
    connection.execute(
        "CREATE OR REPLACE FUNCTION away() RETURNS boolean LANGUAGE plpgsql AS "
        f"$$ BEGIN {action}; RETURN true; END $$"
    )


@pytest.fixture
def behind_nodes(nodes: object, postgres: str) -> Iterator[Storage]:
    """A storage to whose accesses the nodes apply."""
    url = urlsplit(postgres)
    user = url._replace(netloc=f"barring_test@{url.netloc.rpartition('@')[2]}").geturl()
    with closing(open_storage(user)) as storage:
        yield storage


def test_dead_node_concerns_its_tenants_alone(
    behind_nodes: Storage, nodes: psycopg.Connection[tuple[int]]
) -> None:
    """Readiness and all calls for other tenants go on; those of its own change nothing."""
    for call in CALLS.values():
        call(behind_nodes, AWAY._replace(user="other"))
    let_node(nodes, "RAISE 'connection to the remote node failed' USING ERRCODE = '08006'")
    for call in CALLS.values():
        with pytest.raises(StorageUnavailable, match="08006") as caught:
            call(behind_nodes, AWAY)
        assert not isinstance(caught.value, OutcomeUnknown)
    behind_nodes.check_ready()
    for call in CALLS.values():
        call(behind_nodes, OWNER._replace(user="other"))
    let_node(nodes, "NULL")
    assert behind_nodes.list(AWAY) == [Code("01", "one")]


def test_writes_that_wait_leave_reads_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many tenants' writes wait, for a standby for example, fewer than the connections."""
    monkeypatch.setattr("barring.storage.postgres.places.STALLED", 0.02)
    monkeypatch.setattr("barring.storage.postgres.places.CHECKOUT_SECONDS", 0.5)
    places, begun, end = Places("a database"), [], Event()

    def write(number: int) -> None:
        with places.take(f"tenant{number}", writes=True):
            begun.append(number)
            end.wait(20)

    with ThreadPoolExecutor(60) as pool:
        writes = [pool.submit(write, number) for number in range(60)]
        await_that(lambda: sum(each.done() for each in writes) == 60 - len(begun))
        with places.take("tenant0", writes=False):
            end.set()
    assert 12 < len(begun) <= CONNECTIONS - 4


@pytest.mark.parametrize("call", ["add", "list"])
def test_hung_node_leaves_others_room(
    behind_nodes: Storage, nodes: psycopg.Connection[tuple[int]], call: str
) -> None:
    """While many calls wait for a node that hangs, those for other tenants soon go on."""
    let_node(nodes, "PERFORM pg_sleep(60)")
    with ThreadPoolExecutor(100) as pool:
        began = time.monotonic()
        hung = [pool.submit(CALLS[call], behind_nodes, AWAY) for _ in range(100)]
        rates = []
        while not all(waiting.done() for waiting in hung):
            before = time.monotonic()
            behind_nodes.list(OWNER)
            behind_nodes.remove(OWNER, ["01"])
            behind_nodes.check_ready()
            rates.append(time.monotonic() - before)
    assert all(isinstance(waiting.exception(), StorageUnavailable) for waiting in hung)
    assert max(rates) < 2.5
    assert sum(rate for rate in rates if rate > 0.1) < (time.monotonic() - began) / 2
