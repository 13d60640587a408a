"""Clients' connections: how they are accepted, and read and written with time limits."""

import contextlib
import errno
import mmap
import os
import socket
import time
from typing import Any

import gevent
from gevent.server import StreamServer
from gunicorn.http.errors import NoMoreData, ParseException

from barring.pauses import give_way

IDLE_TIMEOUT = 15
"""Seconds that a connection may be idle between two requests, or before the first."""

HEAD_TIMEOUT = 10
"""Seconds from the first byte of a request until its headers must be complete."""

PAUSE_TIMEOUT = 30
"""Seconds that a client may pause while it sends a body or reads a response."""

LINGER_TIMEOUT = 10
"""Seconds to read the rest of a refused request, so that the client gets the response."""

IDLE_AT_STOP = 0.5
"""Seconds that a connection must have been idle before a stopping worker closes it.

On other connections, the next request may be on its way; they are closed after its response.
tests/faults/test_restarts.py: test_idle_connection_is_closed_between_requests.
"""


ACCEPT_PAUSE = 0.001
"""Seconds for which a worker with more connections than another leaves new ones to it, at most."""

counts = mmap.mmap(-1, mmap.PAGESIZE)
"""A byte per worker, in memory that all share: how many connections it has, plus 1, at most 255.

It is 0 if the worker accepts no connections. Above 200 the numbers count as equal.
"""


class SlowHead(ParseException):
    """The headers of a request took too long."""


class Listener(StreamServer):
    """Accepts the connections of one listening socket.

    The worker that wakes up first would accept all connections that are opened at once. So a worker
    that has over a quarter more than another pauses after it accepts some, until it has closed one.
    """

    def __init__(self, listener: Any, handle: Any, spawn: Any, slot: int) -> None:
        self._slot, self._open = slot, 0
        super().__init__(listener, handle, spawn=spawn)
        self._pause = self.loop.timer(ACCEPT_PAUSE, ACCEPT_PAUSE)
        counts[slot] = 1

    @property
    def max_accept(self) -> int:
        """How many connections to accept at a time: at first one, so that all workers get some."""
        return 1 + len(self.pool) // 4

    def do_handle(self, *accepted: Any) -> None:
        """Serve a connection."""
        self._open += 1
        super().do_handle(*accepted)
        counts[self._slot] = min(1 + self._open, 255)
        if counts[self._slot] > 1.25 * min(counts[:].translate(None, delete=b"\0")):
            self.stop_accepting()
            self._pause.again(self._accept_again)

    def do_close(self, *accepted: Any) -> None:
        """Close a connection. It is still in the pool, so the pool's length does not serve."""
        super().do_close(*accepted)
        self._open -= 1
        if self.started:
            counts[self._slot] = min(1 + self._open, 255)
            self._accept_again()

    def _accept_again(self) -> None:
        self._pause.stop()
        if self.started:
            self.start_accepting()

    def close(self) -> None:
        """Accept the connections in the backlog, which would otherwise be reset; stop listening.

        tests/faults/test_restarts.py: test_sigterm_answers_every_request_in_flight.
        """
        with contextlib.suppress(OSError):
            while self.started and not self.full() and (accepted := self.do_read()):
                self.do_handle(*accepted)
        counts[self._slot] = 0
        super().close()


class Connection:
    """A client's socket with time limits for reading and writing."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._loop = gevent.get_hub().loop
        self._idle_since = time.monotonic()
        self._request: Any = None
        self._head_until = 0.0
        self._response_head = b""
        self._response_begun = self._lingers = False
        self._greenlet = gevent.getcurrent()
        self._limit: tuple[float, Exception] | None = None

    def __getattr__(self, name: str) -> Any:
        """The other attributes of the socket, for gunicorn."""
        return getattr(self._sock, name)

    def recv(self, size: int) -> bytes:
        """Read what the client sends next; empty if the client has closed the connection.

        Raises NoMoreData if the connection was idle for too long, SlowHead if the headers took too
        long, and TimeoutError if the client paused for too long in a body.
        """
        round_of_loop = self._loop.now()
        now = time.monotonic()
        if self._request:
            self._limit = now + PAUSE_TIMEOUT, TimeoutError()
        elif self._head_until:
            self._limit = self._head_until, SlowHead()
        else:
            self._limit = now + IDLE_TIMEOUT, NoMoreData()
        try:
            data: bytes = self._sock.recv(size)
        finally:
            self._limit = None
        if not self._request and not self._head_until:
            self._head_until = time.monotonic() + HEAD_TIMEOUT
        if self._loop.now() == round_of_loop:
            give_way()  # This greenlet did not wait, so let others run.
        return data

    def send(self, data: bytes | memoryview) -> int:
        """Send as much as the socket accepts, and return how many bytes that was.

        A client that reads nothing for too long is treated as disconnected.
        """
        error = BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        self._limit = time.monotonic() + PAUSE_TIMEOUT, error
        try:
            return int(self._sock.send(data))
        finally:
            self._limit = None

    def check_time(self) -> None:
        """End a read or write that has taken too long; called once a second.

        A timer for each read or write would cost a tenth of the time of a request. The timeout of
        an SSL socket does not suffice: it restarts with every piece of a record.
        tests/test_connections.py: test_handshake_that_trickles_is_given_up.
        """
        if self._limit and time.monotonic() > self._limit[0]:
            self._loop.run_callback(self._end_wait)

    def _end_wait(self) -> None:
        if self._limit:  # Otherwise it has just ended.
            self._greenlet.throw(self._limit[1])

    def sendall(self, data: bytes) -> None:
        """Send a part of a response. Its headers are sent with what follows, in one packet."""
        if self._request and not self._response_begun:
            self._response_begun, self._response_head = True, data
            return
        rest = memoryview(self._response_head + data)
        self._response_head = b""
        while rest:
            rest = rest[self.send(rest) :]

    def begin_request(self, request: Any) -> None:
        """Begin this request: from now on, read its body and send its response."""
        self._request, self._response_begun = request, False

    def end_request(self) -> None:
        """Finish the response. What is read from now on is the next request."""
        if self._response_head:
            self.sendall(b"")
        if self._lingers:
            return self.linger()
        unreader, now = self._request.unreader, time.monotonic()
        self._request, self._head_until, self._idle_since = None, 0.0, now
        # The next head may have begun in the packet of this request. An empty line does not count:
        # some clients send one after a body.
        unreader.unread(next_head := unreader.take_buffered())
        if next_head.strip(b"\r\n"):
            self._head_until = now + HEAD_TIMEOUT
            give_way()

    def close_after_response(self) -> None:
        """Close the connection after the response to the current request."""
        self._request.force_close()
        self._lingers = True

    def linger(self) -> None:
        """Stop sending, but read on for a while: a reset could destroy the response."""
        self._request, self._head_until = None, 0.0  # So that a worker that stops does not wait.
        with contextlib.suppress(OSError), gevent.Timeout(LINGER_TIMEOUT, False):
            self._sock.shutdown(socket.SHUT_WR)
            while self._sock.recv(65536):
                give_way()  # Reads that do not wait would let no other greenlet run.

    def close_if_idle(self) -> None:
        """Close the connection if it is idle. A request that has already arrived is still read."""
        idle = not self._request and not self._head_until
        if idle and time.monotonic() > self._idle_since + IDLE_AT_STOP:
            # The client may have closed it. The socket's own method would end TLS as well.
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self.fileno())) as twin:
                twin.shutdown(socket.SHUT_RD)
