"""Metrics for Prometheus, collected from the events of the log.

When prometheus_client is imported, it decides whether processes share their metrics through files.
Therefore it is imported only after `enable` has set the directory of these files.
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


_OUTCOMES = ("verified", "refused", "locked", "unavailable")
"""The operations of audit lines that are verifications."""


class Metrics:
    """The metrics of this process; `render` adds those of the others."""

    def __init__(self) -> None:
        """Start counting. Only one per process: prometheus_client registers the names."""
        from prometheus_client import Counter, Histogram

        labels = ["method", "route", "status"]
        self.requests = Histogram("barring_request_seconds", "Durations of requests", labels)
        self.refusals = Counter("barring_refused_authentications", "Refused callers", ["reason"])
        self.database_errors = Counter("barring_database_errors", "Requests with database errors")
        self.verifications = Counter("barring_verifications", "Verified codes", ["outcome"])
        self.lock_wait = Histogram("barring_write_lock_wait_seconds", "Waits for the write lock")
        # Cached, because prometheus_client looks labels up under a lock.
        self._labelled = functools.cache(self.requests.labels)
        logs.listeners.append(self.count)

    def count(self, event: str, values: dict[str, Any]) -> None:
        """Count an event. No request fails if the files are lost, for example cleaned from /tmp.

        tests/test_health.py: test_lost_files_of_metrics_fail_no_request.
        """
        # After a failure to open its file, prometheus_client raises TypeError.
        with contextlib.suppress(OSError, TypeError):
            if event == "request":
                labels = values["method"], values["route"] or "none", values["status"]
                self._labelled(*labels).observe(values["ms"] / 1000)
            elif event == "refused_authentication":
                self.refusals.labels(values["reason"]).inc()
            elif event == "storage_unavailable":
                self.database_errors.inc()
            elif event == "audit" and values["operation"] in _OUTCOMES:
                self.verifications.labels(values["operation"]).inc()
            elif event == "write":
                self.lock_wait.observe(values["waited"])

    def render(self) -> bytes:
        """The metrics of all processes since the server started, in Prometheus' text format."""
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.multiprocess import MultiProcessCollector

        registry = CollectorRegistry()
        MultiProcessCollector(registry)
        return generate_latest(registry)


def enable(storage: Storage) -> Metrics:
    """Start counting from zero, in this process and in those forked from it."""
    folder = tempfile.mkdtemp(prefix="barring-metrics-")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
    # Only when this process exits, not when one that was forked from it does.
    atexit.register(_remove, folder, os.getpid())
    metrics = Metrics()
    storage.on_lock_wait = lambda seconds: metrics.count("write", {"waited": seconds})
    return metrics


def _remove(folder: str, process: int) -> None:
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)
