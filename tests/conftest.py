"""What many tests share: an application in this process, and a real service beside it."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from app import create_app
from barring.settings import Settings
from tests import binary
from tests.postgres import cluster, database
from tests.service import GROUP_ADMIN, Service, running


def pytest_addoption(parser: pytest.Parser) -> None:
    """Give pytest the options --binary and --postgres."""
    parser.addoption("--binary", action="store_true", help="ask dist/barring what tests ask")
    parser.addoption("--postgres", action="store_true", help="keep the codes in PostgreSQL")


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
def make_client(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[..., FlaskClient]]:
    """Makes clients of an application with its own database; takes the fields of Settings."""
    with ExitStack() as started:

        def make(**settings: object) -> FlaskClient:
            service: Service | None = None
            if request.config.getoption("--postgres"):
                settings.setdefault("database_url", request.getfixturevalue("postgres"))
            if request.config.getoption("--binary") and not settings:
                service = request.getfixturevalue("service")
                binary.empty(service.database)
            file = service.database if service else tmp_path / "codes.sqlite3"
            settings.setdefault("database_url", f"sqlite:///{file}")
            app = create_app(Settings(**settings))  # type: ignore[arg-type]
            if request.config.getoption("--binary"):
                app.wsgi_app = binary.Forwarder(app, settings, started, service)  # type: ignore[method-assign]
            client = app.test_client()
            client.environ_base.update({"HTTP_X_ROLE": GROUP_ADMIN["X-Role"]})
            return client

        yield make


@pytest.fixture
def client(make_client: Callable[..., FlaskClient]) -> FlaskClient:
    """A client that is a Group Admin unless a request says otherwise."""
    return make_client()


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The URL of a server for all tests."""
    if url := os.environ.get("BARRING_TEST_POSTGRES_URL"):
        yield url
        return
    with cluster("fsync = off\n") as started:
        yield started.url


@pytest.fixture
def postgres(server: str) -> Iterator[str]:
    """The URL of an empty database for one test."""
    with database(server) as url:
        yield url


@pytest.fixture(scope="session")
def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """One real service for all tests; each takes owners of its own."""
    command = binary.SERVE if request.config.getoption("--binary") else ()
    with running(tmp_path_factory.mktemp("service"), command=command) as started:
        yield started
