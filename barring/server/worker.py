"""The worker process: gunicorn's gevent worker, with this service's connections and refusals."""

import os
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from types import SimpleNamespace
from typing import Any

from gunicorn.sock import ssl_context
from gunicorn.workers.ggevent import GeventWorker

from .connections import Connection, Listener
from .hooks import unblock_stop_signals
from .refusals import send_refusal


class Worker(GeventWorker):
    """Serves each connection in a greenlet."""

    def init_signals(self) -> None:
        """Handle signals, first those that arrived since the fork."""
        super().init_signals()
        unblock_stop_signals()

    def run(self) -> None:
        """Serve until this worker is told to stop and has finished the last request."""
        self.connections: set[Connection] = set()
        self.tls = ssl_context(self.cfg) if self.cfg.is_ssl else None
        super().run()

    def server_class(self, listener: Any, spawn: Any, **_: Any) -> Listener:
        """Create the object that accepts connections. gunicorn calls this as a class."""
        # gunicorn asks for the name at each connection, even after it has closed the listener.
        name = listener.getsockname()
        named = SimpleNamespace(getsockname=lambda: name)
        return Listener(listener, partial(self.handle, named), spawn, self.slot)

    def notify(self) -> None:
        """Once a second: tell the master that this worker is alive; stop if the master is gone."""
        self.tmp.notify()
        if os.getppid() != self.ppid:
            self.alive = False
        for connection in list(self.connections):
            connection.check_time()
            if not self.alive:
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
        return nullcontext()

    def handle_request(self, listener_name: Any, req: Any, sock: Connection, addr: Any) -> Any:
        """Handle a request."""
        sock.begin_request(req)
        try:
            return super().handle_request(listener_name, req, sock, addr)
        finally:
            sock.end_request()

    def handle_error(self, req: Any, client: Connection, addr: Any, exc: BaseException) -> None:
        """Respond to a request that is not valid HTTP, and close the connection."""
        send_refusal(client, exc)
        client.linger()
