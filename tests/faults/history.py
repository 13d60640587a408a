"""The history: what clients asked over HTTP, when, and what they were told.

`History.perform` sends a request and keeps its outcome; `History.check` judges them all.
"""

import itertools
import threading
import time
from collections.abc import Iterable

import httpx

from .checker import Report, check
from .operations import Item, Kind, Operation, Outcome

ROLE = {"X-Role": "Tenant Admin"}
"""Who may read and write at every level."""


class History:
    """The operations of many threads, in no order.

    `late` where a write whose outcome is told to be unknown may take effect after its answer.
    """

    def __init__(self, *, late: bool = False) -> None:
        self.late = late
        self.operations: list[Operation] = []
        self.faults = 0
        self.acknowledged = 0
        self._progress = threading.Condition()
        self._descriptions = itertools.count()

    def new_items(self, codes: Iterable[str]) -> tuple[Item, ...]:
        """Items with a description that no other request has; half also have such a class."""
        number = next(self._descriptions)
        description = f"request {number}"
        return tuple(Item(code, description, description * (number % 2)) for code in codes)

    def perform(self, client: httpx.Client, operation: Operation) -> Operation:
        """Send a request and keep its outcome."""
        method, path, body = operation.request()

        def trace(event: str, _: object) -> None:
            if event == "connection.connect_tcp.started":
                operation.connected = time.monotonic()

        operation.start = time.monotonic()
        try:
            response = client.request(
                method, path, json=body, headers=ROLE, extensions={"trace": trace}
            )
            operation.answered(response)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            operation.outcome, operation.failure = Outcome.UNSENT, repr(error)
        except httpx.TransportError as error:
            operation.failure = repr(error)
        # Who answered or broke the connection will do no more; who was waited for in vain may.
        late = self.late and operation.outcome is Outcome.UNKNOWN
        if "Timeout" not in operation.failure and not late:
            operation.end = time.monotonic()
        self._keep(operation)
        return operation

    def observe(self, owner: str, content: Iterable[Item], start: float, end: float) -> None:
        """Add what a copy, taken between these times, holds of an owner."""
        found = frozenset(Item(*item) for item in content)
        told = Outcome.ACKNOWLEDGED
        self._keep(Operation(Kind.LIST, owner, (), True, start, end, told, found))

    def settle(self) -> None:
        """Note that each write told to be unknown so far has taken effect by now, or never will."""
        with self._progress:
            for operation in self.operations:
                if operation.outcome is Outcome.UNKNOWN:
                    operation.end = min(operation.end, time.monotonic())

    def read_all(self, client: httpx.Client, seconds: float = 30) -> None:
        """Read what every owner has now, to end with."""
        deadline = time.monotonic() + seconds
        for owner in sorted({operation.owner for operation in self.operations}):
            while self.perform(client, Operation(Kind.LIST, owner)).failure:
                assert time.monotonic() < deadline, "the service does not answer"
                time.sleep(0.05)

    def await_acknowledged(self, count: int, seconds: float = 30) -> None:
        """Return once so many writes have been acknowledged in all."""
        with self._progress:
            enough = self._progress.wait_for(lambda: self.acknowledged >= count, seconds)
        assert enough, f"{self.acknowledged} writes acknowledged after {seconds} s, not {count}"

    def _keep(self, operation: Operation) -> None:
        with self._progress:
            self.operations.append(operation)
            if operation.changes and operation.outcome is Outcome.ACKNOWLEDGED:
                self.acknowledged += 1
                self._progress.notify_all()

    def check(self) -> Report:
        """The figures, and whether every answer can be explained."""
        return check(self.operations, self.faults)

    def judge(self, note: str) -> Report:
        """Print the figures, and fail unless every answer can be explained."""
        report = self.check()
        print(f"\n{note}: {report}")
        report.assert_clean()
        return report
