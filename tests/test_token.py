"""Mode `jwt`: what a token must be, and that no forged one is believed."""

import base64
import hashlib
import hmac
import json
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from flask.testing import FlaskClient

from barring.settings import SettingsError
from tests.service import codes_path

ISSUER, AUDIENCE = "https://login.example.com", "barring"
RSA = rsa.generate_private_key(65537, 2048)
OTHER_RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def public(key: Any) -> str:
    """The PEM public key of a private one."""
    pem: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem.decode()


def claims(**changes: Any) -> dict[str, Any]:
    """A good System Admin's claims, changed; None leaves one out, a timedelta counts from now."""
    for name in changes.keys() & {"exp", "nbf"}:
        if isinstance(changes[name], timedelta):
            changes[name] = int(time.time() + changes[name].total_seconds())
    good = {"role": "System Admin", "iss": ISSUER, "aud": AUDIENCE, "exp": int(time.time()) + 300}
    return {name: value for name, value in (good | changes).items() if value is not None}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for key files."""
    return tmp_path_factory.mktemp("keys")


@pytest.fixture
def start(make_client: Any, keys: Path) -> Any:
    """Starts the service with an algorithm and what its key file holds."""

    def start(algorithm: str, key_text: str, **changes: str) -> FlaskClient:
        # What holds the same has the same name: tests with the same settings can share a binary.
        file = keys / hashlib.sha256(key_text.encode()).hexdigest()
        file.write_text(key_text)
        settings = {
            "jwt_algorithm": algorithm,
            "jwt_key_file": str(file),
            "jwt_issuer": ISSUER,
            "jwt_audience": AUDIENCE,
        }
        client: FlaskClient = make_client(auth="jwt", **(settings | changes))
        return client

    return start


def ask(client: FlaskClient, token: str) -> tuple[int, str]:
    """Status and challenge for a bearer of this token."""
    answer = client.get(codes_path(), headers={"Authorization": f"Bearer {token}"})
    return answer.status_code, answer.headers.get("WWW-Authenticate", "")


@pytest.mark.parametrize(
    ("algorithm", "key"), [("RS256", RSA), ("PS256", RSA), ("ES256", EC), ("EdDSA", ED)]
)
def test_token_of_the_issuer_is_believed(start: Any, algorithm: str, key: Any) -> None:
    """A token signed by the issuer's key is believed, from any machine."""
    client = start(algorithm, public(key))
    token = jwt.encode(claims(), key, algorithm)
    assert ask(client, token)[0] == 200
    headers = {"Authorization": f"bearer {token}"}
    outside = {"REMOTE_ADDR": "192.0.2.7"}
    assert client.get(codes_path(), headers=headers, environ_overrides=outside).status_code == 200


def test_shared_secret_is_believed(start: Any) -> None:
    """With HS256 a token signed by the shared secret is believed, and no other."""
    secret = "s" * 32
    client = start("HS256", secret + "\n")
    assert ask(client, jwt.encode(claims(), secret, "HS256"))[0] == 200
    assert ask(client, jwt.encode(claims(), "t" * 32, "HS256"))[0] == 401
    assert ask(client, jwt.encode(claims(), "s" * 64, "HS512"))[0] == 401


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"exp": timedelta(seconds=-61)}, "expired"),
        ({"nbf": timedelta(seconds=3600)}, "not valid yet"),
        ({"iss": "https://other.example.com"}, "issuer"),
        ({"aud": "other"}, "audience"),
        ({"aud": ["other", "more"]}, "audience"),
        ({"exp": None}, "missing"),
        ({"iss": None}, "missing"),
        ({"aud": None}, "missing"),
        ({"exp": "tomorrow"}, "malformed"),
        ({"role": None}, "role"),
        ({"role": "boss"}, "role"),
        ({"role": ["System Admin"]}, "role"),
        ({"role": 4}, "role"),
    ],
)
def test_fault_of_a_token_is_named(start: Any, changes: dict[str, Any], fault: str) -> None:
    """An invalid token is 401 with invalid_token and the class of its fault."""
    status, challenge = ask(start("ES256", public(EC)), jwt.encode(claims(**changes), EC, "ES256"))
    assert status == 401
    assert challenge.startswith('Bearer realm="barring", error="invalid_token"')
    assert fault in challenge


@pytest.mark.parametrize("changes", [{"aud": ["other", AUDIENCE]}, {"exp": timedelta(seconds=-5)}])
def test_audience_may_be_listed_and_clocks_may_differ(start: Any, changes: dict[str, Any]) -> None:
    """A token may name several audiences, and its end is taken with half a minute of leeway."""
    client = start("ES256", public(EC))
    assert ask(client, jwt.encode(claims(**changes), EC, "ES256"))[0] == 200


def test_scope_claims_are_strings(start: Any) -> None:
    """A claim of the scope that is no string covers nothing."""
    client = start("ES256", public(EC))
    for tenant, status in (("footenant", 200), (["footenant"], 403), (7, 403), ("", 403)):
        token = jwt.encode(claims(role="Tenant Admin", tenant=tenant), EC, "ES256")
        assert ask(client, token)[0] == status


