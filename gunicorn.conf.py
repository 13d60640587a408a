"""Gives gunicorn the settings of the service, so that `gunicorn wsgi:app` needs no options."""

from barring.server import gunicorn_settings
from barring.settings import Settings, SettingsError

try:
    globals().update(gunicorn_settings(Settings.from_environment()))
except SettingsError as error:
    raise SystemExit(f"barring: {error}") from None
