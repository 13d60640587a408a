"""The figures of /metrics in Prometheus' form, gathered from the events that also make the log.

prometheus_client keeps figures of several processes in files, and decides so when it is imported:
hence it is imported only here, by `enable`, once the folder of those files is set.
"""

import atexit
import contextlib
import functools
import os
import shutil
import tempfile
from typing import Any

from barring.storage.base import Storage

from . import logs

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The figures of this process; `exposition` adds those of all others."""

    def __init__(self) -> None:
        """Begin to count. Once a process: the names are taken then."""
        from prometheus_client import Counter, Histogram

        self.requests = Histogram(
            "barring_request_seconds",
            "Requests by route template and status",
            ["method", "route", "status"],
        )
        self.refusals = Counter(
            "barring_refused_authentications", "Callers that did not prove to be one", ["reason"]
        )
        self.database_errors = Counter(
            "barring_database_errors", "Requests that the database could not answer"
        )
        self.lock_wait = Histogram(
            "barring_write_lock_wait_seconds", "How long writes waited for their turn"
        )
        # prometheus_client itself would look them up under a lock.
        self._labelled = functools.cache(self.requests.labels)
        logs.listeners.append(self.count)

    def count(self, event: str, values: dict[str, Any]) -> None:
        """Count an event. That its files are lost, cleaned from /tmp say, fails no request."""
        # What prometheus_client could not open, it takes for open from the second time on.
        with contextlib.suppress(OSError, TypeError):
            if event == "request":
                labels = values["method"], values["route"] or "none", values["status"]
                self._labelled(*labels).observe(values["ms"] / 1000)
            elif event == "refused_authentication":
                self.refusals.labels(values["reason"]).inc()
            elif event == "storage_unavailable":
                self.database_errors.inc()
            elif event == "write":
                self.lock_wait.observe(values["waited"])

    def exposition(self) -> bytes:
        """The figures of all processes since the server started, as text."""
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.multiprocess import MultiProcessCollector

        registry = CollectorRegistry()
        MultiProcessCollector(registry)
        return generate_latest(registry)


def enable(storage: Storage) -> Metrics:
    """Count, from now on, in this process and those forked from it, from nothing."""
    folder = tempfile.mkdtemp(prefix="barring-metrics-")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
    # At the end of this process alone: those forked from it count on until theirs.
    atexit.register(_discard, folder, os.getpid())
    metrics = Metrics()
    storage.on_lock_wait = lambda seconds: metrics.count("write", {"waited": seconds})
    return metrics


def _discard(folder: str, process: int) -> None:
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)
