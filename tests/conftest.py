"""What many tests share: an application in this process, and a real service beside it."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from app import create_app
from barring.settings import Settings
from tests.binary import SERVE, Binaries, Forwarder
from tests.citus import Citus, citus, create_tables, empty
from tests.postgres import cluster, database
from tests.service import GROUP_ADMIN, LEVELS, TENANT_ADMIN, Service, running


def pytest_addoption(parser: pytest.Parser) -> None:
    """Give pytest the options --binary and --postgres, and those of `make test-cluster`."""
    parser.addoption("--binary", action="store_true", help="ask dist/barring what tests ask")
    parser.addoption("--postgres", action="store_true", help="keep the codes in PostgreSQL")
    parser.addoption("--cluster-url", help="the PostgreSQL database to use; the tests empty it")
    parser.addoption("--prepare-sql", type=Path, help="SQL to run after its tables are created")
    parser.addoption("--citus", metavar="TOOL", help="what starts a Citus cluster to use")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With --binary run the tests that ask a service; with --postgres those in this process."""
    ask = set()
    if config.getoption("--binary"):
        ask = {"make_client", "service"}
    elif config.getoption("--postgres"):
        ask = {"make_client"}
    if ask:
        items[:] = [item for item in items if ask & set(getattr(item, "fixturenames", ()))]


@pytest.fixture
def make_client(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., FlaskClient]:
    """Makes clients of an application with its own database; takes the fields of Settings."""
    binaries: Binaries | None = None
    database_url = f"sqlite:///{tmp_path / 'codes.sqlite3'}"
    if request.config.getoption("--binary"):
        binaries = request.getfixturevalue("binaries")
        database_url = binaries.database_url
        binaries.empty()
    elif request.config.getoption("--postgres"):
        database_url = request.getfixturevalue("postgres")

    def make(**settings: Any) -> FlaskClient:
        app = create_app(Settings(database_url=database_url, **settings))
        if binaries:
            app.wsgi_app = Forwarder(app, binaries, settings)  # type: ignore[method-assign]
        client = app.test_client()
        client.environ_base.update({"HTTP_X_ROLE": GROUP_ADMIN["X-Role"]})
        return client

    return make


@pytest.fixture
def client(make_client: Callable[..., FlaskClient]) -> FlaskClient:
    """A client that is a Group Admin unless a request says otherwise."""
    return make_client()


@pytest.fixture
def admin(client: FlaskClient) -> FlaskClient:
    """A client that may write at every level."""
    client.environ_base["HTTP_X_ROLE"] = TENANT_ADMIN["X-Role"]
    return client


@pytest.fixture(params=LEVELS)
def path(request: pytest.FixtureRequest) -> str:
    """The path of the codes of an owner, for each level."""
    return LEVELS[request.param]


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The URL of a server for all tests."""
    if url := os.environ.get("BARRING_TEST_POSTGRES_URL"):
        yield url
        return
    with cluster("fsync = off\n") as started:
        yield started.url


@pytest.fixture(scope="session")
def own_citus(request: pytest.FixtureRequest) -> Iterator[Citus]:
    """A Citus cluster for all tests, with --citus."""
    with citus(request.config.getoption("--citus")) as started:
        yield started


@pytest.fixture(scope="session")
def cluster_url(request: pytest.FixtureRequest) -> str | None:
    """The URL of the database with the service's tables that all tests use, if there is one."""
    if request.config.getoption("--citus"):
        return str(request.getfixturevalue("own_citus").url)
    url: str | None = request.config.getoption("--cluster-url")
    if url:
        create_tables(url, request.config.getoption("--prepare-sql"))
    return url


@pytest.fixture
def postgres(request: pytest.FixtureRequest, cluster_url: str | None) -> Iterator[str]:
    """The URL of an empty database for one test."""
    if cluster_url:
        empty(cluster_url)
        yield cluster_url
        return
    with database(request.getfixturevalue("server")) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the database of one test is: in a file of its folder, and then in PostgreSQL."""
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres"))
    return f"sqlite:///{tmp_path / 'codes.sqlite3'}"


@pytest.fixture(scope="session")
def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """One real service for all tests; each takes owners of its own."""
    command = SERVE if request.config.getoption("--binary") else ()
    with running(tmp_path_factory.mktemp("service"), command=command) as started:
        yield started


@pytest.fixture(scope="session")
def binaries(service: Service) -> Iterator[Binaries]:
    """The binaries that run, with --binary."""
    with closing(Binaries(service)) as made:
        yield made
