"""What befalls the nodes of a Citus cluster under load. `make test-cluster` runs this file."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.citus import Citus

from .history import History
from .load import Load
from .server import Server

pytestmark = pytest.mark.separate


def tenants_of_nodes(cluster: Citus, count: int = 4) -> dict[int, list[str]]:
    """So many tenants of each worker node."""
    nodes: dict[int, list[str]] = defaultdict(list)
    for number in range(10 * count):
        nodes[cluster.node_of(f"tenant{number}")].append(f"tenant{number}")
    return {node: nodes[node][:count] for node in (1, 2)}


def rate(history: History, seconds: float) -> float:
    """The writes that are acknowledged each second."""
    before = history.acknowledged
    time.sleep(seconds)
    return (history.acknowledged - before) / seconds


@contextmanager
def load(cluster: Citus, server: Server) -> Iterator[dict[int, History]]:
    """16 clients of a service, half of them for tenants of each worker node; what each half did."""
    histories = {node: History(late=True) for node in (1, 2)}
    with ExitStack() as stack:
        for node, tenants in tenants_of_nodes(cluster).items():
            stack.enter_context(Load(histories[node], server.service.url, tenants=tenants))
        await_more(*histories.values())
        yield histories


def await_more(*histories: History) -> None:
    """Return once more writes of each history were acknowledged."""
    for history in histories:
        history.await_acknowledged(history.acknowledged + 100)


def judge(server: Server, histories: dict[int, History], note: str) -> None:
    """Read everything, and fail unless every response can be explained."""
    for node, history in histories.items():
        with server.service.client() as client:
            history.read_all(client)
        history.judge(f"{note}, tenants of worker {node}")


def test_nodes_die_hang_and_are_added(tmp_path: Path, own_citus: Citus, postgres: str) -> None:
    """Tenants of other nodes go on, at least at half their rate; nothing is lost or torn."""
    settings = {"BARRING_DATABASE_URL": postgres}
    with Server(tmp_path, **settings) as server, server.service.client() as client:
        with load(own_citus, server) as histories:
            others = histories[2]
            before = rate(others, 3)
            own_citus.run("kill", "worker1")
            dead = rate(others, 3)
            assert client.get("/health/ready").status_code == 200
            own_citus.run("start", "worker1")
            await_more(*histories.values())
            own_citus.run("hang", "worker1")
            hung = rate(others, 10)
            assert client.get("/health/ready").status_code == 200
            own_citus.run("wake", "worker1")
            await_more(*histories.values())
            own_citus.run("add", str(own_citus.port + 3))
            own_citus.administer("SELECT citus_rebalance_start()")
            own_citus.administer("SELECT citus_rebalance_wait()")
            moved = own_citus.administer(
                f"SELECT shardid FROM pg_dist_shard_placement WHERE nodeport = {own_citus.port + 3}"
            )
            await_more(*histories.values())
        note = f"{before:.0f} writes/s, {dead:.0f} beside a dead node, {hung:.0f} beside a hung one"
        judge(server, histories, note)
    assert moved
    assert dead > before / 2
    assert hung > before / 2


@pytest.mark.usefixtures("postgres")
def test_coordinator_dies(tmp_path: Path, own_citus: Citus) -> None:
    """A service whose URL names the worker nodes does not notice it."""
    settings = {"BARRING_DATABASE_URL": own_citus.of_nodes(1, 2)}
    with Server(tmp_path, **settings) as server, server.service.client() as client:
        with load(own_citus, server) as histories:
            own_citus.run("kill", "coordinator")
            end = time.monotonic() + 4
            while time.monotonic() < end:
                assert client.get("/health/ready").status_code == 200
                await_more(*histories.values())
            own_citus.run("start", "coordinator")
        judge(server, histories, "the coordinator dead, through the worker nodes")
        assert not [line for line in server.service.log() if line.get("status", 0) >= 500]
