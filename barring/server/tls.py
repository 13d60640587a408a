"""gunicorn's TLS settings, checked, and a check for secrets that are sent without TLS."""

import ssl
from typing import Any

from barring import logs
from barring.settings import Settings, SettingsError, is_local

_FORMER = "; the former certificate stays in use; correct the file and reload"

_contexts: dict[tuple[str, str], ssl.SSLContext] = {}
"""The certificates in use, by the paths of the files of the certificate and its key."""


def tls_settings(settings: Settings) -> dict[str, Any]:
    """gunicorn's settings for TLS.

    Raises SettingsError if the certificate cannot be used. On a reload, logs the error instead, and
    keeps the former certificate. The workers inherit the certificate and do not read the files, so
    that a worker that starts later can serve, too.
    """
    files = cert, key = settings.tls_cert_file, settings.tls_key_file
    if not (cert or key):
        return {}
    try:
        fault = f"BARRING_TLS_CERT_FILE: {cert or 'not set'}: must contain a PEM certificate"
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cert)
        fault = f"BARRING_TLS_KEY_FILE: {key or 'not set'}: must contain the certificate's PEM key"
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(cert, key, password="")  # It would ask for one at the terminal.
        _contexts[files] = context
    except (OSError, ValueError) as error:
        fault += f" ({getattr(error, 'strerror', error)})"
        if files not in _contexts:
            raise SettingsError(fault) from error
        logs.emit("warning", message=fault + _FORMER)
    return {"certfile": cert, "keyfile": key, "ssl_context": lambda _config, _new: _contexts[files]}


def sends_secrets_unencrypted(settings: Settings) -> bool:
    """Whether secrets or tokens cross a network without TLS."""
    local = settings.bind.startswith("unix:") or is_local(settings.bind)
    secrets = settings.auth != "local" or settings.platform_secrets_file
    return bool(secrets) and not local and not settings.tls_cert_file
