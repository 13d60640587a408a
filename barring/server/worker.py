"""gunicorn's gevent worker, made to keep secrets, to stop in peace and to bear slow clients."""

import os
import signal
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from types import SimpleNamespace
from typing import Any

from gunicorn.sock import ssl_context
from gunicorn.workers.ggevent import GeventWorker

from .connections import Connection, Listener
from .refusals import refuse

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
"""The signals that stop a worker."""

_UNLIMITED = nullcontext()


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

    def server_class(self, listener: Any, spawn: Any, **_: Any) -> Listener:
        """What accepts connections. gunicorn calls it as it would a class."""
        name = listener.getsockname()  # gunicorn asks at each connection, also once it is closed.
        named = SimpleNamespace(getsockname=lambda: name)
        return Listener(listener, partial(self.handle, named), spawn=spawn)

    def run(self) -> None:
        """Serve until this worker is to stop, and then until the last request is answered."""
        self.connections: set[Connection] = set()
        self.tls = ssl_context(self.cfg) if self.cfg.is_ssl else None
        self.cfg: Any = _Remembered(self.cfg)
        super().run()

    def init_signals(self) -> None:
        """Obey signals, and first those that came since the fork."""
        super().init_signals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)

    def notify(self) -> None:
        """Report to the master; stop if it is gone. A worker that stops closes idle connections."""
        self.tmp.notify()
        if os.getppid() != self.ppid:
            self.alive = False
        if not self.alive:
            for connection in list(self.connections):
                connection.hang_up()

    def handle(self, listener: Any, client: Any, addr: Any) -> Any:
        """Serve a connection."""
        if self.tls:
            try:
                client = self.tls.wrap_socket(client, True, do_handshake_on_connect=False)
            except OSError:
                return client.close()  # It was reset before.
        connection = Connection(client)
        self.connections.add(connection)
        try:
            return super().handle(listener, connection, addr)
        finally:
            self.connections.discard(connection)

    def timeout_ctx(self) -> AbstractContextManager[None]:
        """No limit of time for what gunicorn reads: the connection has its own."""
        return _UNLIMITED

    def handle_request(self, listener_name: Any, req: Any, sock: Connection, addr: Any) -> Any:
        """Answer a request."""
        sock.begin(req)
        try:
            return super().handle_request(listener_name, req, sock, addr)
        finally:
            sock.end()

    def handle_error(self, req: Any, client: Connection, addr: Any, exc: BaseException) -> None:
        """Refuse what is not HTTP, and close."""
        refuse(client, exc)
        client.linger()
