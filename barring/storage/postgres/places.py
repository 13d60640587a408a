"""A limit for the calls that use the database at once, so that a node that hangs blocks few."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from barring.storage.base import StorageUnavailable
from barring.storage.time_limit import seconds_left

CHECKOUT_SECONDS = 3.0
"""How long a request waits for a place or a connection, and for a server that accepts writes."""

PLACES = 16
"""The maximum per worker. More calls than the database has processors do not help."""

WRITE_PLACES = PLACES * 3 // 4
"""A quarter of the places is for reads, so that writes that wait cannot block them."""

STALLED = 1.0
"""Seconds after which a call frees its place for another: the node of its tenant may hang."""

MAX_STALLED = 8
"""As many such calls block further calls of the same tenants. Writes do not block reads."""


class _Call:
    """A call for a tenant, and the semaphores that it holds."""

    def __init__(self, tenant: str, writes: bool) -> None:
        self.tenant, self.writes = tenant, writes
        self.began = time.monotonic()
        self.held: list[threading.Semaphore] = []

    def free_place(self) -> None:
        """Release each semaphore once, also if several threads do it."""
        with suppress(IndexError):
            while True:
                self.held.pop().release()


class Places:
    """The places for the calls of one process."""

    def __init__(self, database: str) -> None:
        self._database = database
        self._all = threading.BoundedSemaphore(PLACES)
        self._writes = threading.BoundedSemaphore(WRITE_PLACES)
        self._calls: set[_Call] = set()

    @contextmanager
    def take(self, tenant: str, *, writes: bool) -> Iterator[None]:
        """A place for a call. Raises StorageUnavailable if there is none in time."""
        call, seconds = _Call(tenant, writes), seconds_left(CHECKOUT_SECONDS)
        deadline = call.began + seconds
        try:
            while not self._enter(call, deadline):
                if time.monotonic() > deadline:
                    busy = f"{self._database}: other calls took over {seconds:.1g} seconds"
                    raise StorageUnavailable(busy)
            yield
        finally:
            self._calls.discard(call)
            call.free_place()

    def _enter(self, call: _Call, deadline: float) -> bool:
        """Wait a while for a place, and return whether there was one."""
        for places in (self._writes, self._all) if call.writes else (self._all,):
            if not places.acquire(timeout=max(0, min(STALLED, deadline - time.monotonic()))):
                break
            call.held.append(places)
        now = time.monotonic()
        stalled = [each for each in [*self._calls] if each.began + STALLED < now]
        # Reads go on while only writes wait, for a standby or a lock.
        ahead = [each.tenant for each in stalled if call.writes or not each.writes]
        blocked = len(ahead) >= MAX_STALLED and call.tenant in ahead
        if call.writes:
            writes = sum(each.writes for each in [*self._calls])
            blocked |= writes >= WRITE_PLACES + MAX_STALLED
        if len(call.held) == 1 + call.writes and not blocked:
            call.began = now
            self._calls.add(call)
            return True
        for each in (call, *stalled):
            each.free_place()
        time.sleep(STALLED / 10)
        return False
