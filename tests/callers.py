"""Callers of each mode: what they send, and the settings of a service that believes them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jwt

SECRET = "a-gateway-secret-of-more-than-32-bytes"
KEY = "a-token-secret-of-more-than-32-bytes!!"
PARTS = ("tenant", "group", "user")
"""The parts of a scope, as the claims of a token name them."""


def by_headers(role: str | None, scope: Mapping[str, str]) -> dict[str, str]:
    """The headers that say who calls, as a local client or a gateway sends them."""
    headers = {f"X-{part.title()}-Id": quote(value) for part, value in scope.items()}
    return headers if role is None else {"X-Role": role, **headers}


def by_gateway(role: str | None, scope: Mapping[str, str]) -> dict[str, str]:
    """The headers of a gateway that proves itself."""
    return by_headers(role, scope) | {"X-Gateway-Secret": SECRET}


def by_token(role: str | None, scope: Mapping[str, str]) -> dict[str, str]:
    """The header with a token that says who calls."""
    claims: dict[str, Any] = {"iss": "issuer", "aud": "barring", "exp": 2**40, **scope}
    if role is not None:
        claims["role"] = role
    return {"Authorization": f"Bearer {jwt.encode(claims, KEY, 'HS256')}"}


MODES: dict[str, Callable[[str | None, Mapping[str, str]], dict[str, str]]] = {
    "local": by_headers,
    "gateway": by_gateway,
    "jwt": by_token,
}


def settings_of(mode: str, folder: Path) -> dict[str, str]:
    """The settings of a service in this mode; a key file is written into the folder."""
    if mode == "gateway":
        return {"auth": mode, "gateway_secret": SECRET}
    if mode == "local":
        return {"auth": mode}
    file = folder / "key"
    file.write_text(KEY)
    return {
        "auth": mode,
        "jwt_algorithm": "HS256",
        "jwt_key_file": str(file),
        "jwt_issuer": "issuer",
        "jwt_audience": "barring",
    }
