"""gunicorn's threaded worker, made to keep secrets, and to bear clients that are slow or silent."""

import contextlib
import errno
import select
import signal
import ssl
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import orjson
from gunicorn.glogging import Logger
from gunicorn.http import errors
from gunicorn.workers import gthread

from . import logs
from .application import HEADERS
from .lane import STALL, Lane

SILENCE = 0.1
"""Seconds that a new connection may hold a thread before it has said anything."""

LINGER = 10
"""Milliseconds for which a thread that has answered waits for the connection's next request."""

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
"""The signals that stop a worker."""

_TAKEN = object()
"""What a thread returns that has shared, given back or closed whatever it answered on."""

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


class _Calls(gthread.PollableMethodQueue):
    """What threads ask of the main loop, through a pipe that stays open to the end.

    Threads outlive the main loop of a worker that stops: with the pipe closed they would write
    into whatever got its number, the database for one.
    """

    def close(self) -> None:
        """Leave the pipe to the end of the process."""


class Worker(gthread.ThreadWorker):
    """A threaded worker that repeats nothing of what it refuses, and that no client holds up."""

    reads_wait = False
    """Whether a read waits for another machine, and so many are to be under way at once."""

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
        if not enabled and not self.alive:
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

    def init_process(self) -> None:
        """Run, with a lane for the connections on which clients read."""
        self.method_queue = _Calls()
        self.lane = Lane(self)
        super().init_process()

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Wait in the main loop, and meanwhile see that no request holds up the lane."""
        super().wait_for_and_dispatch_events(min(timeout, STALL) if self.lane.watch() else timeout)

    def handle(self, conn: Any) -> Any:
        """Answer a request, unless the client is silent, and go on with what follows."""
        silence = SILENCE if self.alive else gthread.STOP_KEEPALIVE_LINGER
        if not conn.initialized and not conn.wait_for_data(silence):
            return gthread._DEFER
        self._go_on(conn, self.answer(conn))
        return _TAKEN

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Run the application. Before it waits, let another thread answer in this one's lane."""
        # A TLS socket may be closed while it is answered, and its number be another's at once.
        waits = self.reads_wait or self.cfg.is_ssl
        conn.waits = waits or req.method not in ("GET", "HEAD")
        if conn.waits and self.lane.leave():
            self._submit(lambda: self._go_on(*self.lane.lead()))
        return super().handle_request(req, conn)

    def finish_request(self, conn: Any, fs: Any) -> None:
        """Take a connection back from the thread that answered on it."""
        if fs.cancelled() or fs.exception() or fs.result() is not _TAKEN:
            super().finish_request(conn, fs)

    def answer(self, conn: Any) -> bool:
        """Answer a request, and those that were read with it. Returns whether others may come."""
        keep = super().handle(conn)
        while keep and (conn.parser.unreader.buf.getvalue() or _deciphered(conn.sock)):
            keep = super().handle(conn)
        return bool(keep)

    def give_back(self, conn: Any, keep: bool = True) -> None:
        """Hand a connection to the main loop."""
        done: Future[bool] = Future()
        done.set_result(keep)
        self.method_queue.defer(self.finish_request, conn, done)

    def drop(self, conn: Any) -> None:
        """Close a connection in another thread."""
        self._submit(self._close, conn)

    def may_stay(self) -> bool:
        """Whether a thread may stay where it is: nobody waits for one, or for the end."""
        return self.alive and not self.tpool._work_queue.qsize()

    def wake(self) -> None:
        """Have the main loop go round."""
        self.method_queue.defer(lambda: None)

    def _go_on(self, conn: Any, keep: bool) -> None:
        """After an answer stay with the connection, or share it, while there is something to do.

        A request that waits has a thread of its own, and so has the next if it comes at once: that
        spares two hand-overs.
        """
        while conn:
            while keep and conn.waits and self.may_stay() and self._follows(conn):
                keep = self.answer(conn)
            if not keep:
                return self._close(conn)
            if conn.waits or not self.may_stay():
                return self.give_back(conn)
            self.lane.share(conn)
            conn, keep = self.lane.lead()
        return None

    def _close(self, conn: Any) -> None:
        """Close a connection, and wait for its client: in the main loop everybody would wait."""
        with contextlib.suppress(OSError):
            conn.close(graceful=True)
        conn.close = lambda graceful=False: None
        self.give_back(conn, keep=False)

    def _submit(self, task: Callable[..., None], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # The threads of a worker that ends take no more.
            self.tpool.submit(task, *arguments)

    def _follows(self, conn: Any) -> bool:
        """Whether the next request on a connection comes at once."""
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


def _deciphered(sock: Any) -> int:
    """How many bytes a TLS socket has read ahead: of these no selector tells."""
    return sock.pending() if isinstance(sock, ssl.SSLSocket) else 0


def _refusal(exc: Exception) -> _Refusal:
    if isinstance(exc, errors.ParseException | ssl.SSLError):
        return _REFUSALS.get(type(exc), _BAD_REQUEST)
    return _FAULT
