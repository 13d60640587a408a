"""Waiting for what another process brings about."""

import time
from collections.abc import Callable


def await_that(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Return once the condition is met; fail where it is not in this time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not met within {seconds} s"
        time.sleep(0.02)
