"""Pauses in long work, so that it does not block the other requests of its process."""

import threading
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")

PART = 1000
"""The number of list items that are processed between two pauses: about a millisecond of work."""

MOMENT = 1e-9
"""Seconds to sleep. With 0 gevent would run all ready callbacks before it polls for events."""

_gate = threading.Lock()


def give_way() -> None:
    """Let other threads run, or other greenlets where the standard library is patched."""
    time.sleep(MOMENT)


def pause() -> None:
    """Give way in long work.

    All long work shares one lock, so that between two parts every other greenlet gets its turn.
    """
    with _gate:
        give_way()


def in_parts(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """The items in parts, with a pause before each but the first."""
    for start in range(0, len(items), PART):
        if start:
            pause()
        yield items[start : start + PART]
