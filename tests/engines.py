"""How the contracts of each engine open their storages."""

from pathlib import Path

import pytest

from barring.storage import open_storage
from barring.storage.base import Storage
from barring.storage.sqlite.engine import SQLiteStorage
from tests.storage_contract import EngineContract


class SQLite(EngineContract):
    """Opens storages on one file, which the fixture `path` of the test's module names."""

    @pytest.fixture(autouse=True)
    def _database(self, path: Path) -> None:
        self.path = path

    def open(self) -> SQLiteStorage:
        """A storage object on this test's file."""
        return SQLiteStorage(str(self.path))


class Postgres(EngineContract):
    """Opens storages on one database."""

    @pytest.fixture(autouse=True)
    def _database(self, postgres: str) -> None:
        self.url = postgres

    def open(self) -> Storage:
        """A storage object on this test's database."""
        return open_storage(self.url)
