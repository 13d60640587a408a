"""What many tests share: an application in this process, and a real service beside it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from app import create_app
from barring.settings import Settings
from tests.service import GROUP_ADMIN, Service, running


@pytest.fixture
def make_client(tmp_path: Path) -> Callable[..., FlaskClient]:
    """Makes clients of an application with its own database; takes the fields of Settings."""

    def make(**settings: object) -> FlaskClient:
        settings.setdefault("database_url", f"sqlite:///{tmp_path / 'codes.sqlite3'}")
        client = create_app(Settings(**settings)).test_client()  # type: ignore[arg-type]
        client.environ_base.update({"HTTP_X_ROLE": GROUP_ADMIN["X-Role"]})
        return client

    return make


@pytest.fixture
def client(make_client: Callable[..., FlaskClient]) -> FlaskClient:
    """A client that is a Group Admin unless a request says otherwise."""
    return make_client()


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One real service for all tests; each takes owners of its own."""
    with running(tmp_path_factory.mktemp("service")) as started:
        yield started
