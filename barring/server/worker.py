"""The worker process: gunicorn's gevent worker, with this service's connections and refusals."""

import contextlib
import gc
import os
import signal
from contextlib import AbstractContextManager
from functools import partial
from types import SimpleNamespace
from typing import Any

from gevent import get_hub
from gevent.threadpool import ThreadPoolExecutor
from gunicorn.sock import ssl_context
from gunicorn.workers.ggevent import GeventWorker

from barring import logs
from barring.storage.base import Storage, StorageUnavailable

from .connections import Connection, Listener
from .refusals import refuse

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


def before_fork(server: Any, worker: "Worker") -> None:
    """gunicorn's hook `pre_fork`."""
    # A worker that is told to stop before it handles signals stops once it does.
    # tests/test_server.py: test_worker_told_to_stop_while_it_starts_ends_in_peace.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    gc.freeze()  # The collector would write to, and so copy, the memory shared with the master.


def _unblock_stop_signals() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


os.register_at_fork(after_in_parent=_unblock_stop_signals)


class _Remembered:
    """gunicorn's settings, each looked up once: it asks for twenty at every request."""

    def __init__(self, settings: Any) -> None:
        self._settings = settings

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._settings, name)
        setattr(self, name, value)
        return value


class Worker(GeventWorker):
    """Serves each connection in a greenlet."""

    def init_signals(self) -> None:
        """Handle signals, first those that arrived since the fork."""
        super().init_signals()
        _unblock_stop_signals()

    def run(self) -> None:
        """Serve until this worker is told to stop and the last request is answered."""
        get_hub().print_exception = _log_exception
        _open_database(self.wsgi.extensions["barring.storage"])
        self.connections: set[Connection] = set()
        self.tls = ssl_context(self.cfg) if self.cfg.is_ssl else None
        self.cfg: Any = _Remembered(self.cfg)
        super().run()

    def server_class(self, listener: Any, spawn: Any, **_: Any) -> Listener:
        """Create the object that accepts connections. gunicorn calls this as a class."""
        name = listener.getsockname()  # gunicorn asks for each connection, after closing it too.
        named = SimpleNamespace(getsockname=lambda: name)
        return Listener(listener, partial(self.handle, named), spawn=spawn)

    def notify(self) -> None:
        """Tell the master that this worker is alive; stop if the master is gone."""
        self.tmp.notify()
        if os.getppid() != self.ppid:
            self.alive = False
        if not self.alive:
            for connection in list(self.connections):
                connection.close_if_idle()

    def handle(self, listener: Any, client: Any, addr: Any) -> Any:
        """Serve a connection."""
        if self.tls:
            try:
                client = self.tls.wrap_socket(client, True, do_handshake_on_connect=False)
            except OSError:
                return client.close()  # The client has reset it.
        connection = Connection(client)
        self.connections.add(connection)
        try:
            return super().handle(listener, connection, addr)
        finally:
            self.connections.discard(connection)

    def timeout_ctx(self) -> AbstractContextManager[None]:
        """No time limit for what gunicorn reads: the connection has its own."""
        return contextlib.nullcontext()

    def handle_request(self, listener_name: Any, req: Any, sock: Connection, addr: Any) -> Any:
        """Answer a request."""
        sock.begin_request(req)
        try:
            return super().handle_request(listener_name, req, sock, addr)
        finally:
            sock.end_request()

    def handle_error(self, req: Any, client: Connection, addr: Any, exc: BaseException) -> None:
        """Answer what is not HTTP, and close the connection."""
        refuse(client, exc)
        client.linger()


def _open_database(storage: Storage) -> None:
    """Open the database now, so that other programs see that it is in use."""
    storage.threads = ThreadPoolExecutor
    with contextlib.suppress(StorageUnavailable):
        storage.check_ready()


def _log_exception(context: object, kind: object, error: BaseException, trace: object) -> None:
    """Replaces gevent's traceback on standard error, which can block and can quote values."""
    logs.emit("unexpected_error", error=logs.describe(error))
