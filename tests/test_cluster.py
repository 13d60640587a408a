"""The storage contracts, kept by a database of several nodes; `make test-cluster` runs them."""

import pytest

from tests.bulk_contract import BulkContract
from tests.engines import Postgres
from tests.lockout_contract import LockoutContract
from tests.storage_contract import StorageContract

pytestmark = pytest.mark.separate


class TestContract(Postgres, StorageContract):
    """The contract of an owner's codes."""


class TestBulkContract(Postgres, BulkContract):
    """The contract of many codes."""


class TestLockoutContract(Postgres, LockoutContract):
    """The contract of lockouts."""

    def size(self) -> int:
        """Not measured: each node has a part of the rows."""
        return 0
