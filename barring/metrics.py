"""Metrics for Prometheus, counted from the events of the log.

The processes of a server count in memory that they share. It is not a file, so that neither a full
disk nor a program that cleans /tmp can lose a metric or fail a request.
"""

import mmap
from bisect import bisect_left
from collections.abc import Iterator
from functools import partial
from itertools import accumulate, chain
from operator import add
from typing import Any

import orjson

from barring.storage.base import Storage

from . import logs

_FAMILIES: dict[str, tuple[str, list[str]]] = {
    "barring_request_seconds": ("Durations of requests", ["method", "route", "status"]),
    "barring_refused_authentications": ("Requests that failed authentication", ["reason"]),
    "barring_database_errors": ("Requests with database errors", []),
    "barring_verifications": ("Verified codes", ["outcome"]),
    "barring_write_lock_wait_seconds": ("Time that writes waited for the write lock", []),
}
"""The text and the labels of each metric. Those in seconds are histograms, others counters."""

_LIMITS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_BUCKETS = (*map(str, _LIMITS), "+Inf")
"""The buckets of a histogram, by their upper limits in seconds."""

_KEY, _NUMBERS = 512, 8 * (len(_BUCKETS) + 1)
_ROW = _KEY + _NUMBERS
"""The bytes of a row: the name of a metric with the values of its labels, as JSON; how many
observations are in each bucket, and their sum. A counter's observations are all 0."""

_BLOCK = 8 + 1000 * _ROW
"""The bytes of a block: the number of its rows, and the rows. The kernel allocates those in use."""

_OUTCOMES = ("verified", "refused", "locked", "unavailable")
"""The operations of audit lines that are verifications."""


class Metrics:
    """The metrics of a server. Each of its processes counts in a block of its own."""

    def __init__(self, storage: Storage, workers: int) -> None:
        """Start counting from zero, in this process and in those forked from it."""
        # While a reload replaces the workers, there are twice as many.
        memory = memoryview(mmap.mmap(-1, (2 * workers + 16) * _BLOCK))
        self._blocks = [memory[start:][:_BLOCK] for start in range(0, len(memory), _BLOCK)]
        self._log_size = storage.log_size
        self.use(0)
        logs.listeners.append(self.count)
        storage.on_lock_wait = partial(self._observe, ("barring_write_lock_wait_seconds",))

    def use(self, number: int) -> None:
        """Count in this block, which no other process uses, and so continue its numbers."""
        # A process for which there is no block counts in memory that is not shown.
        (self._block, *_) = self._blocks[number:] or [memoryview(bytearray(_BLOCK))]
        self._rows = dict(_read(self._block))

    def count(self, event: str, values: dict[str, Any]) -> None:
        """Count an event of the log."""
        if event == "request":
            labels = values["method"], values["route"] or "none", str(values["status"])
            self._observe(("barring_request_seconds", *labels), values["ms"] / 1000)
        elif event == "refused_authentication":
            self._observe(("barring_refused_authentications", values["reason"]))
        elif event == "storage_unavailable":
            self._observe(("barring_database_errors",))
        elif event == "audit" and values["operation"] in _OUTCOMES:
            self._observe(("barring_verifications", values["operation"]))

    def _observe(self, key: tuple[str, ...], value: float = 0.0) -> None:
        numbers = self._rows.get(key) or self._new_row(key)
        numbers[bisect_left(_LIMITS, value)] += 1
        numbers[-1] += value

    def _new_row(self, key: tuple[str, ...]) -> "memoryview[float]":
        """The numbers of a new row; they are not shown if there is no room for it."""
        text = orjson.dumps(key).ljust(_KEY, b"\0")
        row = self._block[8 + len(self._rows) * _ROW :][:_ROW]
        if not row or len(text) > _KEY:
            return memoryview(bytearray(_NUMBERS)).cast("d")
        row[:_KEY] = text
        self._rows[key] = row[_KEY:].cast("d")
        self._block[:8] = len(self._rows).to_bytes(8)  # Only now is it read.
        return self._rows[key]

    def collect(self) -> Iterator[Any]:
        """The metrics of all processes since the server started, for prometheus_client."""
        # Here and not above: a service without metrics starts faster.
        from prometheus_client import core

        none = [0.0] * (len(_BUCKETS) + 1)
        totals = {tuple([name]): none for name, (_, labels) in _FAMILIES.items() if not labels}
        for key, numbers in chain.from_iterable(map(_read, self._blocks)):
            totals[key] = [*map(add, numbers, totals.get(key, none))]
        for name, (text, labels) in _FAMILIES.items():
            timed = name.endswith("_seconds")
            kind = core.HistogramMetricFamily if timed else core.CounterMetricFamily
            family: Any = kind(name, text, labels=labels)
            for key, (*counts, total) in totals.items():
                if key[0] == name:
                    buckets = [*zip(_BUCKETS, accumulate(counts), strict=True)]
                    family.add_metric(key[1:], *((buckets, total) if timed else buckets[-1][1:]))
            yield family
        yield core.GaugeMetricFamily("barring_wal_bytes", "Write-ahead log", self._log_size())


def _read(block: memoryview) -> Iterator[tuple[tuple[str, ...], "memoryview[float]"]]:
    """The keys and the numbers of the rows of a block."""
    for row in range(int.from_bytes(block[:8])):
        start = 8 + row * _ROW
        key = orjson.loads(bytes(block[start:][:_KEY]).rstrip(b"\0"))
        yield tuple(key), block[start + _KEY :][:_NUMBERS].cast("d")
