"""gunicorn's threaded worker, made to keep secrets, and to bear clients that are slow or silent."""

import contextlib
import errno
import select
import signal
import ssl
import time
from typing import Any

import orjson
from gunicorn.glogging import Logger
from gunicorn.http import errors
from gunicorn.workers import gthread

from . import logs
from .application import HEADERS

SILENCE = 0.1
"""Seconds that a new connection may hold a thread before it has said anything."""

LINGER = 10
"""Milliseconds for which a thread that has answered waits for the connection's next request."""

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
"""The signals that stop a worker."""

_Refusal = tuple[int, str, str]

_BAD_REQUEST = (400, "Bad Request", "This is not a valid HTTP request.")
_FAULT = (500, "Internal Server Error", "The server could not handle the request.")
_REFUSALS: dict[type[Exception], _Refusal] = {
    errors.LimitRequestLine: (414, "URI Too Long", "The request line is too long."),
    errors.LimitRequestHeaders: (
        431,
        "Request Header Fields Too Large",
        "The headers are too long, or too many.",
    ),
    errors.ExpectationFailed: (417, "Expectation Failed", "Expect only 100-continue."),
    errors.UnsupportedTransferCoding: (501, "Not Implemented", "Send the body plain or chunked."),
}


class Log(Logger):
    """gunicorn's log without its access log, which costs, and quotes paths: the service has one."""

    access_log_enabled = False


class Worker(gthread.ThreadWorker):
    """A threaded worker that repeats nothing of what it refuses, and that no client holds up."""

    def init_signals(self) -> None:
        """Obey signals, and first those that came since the fork."""
        super().init_signals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)

    def accept(self, listener: Any) -> None:
        """Take a connection; where the process may open no more files, let it wait."""
        try:
            super().accept(listener)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            logs.emit("warning", message="no more files may be open; new connections wait")
            time.sleep(0.1)

    def set_accept_enabled(self, enabled: bool) -> None:
        """Take connections or not. A worker that stops takes all that wait, and then lets go.

        Otherwise whoever connected to a server that ends would be cut off when it has ended.
        """
        super().set_accept_enabled(enabled)
        if not self.alive:
            for listener in self.sockets:
                while select.select([listener], [], [], 0)[0]:
                    self.accept(listener)
                listener.close()

    def is_parent_alive(self) -> bool:
        """Whether the master lives. Without it the worker stops, as if it had been told to."""
        if super().is_parent_alive():
            return True
        self.alive = False
        return False

    def murder_keepalived(self, force: bool = False) -> None:
        """Close what lay idle too long, unless a request has come on it by now."""
        self.wait_for_and_dispatch_events(0)
        super().murder_keepalived(force)

    def handle(self, conn: Any) -> Any:
        """Answer a request, unless the client is silent, and those that follow at once.

        A thread that stays with its connection spares two hand-overs a request. Closing waits for
        the client, so it is done in this thread too: gunicorn's main loop, where it happens
        otherwise, would stand still for everybody.
        """
        silence = SILENCE if self.alive else gthread.STOP_KEEPALIVE_LINGER
        if not conn.initialized and not conn.wait_for_data(silence):
            return gthread._DEFER
        keep = super().handle(conn)
        while keep and self._follows(conn):
            keep = super().handle(conn)
        if not keep:
            with contextlib.suppress(OSError):
                conn.close(graceful=True)
            conn.close = lambda graceful=False: None
        return keep

    def _follows(self, conn: Any) -> bool:
        """Whether the next request on a connection is for the thread that answered the last."""
        if not self.alive or self.tpool._work_queue.qsize():
            return False
        if conn.parser.unreader.buf.getvalue():
            return True  # It was sent, and read, with the last one.
        poll = select.poll()
        poll.register(conn.sock, select.POLLIN)
        return bool(poll.poll(LINGER))

    def _cap_keepalive(self, deadline: float) -> None:
        """Let no silent connection hold up the end of a worker that stops."""
        super()._cap_keepalive(deadline)
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout, deadline)

    def _keepalive_after(self, conn: Any, keepalive: bool) -> bool:
        """Whether the connection goes on: not where what is left of a body is malformed."""
        body = conn.parser.mesg.body
        if keepalive and not body.failed and getattr(body.reader, "length", None) == 0:
            conn.parser.mesg = None  # Read to its end: to drain it would cost three system calls.
            return True
        try:
            return bool(super()._keepalive_after(conn, keepalive))
        except errors.ParseException:
            return False

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Refuse what is not HTTP, in the application's error shape, and close.

        gunicorn's own would quote the offending line, and with it a code, in log and answer.
        """
        status, reason, message = _refusal(exc)
        logs.emit("refused", status=status, error=logs.describe(exc)[:1])
        body = orjson.dumps({"code": status, "status": reason, "message": message})
        head = [
            f"HTTP/1.1 {status} {reason}",
            "Connection: close",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            *(f"{name}: {value}" for name, value in HEADERS.items()),
        ]
        try:
            client.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        except OSError:
            self.log.debug("The client left before it was refused.")


def _refusal(exc: Exception) -> _Refusal:
    if isinstance(exc, errors.ParseException | ssl.SSLError):
        return _REFUSALS.get(type(exc), _BAD_REQUEST)
    return _FAULT
