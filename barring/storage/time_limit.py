"""A time limit for all that a task asks of a storage, waits included."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_deadline = ContextVar("deadline", default=math.inf)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Let calls of a storage raise StorageUnavailable once the context has lasted so long."""
    token = _deadline.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)


def seconds_left(most: float) -> float:
    """For how long a call may wait: until the time limit, but at most `most` seconds."""
    return max(0.001, min(most, _deadline.get() - time.monotonic()))
