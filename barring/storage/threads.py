"""Threads for what blocks for long, where no server hands in its own."""

import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from queue import SimpleQueue
from typing import Any

Threads = Callable[[int], Executor]
"""Makes so many threads."""


class DaemonThread(Executor):
    """One thread. Unlike a ThreadPoolExecutor's, it keeps no process from ending."""

    def __init__(self, _: int = 1) -> None:
        self._calls: SimpleQueue[Any] = SimpleQueue()
        threading.Thread(target=_run, args=(self._calls,), daemon=True).start()
        weakref.finalize(self, self._calls.put, None)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call a function in the thread, after those submitted before."""
        future: Future[Any] = Future()
        self._calls.put((future, partial(fn, *args, **kwargs)))
        return future


def _run(calls: "SimpleQueue[Any]") -> None:
    while task := calls.get():
        future, call = task
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)
        del task, future, call  # While it waits, the thread must keep no storage alive.
