"""How gunicorn serves the application."""

import contextlib
import ctypes
import errno
import fcntl
import gc
import os
import resource
import signal
import socket
import ssl
import sys
import time
from pathlib import Path
from typing import Any

from gevent import get_hub
from gevent.threadpool import ThreadPoolExecutor
from gunicorn import systemd
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from gunicorn.util import import_app

from barring import logs
from barring.settings import Settings, SettingsError, read_file, variable
from barring.storage.base import Storage, StorageUnavailable

from .connections import IDLE
from .worker import STOPPING, Worker

_PR_SET_PDEATHSIG = 1

CONNECTIONS = 10_000
"""How many connections a worker holds at once, if it may open so many files."""

OTHER_FILES = 100
"""Files that a worker needs besides: of the database, the log, and the server's own."""

WORKERS_END = 5.0
"""Seconds that the workers of a killed master may take to give up its address."""


class Log(Logger):
    """gunicorn's log without its access log, which costs, and quotes paths: the service has one."""

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        """Write nothing."""


class Server(BaseApplication):
    """gunicorn with the service in this process, as `barring serve` and the binary run it."""

    def load_config(self) -> None:
        """Take the settings from the environment, at the start and at a reload."""
        for name, value in gunicorn_settings(Settings.from_environment()).items():
            self.cfg.set(name, value)

    def run(self) -> None:
        """Serve until the end."""
        if getattr(sys, "frozen", False):
            _keep_what_was_unpacked()
            if sys.platform == "linux":
                _end_with_the_launcher()
        super().run()

    def load(self) -> Any:
        """Load the application by its name: nothing in here imports it."""
        return import_app("wsgi:app")


def _keep_what_was_unpacked() -> None:
    """Lock the binary's folder to the end of this process: cleaners of /tmp pass over it then."""
    fcntl.flock(os.open(Path(__file__).parents[2], os.O_RDONLY), fcntl.LOCK_SH)


def _end_with_the_launcher() -> None:
    """Have Linux stop this process when the binary's launcher, its parent, is killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    try:
        alive = Path(f"/proc/{os.getppid()}/exe").samefile(sys.executable)
    except FileNotFoundError:
        return  # No /proc, no telling.
    except PermissionError:
        alive = False
    if not alive:
        raise SystemExit("barring: the launcher was killed")


def _prepare_fork(server: Any, worker: Worker) -> None:
    """Have a worker begin without a signal lost, and share memory with its master."""
    # What stops a worker waits until it can obey: lost, it would delay the stop by 30 seconds.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    gc.freeze()  # What a worker shares with its master, its collector must not touch and so copy.


def _release_signals() -> None:
    """In the process that forked."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)


os.register_at_fork(after_in_parent=_release_signals)


def _log_no_path(worker: Worker, req: Any) -> None:
    """Takes the place of gunicorn's hook that logs each path, and with it codes, at DEBUG."""


def _open_database(worker: Worker) -> None:
    """Hold the database open from the start, so that whoever would replace it can tell."""
    get_hub().print_exception = _log_exception
    storage: Storage = worker.wsgi.extensions["barring.storage"]
    storage.threads = ThreadPoolExecutor
    with contextlib.suppress(StorageUnavailable):
        storage.check_ready()


def _log_exception(context: object, kind: object, error: BaseException, trace: object) -> None:
    """Takes the place of gevent's traceback on standard error, which waits and may quote values."""
    logs.emit("unexpected_error", error=logs.describe(error))


def _connections() -> int:
    """How many connections a worker holds, by the files that it may open."""
    wanted = CONNECTIONS + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):  # macOS promises more than it gives.
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return CONNECTIONS
    connections = max(1, soft - OTHER_FILES)
    logs.emit(
        "warning",
        message=f"a process may open {soft} files: a worker holds {connections} connections, and "
        f"lets others wait; raise the limit (ulimit -n, LimitNOFILE=) to {wanted}",
    )
    return connections


def _start(server: Any) -> None:
    """Before the server listens."""
    logs.never_wait()
    _check_bind(server)


def _check_bind(server: Any) -> None:
    """End with one line, where gunicorn writes a dozen, if its address cannot be had."""
    if server.master_pid or systemd.listen_fds(unset_environment=False):
        return  # The listening socket is inherited.
    deadline = time.monotonic() + WORKERS_END
    for address in server.cfg.address:
        while error := _bind_error(address):
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                reason = str(error.strerror).partition(" (while")[0]
                sys.exit(f"barring: BARRING_BIND: {server.cfg.bind[0]}: {reason}; set another")
            time.sleep(0.2)


def _bind_error(address: tuple[str, int] | str) -> OSError | None:
    """Why nobody can listen at an address, if so."""
    try:
        if isinstance(address, tuple):
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
            socket.create_server(address, family=family).close()
        elif not os.access(Path(address).parent, os.W_OK):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        return error
    return None


def check_tls(settings: Settings) -> None:
    """Raise SettingsError where the certificate and its key cannot be used."""
    if settings.tls_cert_file or settings.tls_key_file:
        for name in ("tls_cert_file", "tls_key_file"):
            if path := getattr(settings, name):
                read_file(variable(name), path)
        try:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(settings.tls_cert_file, settings.tls_key_file)
        except (OSError, ValueError) as error:
            raise SettingsError(
                "BARRING_TLS_CERT_FILE, BARRING_TLS_KEY_FILE: must hold a certificate and its key "
                f"({error.strerror if isinstance(error, OSError) else error})"
            ) from error


def gunicorn_settings(settings: Settings) -> dict[str, Any]:
    """The settings of `settings` as gunicorn names them."""
    check_tls(settings)
    if settings.in_the_clear():
        logs.emit(
            "warning",
            message=f"BARRING_AUTH={settings.auth} at {settings.bind} without TLS: all goes "
            "in the clear; set BARRING_TLS_CERT_FILE, or bind to loopback behind a proxy",
        )
    return {
        "bind": settings.bind,
        "workers": settings.workers,
        "worker_class": f"{Worker.__module__}.{Worker.__name__}",
        # Loaded once, before the fork: a worker that died is replaced at once, memory is shared.
        "preload_app": True,
        "on_starting": _start,
        "pre_fork": _prepare_fork,
        "post_worker_init": _open_database,
        "keepalive": IDLE,
        "worker_connections": _connections(),
        "certfile": settings.tls_cert_file or None,
        "keyfile": settings.tls_key_file or None,
        "logger_class": f"{Log.__module__}.{Log.__name__}",
        "sendfile": False,  # It takes a bare socket, and knows no limit of time.
        "pre_request": _log_no_path,
        "umask": 0o177,  # Of a Unix socket, which is its owner's alone.
        "control_socket_disable": True,
        "limit_request_line": 8190,
        # No header may take the place of what the server knows: not SCRIPT_NAME, not X_Role, not
        # the scheme. So nobody's address has to be looked at, which gunicorn does twice a request.
        "forwarder_headers": "",
        "secure_scheme_headers": {},
        "forwarded_allow_ips": "*",
        "header_map": "refuse",
        "logconfig_dict": {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"log": {"class": "barring.logs.Handler"}},
            "root": {"handlers": ["log"], "level": "WARNING"},
            "loggers": {
                "gunicorn.error": {"handlers": ["log"], "propagate": False},
                "gunicorn.access": {"handlers": [], "propagate": False},
            },
        },
    }
