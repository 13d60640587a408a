"""Gives gunicorn the settings of the service, so that `gunicorn wsgi:app` needs no options."""

from gevent import monkey

monkey.patch_all()  # Before anything of the service is imported, and opens a socket or a lock.

from barring.server.config import gunicorn_settings  # noqa: E402
from barring.settings import Settings, SettingsError  # noqa: E402

try:
    globals().update(gunicorn_settings(Settings.from_environment()))
except SettingsError as error:
    raise SystemExit(f"barring: {error}") from None
