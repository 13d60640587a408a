"""The thread for calls that block for long, where the server does not provide one."""

import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from queue import SimpleQueue
from typing import Any

Threads = Callable[[int], Executor]
"""Makes an executor with so many threads."""


class DaemonThread(Executor):
    """One thread. Unlike a ThreadPoolExecutor's, it does not keep the process from ending."""

    def __init__(self, _: int = 1) -> None:
        self._calls: SimpleQueue[Any] = SimpleQueue()
        threading.Thread(target=_run, args=(self._calls,), daemon=True).start()
        weakref.finalize(self, self._calls.put, None)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call a function in the thread, after those submitted earlier."""
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
        del task, future, call  # So that the waiting thread does not keep a storage alive.
