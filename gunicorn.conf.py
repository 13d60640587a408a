"""gunicorn's configuration file: `gunicorn wsgi:app` takes all settings from the environment."""

from gevent import monkey

monkey.patch_all()  # Before the imports below create a lock or a socket.

from barring import logs  # noqa: E402
from barring.server.config import gunicorn_settings  # noqa: E402
from barring.settings import Settings, SettingsError  # noqa: E402

logs.never_wait()
try:
    globals().update(gunicorn_settings(Settings.from_environment()))
except SettingsError as error:
    raise SystemExit(f"barring: {error}") from None
