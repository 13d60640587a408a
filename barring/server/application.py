"""The server of `barring serve`: gunicorn without its command line and configuration file."""

import sys
from importlib import import_module
from typing import Any

from gunicorn.app.base import BaseApplication

from barring.settings import Settings

from . import binary
from .config import gunicorn_settings
from .tls import tls_settings


class Server(BaseApplication):
    """gunicorn with the service. Raises SettingsError if gunicorn_settings does."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.options = gunicorn_settings(settings)
        super().__init__()

    def load_config(self) -> None:
        """Give gunicorn its settings, at startup and on SIGHUP, with the certificate of then."""
        for name, value in (self.options | tls_settings(self.settings)).items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """Create the application. It is imported by name: only wsgi.py may import it."""
        return import_module("app").create_app(self.settings)

    def run(self) -> None:
        """Serve until a signal stops the server."""
        if getattr(sys, "frozen", False):
            binary.lock_unpacked_files()
            binary.stop_with_launcher()
        super().run()
