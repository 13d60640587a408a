"""Clients' connections: how they are accepted, and read and written with limits of time."""

import contextlib
import errno
import os
import socket
import ssl
import time
from typing import Any

import gevent
from gevent.server import StreamServer
from gunicorn.http.errors import ParseException

from barring import logs
from barring.pauses import give_way

IDLE = 15
"""Seconds for which a connection may lie idle between two requests, or before the first."""

HEAD = 10
"""Seconds within which the head of a request must be complete, from its first byte."""

PAUSE = 30
"""Seconds for which a client may pause while it sends a body, or while it reads an answer."""

LINGER = 10
"""Seconds for which the rest of a refused request is read, so that its sender reads the answer."""

QUIET = 0.5
"""Seconds that a connection must have lain idle before a worker which stops closes it.

On others a request may be on its way; its answer closes them.
"""


class SlowHead(ParseException):
    """The head of a request took too long."""


class Listener(StreamServer):
    """Accepts the connections of one listening socket."""

    @property
    def max_accept(self) -> int:
        """How many to accept at a time: at first one, so that each worker has its share."""
        return 1 + len(self.pool) // 4

    def do_read(self) -> Any:
        """Accept a connection; where the process may open no more files, let it wait."""
        try:
            return super().do_read()
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
        logs.emit("warning", message="no more files may be open; new connections wait")
        self.stop_accepting()
        gevent.spawn_later(0.1, lambda: self.started and self.start_accepting())
        return None

    def close(self) -> None:
        """Accept the connections in the backlog, which would be reset, and stop listening."""
        try:
            while self.started and not self.full() and (waiting := self.do_read()):
                self.do_handle(*waiting)
        except OSError:
            logs.emit("warning", message="not every waiting connection could be accepted")
        finally:
            super().close()


class Connection:
    """A client's socket, with limits of time for what is read and written."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._tls = isinstance(sock, ssl.SSLSocket)
        self._loop = gevent.get_hub().loop
        self._idle_since = time.monotonic()
        self._request: Any = None
        self._head_until = 0.0
        self._head = b""
        self._answer_begun = self._lingers = self._drains = False

    def recv(self, size: int) -> bytes:
        """What the client sends next; nothing where it has closed, or lay idle too long.

        Raises SlowHead, or TimeoutError for a body that pauses too long.
        """
        turn = self._loop.now()
        if self._request:
            data = self._receive(size, PAUSE)
        elif self._head_until:
            data = self._rest_of_head(size)
        else:
            try:
                data = self._receive(size, IDLE)
            except TimeoutError:
                return b""
            self._head_until = time.monotonic() + HEAD
        if self._loop.now() == turn:
            give_way()  # It did not have to wait: let those go first who did.
        return data

    def _rest_of_head(self, size: int) -> bytes:
        try:
            return self._receive(size, max(0.001, self._head_until - time.monotonic()))
        except TimeoutError:
            raise SlowHead from None

    def _receive(self, size: int, seconds: float) -> bytes:
        if self._tls:
            # A socket's own time begins anew with every piece of a record, or of a handshake.
            with gevent.Timeout(seconds, TimeoutError):
                return bytes(self._sock.recv(size))
        self._sock.settimeout(seconds)
        data: bytes = self._sock.recv(size)
        return data

    def sendall(self, data: bytes) -> None:
        """Send a part of an answer; its head with what follows, which spares a packet.

        A client that reads nothing for too long counts as gone.
        """
        if self._request and not self._answer_begun:
            self._answer_begun, self._head = True, data
            return
        rest: bytes | memoryview = self._head + data
        self._head = b""
        self._sock.settimeout(PAUSE)
        try:
            while (sent := self._sock.send(rest)) < len(rest):
                rest = memoryview(rest)[sent:]
        except TimeoutError as error:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from error

    def begin(self, request: Any) -> None:
        """From here on what comes is the body of this request, and what goes its answer."""
        if not self._head_until:
            give_way()  # It came together with the one before.
        self._request, self._answer_begun = request, False

    def end(self) -> None:
        """From here on what comes is the next request."""
        if self._head:
            self.sendall(b"")
        if self._lingers:
            self.linger()
        elif self._drains:
            with contextlib.suppress(OSError, ParseException):  # gunicorn knows then, and closes.
                while self._request.body.read(65536):
                    pass
        self._drains = False
        self._request, self._head_until, self._idle_since = None, 0.0, time.monotonic()

    def close_after_answer(self) -> None:
        """Close the connection after the answer to the current request."""
        self._request.force_close()
        self._lingers = True

    def read_on_after_answer(self) -> None:
        """Read the rest of the current body after the answer, so that the connection stays open."""
        self._drains = True

    def linger(self) -> None:
        """Stop sending and read on for a while: a reset could destroy the answer."""
        self._request, self._head_until = None, 0.0  # A worker that stops need not wait for it.
        until = time.monotonic() + LINGER
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
            while (left := until - time.monotonic()) > 0 and self._receive(65536, left):
                give_way()  # While it finds something to read, others would not run.

    def hang_up(self) -> None:
        """Close an idle connection. A request that has already arrived is still read."""
        waits = not self._request and not self._head_until
        if waits and time.monotonic() > self._idle_since + QUIET:
            with (
                contextlib.suppress(OSError),  # It may have ended by itself.
                # TLS must not end for it, as the socket's own method would have it.
                socket.socket(fileno=os.dup(self._sock.fileno())) as twin,
            ):
                twin.shutdown(socket.SHUT_RD)

    def send(self, data: bytes) -> None:
        """Send what is no part of an answer: that a client may go on with its body."""
        self._sock.settimeout(PAUSE)
        self._sock.sendall(data)

    def setblocking(self, flag: bool) -> None:
        """Nothing: each call has its own limit of time."""

    def shutdown(self, how: int) -> None:
        """End one or both directions, and send nothing of an answer that was begun."""
        self._head = b""
        self._sock.shutdown(how)

    def close(self) -> None:
        """End the connection."""
        self._sock.close()
