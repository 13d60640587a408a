"""Clients that write, read and collide on the codes of a few owners until they are stopped."""

import random
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import httpx

from tests.service import GROUP_ADMIN

from .history import History
from .operations import GROUP, TENANT, Item, Kind, Operation, Outcome

CODES = [f"{number}" for number in range(100, 160)]
"""The pool from which every code is taken."""

BACK_OFF = 0.05
"""Seconds that a client leaves a service alone that it could not reach, or that answered 503."""


class Load:
    """While entered, `clients` use the service at `url`, which may come and go."""

    def __init__(
        self,
        history: History,
        url: str,
        *,
        clients: int = 8,
        owners: int = 6,
        tenants: Sequence[str] = ("footenant",),
    ) -> None:
        self.history = history
        self.url = url
        names = [GROUP, TENANT, *(f"owner{number}" for number in range(2, owners))]
        self.owners = [f"{name}@{tenant}" for name in names for tenant in tenants]
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=(number,)) for number in range(clients)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _work(self, number: int) -> None:
        choose = random.Random(number)
        with httpx.Client(base_url=self.url, headers=GROUP_ADMIN, timeout=30) as client:
            while not self._stopped.is_set():
                # In one thread, so that reads keep their share: they are much faster.
                operation = self._write(choose) if choose.random() < 0.6 else self._read(choose)
                self.history.perform(client, operation)
                if operation.outcome is Outcome.UNSENT or operation.failure == "503":
                    self._stopped.wait(BACK_OFF)

    def _write(self, choose: random.Random) -> Operation:
        owner = choose.choice(self.owners)
        kind = choose.choice((Kind.ADD, Kind.ADD, Kind.CHANGE, Kind.REMOVE, Kind.REMOVE))
        listed = kind is not Kind.CHANGE and choose.random() < 0.5
        codes = choose.sample(CODES, choose.randint(2, 20) if listed else 1)
        if kind is not Kind.REMOVE:
            return Operation(kind, owner, self.history.new_items(codes), listed)
        return Operation(kind, owner, tuple(Item(code, "") for code in codes), listed)

    def _read(self, choose: random.Random) -> Operation:
        owner = choose.choice(self.owners)
        if choose.random() < 0.5:
            return Operation(Kind.LIST, owner)
        return Operation(Kind.GET, owner, (Item(choose.choice(CODES), ""),))
