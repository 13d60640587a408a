"""How gunicorn serves the application."""

import contextlib
from typing import Any

import orjson
from gunicorn.http import errors
from gunicorn.workers.gthread import ThreadWorker

from . import logs, metrics
from .edge import HEADERS
from .settings import Settings
from .storage import Storage, StorageUnavailable

_REFUSALS: dict[type[Exception], tuple[int, str]] = {
    errors.LimitRequestLine: (414, "URI Too Long"),
    errors.LimitRequestHeaders: (431, "Request Header Fields Too Large"),
    errors.ExpectationFailed: (417, "Expectation Failed"),
    errors.UnsupportedTransferCoding: (501, "Not Implemented"),
}


class Worker(ThreadWorker):
    """A threaded worker that repeats nothing of a request that it refuses.

    gunicorn's own would quote the offending line, and with it a code, in its log and its answer.
    """

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Refuse what is not HTTP, in the application's error shape, and close."""
        if isinstance(exc, errors.ParseException):
            status, reason = _REFUSALS.get(type(exc), (400, "Bad Request"))
            message = "This is not a valid HTTP request."
        else:
            status, reason = 500, "Internal Server Error"
            message = "The server could not handle the request."
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


def _log_no_path(worker: Worker, req: Any) -> None:
    """Takes the place of gunicorn's hook that logs each path, and with it codes, at DEBUG."""


def _open_database(worker: Worker) -> None:
    """Hold the database open from the start, so that whoever would replace it can tell."""
    storage: Storage = worker.wsgi.extensions["barring.storage"]
    with contextlib.suppress(StorageUnavailable):
        storage.check_ready()


def _discard_metrics(server: Any) -> None:
    metrics.discard()


def gunicorn_settings(settings: Settings) -> dict[str, Any]:
    """The settings of `settings` as gunicorn names them."""
    if settings.in_the_clear():
        logs.emit(
            "warning",
            message=f"BARRING_AUTH={settings.auth} at {settings.bind} without TLS: all goes "
            "in the clear; set BARRING_TLS_CERT_FILE, or bind to loopback behind a proxy",
        )
    return {
        "bind": settings.bind,
        "workers": settings.workers,
        "threads": settings.threads,
        "worker_class": f"{__name__}.{Worker.__name__}",
        # Loaded once, before the fork: a worker that died is replaced at once, memory is shared.
        "preload_app": True,
        "on_exit": _discard_metrics,
        "post_worker_init": _open_database,
        "keepalive": 60,
        "certfile": settings.tls_cert_file or None,
        "keyfile": settings.tls_key_file or None,
        "pre_request": _log_no_path,
        "umask": 0o177,  # Of a Unix socket, which is its owner's alone.
        "control_socket_disable": True,
        "limit_request_line": 8190,
        # No header may take the place of what the server knows: not SCRIPT_NAME, not X_Role.
        "forwarder_headers": "",
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
