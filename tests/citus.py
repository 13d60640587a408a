"""A database of several nodes for tests: a Citus cluster that a tool starts, or one that exists."""

import contextlib
import random
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg

from barring.storage import open_storage
from tests.service import ROOT

TABLES = (
    "authorization_codes",
    "lockouts",
    "barring_tenant_marks",
    "barring_marks",
    "barring_migrations",
)
DISTRIBUTE = ROOT / "deploy" / "citus.sql"


def execute(url: str, *statements: str) -> list[tuple[object, ...]]:
    """The rows of the last of these statements, each of which is a transaction."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement)
        return list(cursor) if cursor.description else []


def create_tables(url: str, prepare_sql: Path | None) -> None:
    """Replace the tables of a database, as its operator creates them; its codes are lost."""
    execute(url, *(f"DROP TABLE IF EXISTS {table} CASCADE" for table in TABLES))
    with contextlib.closing(open_storage(url)) as storage:
        storage.prepare()
    if prepare_sql:
        lines = [line for line in prepare_sql.read_text().splitlines() if line[:2] != "--"]
        execute(url, *filter(str.strip, "\n".join(lines).split(";")))


def empty(url: str) -> None:
    """Remove everything that the service has stored."""
    execute(url, *(f"DELETE FROM {table}" for table in TABLES[:3]))


def _free_ports(count: int) -> int:
    """The first of so many adjacent ports that nobody listens at, and that no client gets."""
    while True:
        first = random.randrange(20_000, 30_000)
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            for port in range(first, first + count):
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
            return first


class Citus:
    """A coordinator and two worker nodes; `run` has the commands of the tool."""

    def __init__(self, tool: str, folder: Path) -> None:
        self.folder = folder
        self._tool = tool
        self.port = _free_ports(4)

    def run(self, command: str, *arguments: str) -> None:
        """Run a command of the tool, such as kill, start, hang or wake, on a node."""
        subprocess.run(
            [self._tool, command, str(self.folder), *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
        )

    @property
    def url(self) -> str:
        """The database, through the coordinator."""
        return self.of_nodes(0)

    def of_nodes(self, *nodes: int, user: str = "barring") -> str:
        """The database through these nodes, of which 0 is the coordinator."""
        hosts = ",".join(f"127.0.0.1:{self.port + node}" for node in nodes)
        balance = "?load_balance_hosts=random" if len(nodes) > 1 else ""
        return f"postgresql://{user}@{hosts}/codes{balance}"

    def administer(self, statement: str) -> list[tuple[object, ...]]:
        """The rows of a statement of the superuser on the coordinator."""
        return execute(self.of_nodes(0, user="postgres"), statement)

    def node_of(self, tenant: str) -> int:
        """The number of the node that has the codes of a tenant."""
        ((port,),) = self.administer(
            "SELECT nodeport FROM pg_dist_shard_placement WHERE shardid ="
            f" get_shard_id_for_distribution_column('authorization_codes', '{tenant}')"
        )
        assert isinstance(port, int)
        return port - self.port


@contextlib.contextmanager
def citus(tool: str) -> Iterator[Citus]:
    """A cluster that runs, with the tables of the service, and is gone afterwards."""
    parent = Path(tempfile.mkdtemp(prefix="barring-citus-"))
    parent.chmod(0o755)  # The servers run as another user.
    cluster = Citus(tool, parent / "cluster")
    try:
        cluster.run("up", str(cluster.port))
        # Few shards, so that tests take less time.
        cluster.administer("ALTER DATABASE codes SET citus.shard_count = 4")
        create_tables(cluster.url, DISTRIBUTE)
        yield cluster
    finally:
        if cluster.folder.exists():
            cluster.run("down")
        shutil.rmtree(parent)
