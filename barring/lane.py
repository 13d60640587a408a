"""Connections of a worker, whose requests one thread at a time answers, one after the other."""

import math
import selectors
import threading
import time
from collections.abc import Callable, Collection
from typing import Any, Protocol

WAIT = 0.01
"""Seconds for which the thread that leads waits for a request on any connection."""

STALL = 0.02
"""Seconds after which a request that is still being answered holds up the others no longer."""

PERIOD = 0.1
"""Seconds after which connections are given back that nobody used meanwhile."""


class Host(Protocol):
    """The worker of a lane."""

    def answer(self, conn: Any) -> bool:
        """Answer a request. Returns whether the connection goes on."""

    def give_back(self, conn: Any) -> None:
        """Take a connection that goes on."""

    def drop(self, conn: Any) -> None:
        """Take one that does not, without waiting for its client."""

    def may_stay(self) -> bool:
        """Whether no other work waits for a thread."""

    def wake(self) -> None:
        """Call `watch` soon."""


class Lane:
    """Kept connections, and the thread that leads: it waits for all, and answers in place.

    Of the threads of a process one at a time runs Python. With a thread for each connection, every
    system call of one lets another run, and to be let run again costs more than the call did. This
    is the pattern Leader/Followers (Schmidt et al., 2000). Nothing has to be answered quickly in
    here: `watch` frees the others from what is not.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._lock = threading.Lock()
        self._conns = selectors.DefaultSelector()
        self._leader = 0
        self._in_hand: Any = None
        self._began = math.inf
        self._watched = False

    def share(self, conn: Any) -> None:
        """Add a connection, for whoever leads."""
        with self._lock:
            self._conns.register(conn.sock, selectors.EVENT_READ, conn)

    def lead(self) -> tuple[Any, bool]:
        """Answer what comes on any connection, unless another thread does.

        Returns the connection that this thread is left with, which is shared no more, and whether
        it goes on; (None, False) where there is none.
        """
        with self._lock:
            if self._leader:
                return None, False
            self._leader = threading.get_ident()
            watched = self._watched
        if not watched:
            self._host.wake()
        until = time.monotonic() + PERIOD
        used: set[int] = set()
        while ready := self._conns.select(WAIT):
            for key, _ in ready:
                if not self._take_in_hand(key.data):
                    return None, False
                keep = self._host.answer(key.data)
                if not self._put_back(key, keep):
                    return key.data, keep
                used.add(key.fd)
            if time.monotonic() > until:
                if not self._host.may_stay():
                    break
                self._give_back_all(self._leads, but=used)
                until = time.monotonic() + PERIOD
                used.clear()
        self._give_back_all(self._leads)
        return None, False

    def _leads(self) -> bool:
        return self._leader == threading.get_ident()

    def _take_in_hand(self, conn: Any) -> bool:
        """Begin with a request, if this thread still leads."""
        with self._lock:
            if leads := self._leads():
                self._in_hand, self._began = conn, time.monotonic()
        return leads

    def _put_back(self, key: selectors.SelectorKey, keep: bool) -> bool:
        """End with a request, if this thread still leads."""
        with self._lock:
            if leads := self._leads():
                self._in_hand, self._began = None, math.inf
                if not keep:
                    self._conns.unregister(key.fileobj)
        if leads and not keep:
            self._host.drop(key.data)
        return leads

    def leave(self) -> bool:
        """Lead no more, and keep the connection in hand. Returns whether others wait for a leader.

        For a thread that is about to wait. Does nothing in one that does not lead.
        """
        with self._lock:
            if not self._leads():
                return False
            self._conns.unregister(self._in_hand.sock)
            self._leader, self._in_hand, self._began = 0, None, math.inf
            return bool(self._conns.get_map())

    def watch(self) -> bool:
        """Free the others where one request takes long. Returns whether to come again soon."""
        self._give_back_all(lambda: time.monotonic() > self._began + STALL)
        with self._lock:
            self._watched = bool(self._leader)
            return self._watched

    def _give_back_all(self, due: Callable[[], bool], but: Collection[int] = ()) -> None:
        """If it is due, give back all that is not in hand. Nobody leads then, unless some stay."""
        with self._lock:
            if not due():
                return
            keys = [key for key in self._conns.get_map().values() if key.fd not in but]
            for key in keys:
                self._conns.unregister(key.fileobj)
            in_hand = self._in_hand
            if not but:
                self._leader, self._in_hand, self._began = 0, None, math.inf
        for key in keys:
            if key.data is not in_hand:
                self._host.give_back(key.data)
