"""The thread for calls that block for long, where the server does not provide one."""

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from typing import Any

Threads = Callable[[int], Executor]
"""Makes an executor with so many threads."""


class DaemonThread(Executor):
    """One thread. Unlike a ThreadPoolExecutor's, it does not keep the process from ending."""

    def __init__(self, _: int = 1) -> None:
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call a function in the thread, after those submitted earlier."""
        future: Future[Any] = Future()

        def call() -> None:
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:
                future.set_exception(error)

        self._calls.put(call)
        return future

    def _run(self) -> None:
        while True:
            self._calls.get()()
