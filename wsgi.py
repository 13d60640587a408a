"""The application that gunicorn loads: `gunicorn wsgi:app`."""

from app import create_app
from barring.settings import SettingsError
from barring.storage.base import StorageError

try:
    app = create_app()
except (SettingsError, StorageError) as error:
    raise SystemExit(f"barring: {error}") from None
