"""Mode `gateway`: a gateway proves itself, and then its headers are believed."""

from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from barring.settings import SettingsError
from tests.service import codes_path, running

OLD, NEW = "old-secret-".ljust(32, "0"), "new-secret-".ljust(40, "1")
ADMIN = {"X-Role": "System Admin"}


def status(client: FlaskClient, secret: str | None, **extra: Any) -> int:
    """The answer to a System Admin behind a gateway with this secret."""
    headers = ADMIN if secret is None else ADMIN | {"X-Gateway-Secret": secret}
    return client.get(codes_path(), headers=headers, **extra).status_code


@pytest.mark.parametrize("secret", [None, "", OLD[:-1], OLD + "0", OLD.upper(), f"{OLD},{OLD}"])
def test_other_secrets_are_refused(make_client: Any, secret: str | None) -> None:
    """Without the secret, or with another, the answer is 401 whatever else was sent."""
    assert status(make_client(auth="gateway", gateway_secret=OLD), secret) == 401


def test_gateway_serves_other_machines(make_client: Any) -> None:
    """A gateway may be anywhere, and may say what it forwards."""
    client = make_client(auth="gateway", gateway_secret=OLD)
    assert status(client, OLD, environ_overrides={"REMOTE_ADDR": "192.0.2.7"}) == 200
    headers = ADMIN | {"X-Gateway-Secret": OLD, "X-Forwarded-For": "192.0.2.9", "Via": "1.1 gw"}
    assert client.get(codes_path(), headers=headers).status_code == 200


def test_no_forwarded_scheme_is_believed(tmp_path: Path) -> None:
    """What a proxy says of the scheme counts for nothing, and its contradictions neither."""
    settings = {"BARRING_AUTH": "gateway", "BARRING_GATEWAY_SECRET": OLD}
    told = {"X-Gateway-Secret": OLD, "X-Forwarded-Proto": "https", "X-Forwarded-Ssl": "off"}
    with running(tmp_path, **settings) as service, service.client(**ADMIN, **told) as client:
        assert client.get(codes_path()).status_code == 200


def test_secret_may_hold_any_text(make_client: Any) -> None:
    """A secret with accents is compared byte for byte."""
    secret = "sésame-".ljust(40, "é")
    client = make_client(auth="gateway", gateway_secret=secret)
    assert status(client, secret.encode().decode("latin-1")) == 200


def test_two_secrets_are_accepted_at_once(make_client: Any, tmp_path: Path) -> None:
    """While secrets are rotated the old one and the new one both serve."""
    file = tmp_path / "secrets"
    file.write_text(f"{OLD}\n{NEW}\n")
    for settings in (
        {"gateway_secret": f"{OLD} {NEW}"},
        {"gateway_secret_file": str(file)},
    ):
        client = make_client(auth="gateway", **settings)
        assert [status(client, s) for s in (OLD, NEW, f"{OLD} {NEW}")] == [200, 200, 401]


def test_401_challenges_and_says_what_is_missing(make_client: Any) -> None:
    """The answers tell a missing proof from a missing role."""
    client = make_client(auth="gateway", gateway_secret=OLD)
    unproven = client.get(codes_path(), headers=ADMIN)
    assert unproven.headers["WWW-Authenticate"].startswith("Gateway ")
    assert "X-Gateway-Secret" in unproven.json["message"]
    nobody = client.get(codes_path(), headers={"X-Gateway-Secret": OLD, "X-Role": "boss"})
    assert nobody.status_code == 401
    assert nobody.headers["WWW-Authenticate"].startswith("Role ")


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({}, "BARRING_GATEWAY_SECRET_FILE"),
        ({"gateway_secret": "short"}, "BARRING_GATEWAY_SECRET"),
        ({"gateway_secret": f"{OLD} short"}, "BARRING_GATEWAY_SECRET"),
        ({"gateway_secret": f"{OLD} {NEW} {NEW}"}, "at most two"),
        ({"gateway_secret_file": "/nowhere"}, "BARRING_GATEWAY_SECRET_FILE: /nowhere"),
    ],
)
def test_weak_settings_refuse_to_start(
    make_client: Any, settings: dict[str, str], named: str
) -> None:
    """Without a secret, or with a weak one, the service does not start and says what to set."""
    with pytest.raises(SettingsError, match=named) as caught:
        make_client(auth="gateway", **settings)
    assert OLD not in str(caught.value)