def test_claims_that_do_not_bind_do_not_matter(start: Any) -> None:
    """What stands in claims beyond the role's breadth neither helps nor breaks a write."""
    client = start("ES256", public(EC))
    own = {"role": "Group Admin", "tenant": "footenant", "group": "foogroup"}
    for number, user in enumerate((2**70, "\ud800", [[[]]], {"a": 1}), 10):
        token = jwt.encode(claims(**own, user=user), EC, "ES256")
        headers = {"Authorization": f"Bearer {token}"}
        answer = client.post(codes_path(), json={"code": str(number)}, headers=headers)
        assert answer.status_code == 201


def part(value: Any) -> str:
    """A part of a token made by hand."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def test_forgeries_are_refused(start: Any) -> None:
    """No signature, the public key as a secret, another key or algorithm, a changed claim: 401."""
    pem = public(RSA)
    client = start("RS256", pem)
    body = part(claims())
    confused = f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{body}"
    mac = hmac.new(pem.encode(), confused.encode(), hashlib.sha256).digest()
    good = jwt.encode(claims(), RSA, "RS256").split(".")
    embedded = {"jwk": {"kty": "oct", "k": "AA"}, "jku": "https://evil.example.com", "kid": "../x"}
    forged = [
        f"{part({'alg': 'none', 'typ': 'JWT'})}.{body}.",
        f"{part({'alg': 'None'})}.{body}.{good[2]}",
        f"{confused}.{part(mac)}",
        jwt.encode(claims(), OTHER_RSA, "RS256"),
        jwt.encode(claims(), OTHER_RSA, "RS256", headers=embedded),
        jwt.encode(claims(), RSA, "PS256"),
        jwt.encode(claims(), RSA, "RS512"),
        f"{good[0]}.{part(claims(role='End User'))}.{good[2]}",
        f"{good[0]}.{good[1]}.",
        f"{good[0]}.{good[1]}",
        f"{good[0]}.{good[1]}.{good[2]}x",
        "..",
        "x",
        part({"alg": "RS256"}),
        f"{good[0]}.{part([1])}.{good[2]}",
        "%00",
        "é",
    ]
    assert ask(client, ".".join(good))[0] == 200
    for token in forged:
        status, challenge = ask(client, token)
        assert status == 401, token
        assert 'error="invalid_token"' in challenge


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic YTpi", "Token x"])
def test_without_a_token_the_challenge_is_plain(start: Any, header: str | None) -> None:
    """Who sends no token is told to, without an error code (RFC 6750, section 3.1)."""
    headers = {} if header is None else {"Authorization": header}
    answer = start("ES256", public(EC)).get(codes_path(), headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="barring"'


def test_doubled_token_and_role_header_are_not_believed(start: Any) -> None:
    """Two tokens are none, and X-Role counts for nothing here."""
    client = start("ES256", public(EC))
    token = jwt.encode(claims(), EC, "ES256")
    assert ask(client, f"{token},Bearer {token}")[0] == 401
    assert client.get(codes_path(), headers={"X-Role": "System Admin"}).status_code == 401


def test_two_keys_are_accepted_at_once(start: Any) -> None:
    """While keys are rotated tokens of both serve."""
    client = start("RS256", public(RSA) + public(OTHER_RSA))
    for key, status in ((RSA, 200), (OTHER_RSA, 200)):
        assert ask(client, jwt.encode(claims(), key, "RS256"))[0] == status
    late = claims(exp=int(time.time()) - 300)
    assert "expired" in ask(client, jwt.encode(late, OTHER_RSA, "RS256"))[1]
    client = start("HS256", f"{'a' * 32}\n{'b' * 32}\n")
    assert ask(client, jwt.encode(claims(), "b" * 32, "HS256"))[0] == 200


WEAK_RSA = rsa.generate_private_key(65537, 1024)
PRIVATE = RSA.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.mark.parametrize(
    ("algorithm", "key_text", "changes", "named"),
    [
        ("RS256", public(RSA), {"jwt_issuer": ""}, "BARRING_JWT_ISSUER"),
        ("RS256", public(RSA), {"jwt_audience": ""}, "BARRING_JWT_AUDIENCE"),
        ("", public(RSA), {}, "BARRING_JWT_ALGORITHM"),
        ("RS256", "", {"jwt_key_file": ""}, "BARRING_JWT_KEY_FILE"),
        ("RS256", "", {"jwt_key_file": "/nowhere"}, "BARRING_JWT_KEY_FILE: /nowhere"),
        ("RS256", "", {}, "BARRING_JWT_KEY_FILE: must contain one or two keys"),
        ("RS256", public(RSA) * 3, {}, "one or two keys"),
        ("RS256", PRIVATE, {}, "public keys for RS256"),
        ("RS256", public(EC), {}, "public keys for RS256"),
        ("ES256", public(RSA), {}, "public keys for ES256"),
        ("ES256", public(ec.generate_private_key(ec.SECP384R1())), {}, "keys for ES256"),
        ("RS256", public(WEAK_RSA), {}, "2,048 bits"),
        ("HS256", public(RSA), {}, "HS256 needs a secret"),
        ("HS256", "short", {}, "at least 32 bytes"),
    ],
)
def test_missing_or_weak_settings_refuse_to_start(
    start: Any, algorithm: str, key_text: str, changes: dict[str, str], named: str
) -> None:
    """The service does not start without all that the mode needs, and says what to set."""
    with pytest.raises(SettingsError, match=named):
        start(algorithm, key_text, **changes)
