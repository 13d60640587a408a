"""gunicorn's TLS settings, checked, and a check for secrets that are sent without TLS."""

import ssl
from typing import Any

from barring.settings import Settings, SettingsError, is_local


def tls_settings(settings: Settings) -> dict[str, Any]:
    """gunicorn's settings for TLS. Raises SettingsError if the certificate cannot be used."""
    if not (settings.tls_cert_file or settings.tls_key_file):
        return {}
    try:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(settings.tls_cert_file, settings.tls_key_file)
    except (OSError, ValueError) as error:
        raise SettingsError(
            "BARRING_TLS_CERT_FILE, BARRING_TLS_KEY_FILE: must contain a certificate and its key "
            f"({error.strerror if isinstance(error, OSError) else error})"
        ) from error
    return {"certfile": settings.tls_cert_file, "keyfile": settings.tls_key_file}


def sends_secrets_unencrypted(settings: Settings) -> bool:
    """Whether secrets or tokens cross a network without TLS."""
    local = settings.bind.startswith("unix:") or is_local(settings.bind)
    secrets = settings.auth != "local" or settings.platform_secrets_file
    return bool(secrets) and not local and not settings.tls_cert_file
