"""The PostgreSQL engine: the storage contract, and what is its own."""

import pytest

from barring.storage import Storage, open_storage
from tests.storage_contract import StorageContract


class TestContract(StorageContract):
    """The storage contract, kept by PostgreSQL."""

    @pytest.fixture(autouse=True)
    def _database(self, postgres: str) -> None:
        self.url = postgres

    def open(self) -> Storage:
        """A storage object on this test's database."""
        return open_storage(self.url, 16)
