"""The hooks that gunicorn calls when the server starts, and when it forks a worker."""

import contextlib
import errno
import gc
import os
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from gevent import get_hub
from gevent.threadpool import ThreadPoolExecutor
from gunicorn import systemd

from barring import logs
from barring.storage.base import StorageUnavailable

from .connections import counts

RETRY_SECONDS = 5
"""How long the workers of a killed server may still hold its address.

tests/faults/test_kills.py: test_workers_end_without_their_master.
"""

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


def before_listening(server: Any) -> None:
    """gunicorn's hook `on_starting`.

    Exits with a one-line message if the server cannot listen on its address. gunicorn itself would
    print a dozen lines.
    """
    if server.master_pid or systemd.listen_fds(unset_environment=False):
        return  # The listening socket is inherited.
    deadline = time.monotonic() + RETRY_SECONDS
    while True:
        try:
            return _try_to_bind(server.cfg.address[0])
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                reason = f"{server.cfg.bind[0]}: {error.strerror or error}"
                sys.exit(f"barring: BARRING_BIND: {reason}; set another address")
        time.sleep(0.2)


def _try_to_bind(address: tuple[str, int] | str) -> None:
    if isinstance(address, str):
        tempfile.TemporaryFile(dir=Path(address).parent).close()
        with socket.socket(socket.AF_UNIX) as trial:
            trial.settimeout(1)
            if trial.connect_ex(address) in (errno.ENOENT, errno.ECONNREFUSED):
                return  # gunicorn replaces the socket of a killed server.
        # gunicorn would replace that of a running one, too.
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    with socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        trial.bind(address)


def on_reload(server: Any) -> None:
    """gunicorn's hook `on_reload`. All workers get the same secrets, those that start later too."""
    server.app.wsgi().extensions["barring.access"].platforms.reload()


def before_fork(server: Any, worker: Any) -> None:
    """gunicorn's hook `pre_fork`."""
    # If a worker gets a stop signal before it can handle signals, it stops as soon as it can.
    # tests/test_server.py: test_worker_told_to_stop_while_it_starts_ends_in_peace.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    free = {*range(1, len(counts))} - {other.slot for other in server.WORKERS.values()}
    for slot in free:
        counts[slot] = 0  # A worker that was killed has left its number there.
    worker.slot = min(free)
    if metrics := server.app.wsgi().extensions["barring.metrics"]:
        metrics.use(worker.slot)
    gc.freeze()  # The collector would write to, and so copy, the memory shared with the master.


def unblock_stop_signals() -> None:
    """Unblock the signals that before_fork blocked, and handle those that arrived since then."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


os.register_at_fork(after_in_parent=unblock_stop_signals)


def before_serving(worker: Any) -> None:
    """gunicorn's hook `post_worker_init`."""
    get_hub().print_exception = _log_exception
    # gunicorn reads twenty settings per request: make them attributes, which are faster.
    vars(worker.cfg).update({name: s.get() for name, s in worker.cfg.settings.items()})
    storage = worker.wsgi.extensions["barring.storage"]
    storage.threads = ThreadPoolExecutor
    with contextlib.suppress(StorageUnavailable):
        storage.check_ready()  # Other programs then see that the database is in use.


def _log_exception(context: object, kind: object, error: BaseException, trace: object) -> None:
    """Replaces gevent's traceback on standard error, which can block and can quote values."""
    logs.emit("unexpected_error", error=logs.describe(error))


def log_no_path(worker: Any, request: Any) -> None:
    """Replaces gunicorn's hook `pre_request`, which logs every path, and so the codes in it."""
