"""The mode that trusts signed bearer tokens."""

import re
from typing import Any, ClassVar, NoReturn

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from barring.http.application import current_request
from barring.settings import Settings, SettingsError, read_file, split_secrets, variable

from .base import BEARER, Mode, refuse
from .roles import TITLES, Caller, role_named

LEEWAY = 30
"""Seconds by which the clocks of the issuer and the service may differ."""

_FAULTS: dict[type[jwt.PyJWTError], str] = {
    jwt.ExpiredSignatureError: "the token has expired",
    jwt.ImmatureSignatureError: "the token is not valid yet",
    jwt.InvalidIssuerError: "the token is from another issuer",
    jwt.InvalidAudienceError: "the token is for another audience",
    jwt.MissingRequiredClaimError: "a claim is missing",
    jwt.InvalidAlgorithmError: "the token is signed with another algorithm",
    jwt.InvalidSignatureError: "the signature is not valid",
}
_KEY_FILE = variable("jwt_key_file")
_PEM = re.compile(r"-----BEGIN [^-]+-----.*?-----END [^-]+-----", re.DOTALL)


class Token(Mode):
    """Trusts tokens of one issuer, for one audience, signed with one algorithm."""

    security_schemes: ClassVar = {"caller": BEARER | {"bearerFormat": "JWT"}}

    def __init__(self, settings: Settings) -> None:
        for name in ("jwt_algorithm", "jwt_key_file", "jwt_issuer", "jwt_audience"):
            if not getattr(settings, name):
                raise SettingsError(f"{variable(name)}: BARRING_AUTH=jwt needs this setting")
        super().__init__(settings)
        self._settings = settings
        self._keys = _keys(settings.jwt_algorithm, read_file(_KEY_FILE, settings.jwt_key_file))

    def caller(self) -> Caller:
        scheme, _, token = current_request().headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            message = "Send the header Authorization: Bearer, with a token."
            refuse(401, "token_missing", message, 'Bearer realm="barring"')
        claims = self._claims(token.strip())
        name = claims.get("role")
        role = role_named(name) if isinstance(name, str) else None
        if role is None:
            _refuse_token(f"the claim role is not one of {TITLES}")
        caller = Caller.of(role, claims)
        if part := caller.missing_part():
            refuse(403, "scope_missing", f"A token with this role needs the claim {part}.")
        return caller

    def _claims(self, token: str) -> dict[str, Any]:
        """The claims of a token that was signed with one of the keys. Refuses any other token."""
        fault = "the token is malformed"
        for key in self._keys:
            try:
                return jwt.decode(
                    token,
                    key,
                    algorithms=[self._settings.jwt_algorithm],
                    leeway=LEEWAY,
                    options={"require": ["exp", "iss", "aud"]},
                    issuer=self._settings.jwt_issuer,
                    audience=self._settings.jwt_audience,
                )
            except jwt.PyJWTError as error:
                fault = _FAULTS.get(type(error), fault)
                if not isinstance(error, jwt.InvalidSignatureError):
                    break
        _refuse_token(fault)


def _refuse_token(fault: str) -> NoReturn:
    """Abort with 401 as RFC 6750, section 3, specifies."""
    challenge = f'Bearer realm="barring", error="invalid_token", error_description="{fault}"'
    refuse(401, "token_invalid", f"The bearer token is not accepted: {fault}.", challenge)


def _keys(algorithm: str, text: str) -> list[Any]:
    """The one or two keys in the key file. Raises SettingsError for other content."""
    blocks = _PEM.findall(text)
    if algorithm != "HS256":
        keys = [_public_key(algorithm, block) for block in blocks]
    elif blocks:
        raise SettingsError(f"{_KEY_FILE}: HS256 needs a secret, but the file has a PEM key")
    else:
        keys = split_secrets(_KEY_FILE, text)
    if not 1 <= len(keys) <= 2:
        raise SettingsError(f"{_KEY_FILE}: must contain one or two keys for {algorithm}")
    return keys


def _public_key(algorithm: str, pem: str) -> Any:
    kind = jwt.get_algorithm_by_name(algorithm)
    try:
        key = kind.prepare_key(load_pem_public_key(pem.encode()))
    except (ValueError, TypeError, UnsupportedAlgorithm, jwt.PyJWTError):
        message = f"{_KEY_FILE}: must contain PEM public keys for {algorithm}"
        raise SettingsError(message) from None
    if kind.check_key_length(key):
        raise SettingsError(f"{_KEY_FILE}: an RSA key needs at least 2,048 bits")
    return key
