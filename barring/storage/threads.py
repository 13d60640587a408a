"""Threads for calls that block for long, where the server does not provide one."""

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

Threads = Callable[[int], Executor]
"""Creates an executor with the given number of threads."""


class DaemonThreads(Executor):
    """Runs one daemon thread at a time. Unlike ThreadPoolExecutor, it lets the process exit."""

    def __init__(self, _: int = 1) -> None:
        self._turn = threading.Lock()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call a function in a new thread, as soon as no other call is running."""
        future: Future[Any] = Future()

        def call() -> None:
            with self._turn:
                try:
                    future.set_result(fn(*args, **kwargs))
                except BaseException as error:
                    future.set_exception(error)

        threading.Thread(target=call, daemon=True).start()
        return future
