"""The storage contracts, kept by a database of several nodes; `make test-cluster` runs them."""

import pytest

from barring.storage import open_storage
from barring.storage.base import Storage
from tests.bulk_contract import BulkContract
from tests.lockout_contract import LockoutContract
from tests.storage_contract import StorageContract

pytestmark = pytest.mark.separate


class _Cluster:
    """Opens storages on the cluster."""

    @pytest.fixture(autouse=True)
    def _database(self, postgres: str) -> None:
        self.url = postgres

    def open(self) -> Storage:
        """A storage object on the cluster."""
        return open_storage(self.url)


class TestContract(_Cluster, StorageContract):
    """The contract of an owner's codes."""


class TestBulkContract(_Cluster, BulkContract):
    """The contract of many codes."""


class TestLockoutContract(_Cluster, LockoutContract):
    """The contract of lockouts."""

    def size(self) -> int:
        """Not measured: each node has a part of the rows."""
        return 0
