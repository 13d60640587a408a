"""The service's settings for gunicorn."""

import logging
import tempfile
from typing import Any

from gunicorn.glogging import Logger

from barring import logs
from barring.settings import Settings, SettingsError

from . import hooks
from .connections import IDLE_TIMEOUT
from .open_files import allowed_connections
from .tls import sends_secrets_unencrypted, tls_settings
from .worker import Worker


class Log(Logger):
    """Sends the messages of gunicorn and of all libraries to the service's log."""

    def setup(self, cfg: Any) -> None:
        """Replace gunicorn's own handler. No setting enables gunicorn's access log."""
        super().setup(cfg)
        self.error_log.handlers = []
        self.error_log.propagate = True
        logging.basicConfig(handlers=[logs.Handler()])


def require_temporary_folder() -> None:
    """Raise SettingsError if no temporary file can be created. Each worker of gunicorn has one."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError as none:
        try:
            with tempfile.TemporaryFile(dir="/tmp", buffering=0) as trial:
                trial.write(b"for the reason")
        except OSError as error:
            reasons = f"{none.strerror}; /tmp: {error.strerror}"
            raise SettingsError(f"TMPDIR: {reasons}; set it to a writable folder") from None


def gunicorn_settings(settings: Settings) -> dict[str, Any]:
    """The settings of gunicorn, by gunicorn's names.

    Raises SettingsError for an unusable TLS certificate, and if there is no temporary folder. Also
    increases the limit of open files.
    """
    require_temporary_folder()
    if sends_secrets_unencrypted(settings):
        logs.emit(
            "warning",
            message=f"BARRING_AUTH={settings.auth} at {settings.bind} without TLS sends secrets "
            "unencrypted; set BARRING_TLS_CERT_FILE, or bind to loopback behind a proxy",
        )
    return {
        "bind": settings.bind,
        "workers": settings.workers,
        "worker_class": f"{Worker.__module__}.{Worker.__name__}",
        # Load the application before the fork: a new worker starts at once, and memory is shared.
        "preload_app": True,
        "on_starting": hooks.before_listening,
        "on_reload": hooks.on_reload,
        "pre_fork": hooks.before_fork,
        "post_worker_init": hooks.before_serving,
        "pre_request": hooks.log_no_path,
        "keepalive": IDLE_TIMEOUT,
        "worker_connections": allowed_connections(),
        **tls_settings(settings),
        "logger_class": f"{Log.__module__}.{Log.__name__}",
        "sendfile": False,  # It needs a plain socket, and would bypass the time limits.
        "umask": 0o177,  # A Unix socket is for its owner only.
        "control_socket_disable": True,
        "limit_request_line": 8190,
        # No header may override SCRIPT_NAME or the scheme, and X_Role must not pass for X-Role.
        # Then no peer is trusted more than another, and gunicorn need not check its address.
        "forwarder_headers": "",
        "secure_scheme_headers": {},
        "forwarded_allow_ips": "*",
        "header_map": "refuse",
    }
