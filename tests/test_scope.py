"""Every role against every owner, on every route and method, in every mode."""

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jwt
import pytest
from flask.testing import FlaskClient

from tests.service import codes_path

SECRET = "a-gateway-secret-of-more-than-32-bytes"
KEY = "a-token-secret-of-more-than-32-bytes!!"
OWNERS = list(product(("t1", "t2"), ("g1", "g2"), ("u1", "ü 2")))
ROLES = {"End User": 3, "Group Admin": 2, "Tenant Admin": 1, "System Admin": 0}
CALLS = [
    ("GET", "", 200),
    ("GET", "77/", 200),
    ("POST", "", 415),
    ("DELETE", "", 415),
    ("DELETE", "absent/", 200),
]
PARTS = ("Tenant", "Group", "User")


def by_headers(role: str, scope: tuple[str, ...]) -> dict[str, str]:
    """The headers that say who calls, as a local client or a gateway sends them."""
    names = zip(PARTS, scope, strict=False)
    return {"X-Role": role, **{f"X-{part}-Id": quote(value) for part, value in names}}


def by_gateway(role: str, scope: tuple[str, ...]) -> dict[str, str]:
    """The headers of a gateway that proves itself."""
    return by_headers(role, scope) | {"X-Gateway-Secret": SECRET}


def by_token(role: str, scope: tuple[str, ...]) -> dict[str, str]:
    """The header with a token that says who calls."""
    claims = {"role": role, "iss": "issuer", "aud": "barring", "exp": 2**40}
    claims |= dict(zip(("tenant", "group", "user"), scope, strict=False))
    return {"Authorization": f"Bearer {jwt.encode(claims, KEY, 'HS256')}"}


MODES: dict[str, Callable[[str, tuple[str, ...]], dict[str, str]]] = {
    "local": by_headers,
    "gateway": by_gateway,
    "jwt": by_token,
}


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the tokens' secret."""
    file = tmp_path_factory.mktemp("keys") / "key"
    file.write_text(KEY)
    return file


@pytest.fixture
def clients(make_client: Any, key_file: Path) -> dict[str, FlaskClient]:
    """A client of the service in each mode, all on one database."""
    token = {
        "jwt_algorithm": "HS256",
        "jwt_key_file": str(key_file),
        "jwt_issuer": "issuer",
        "jwt_audience": "barring",
    }
    settings = {"local": {}, "gateway": {"gateway_secret": SECRET}, "jwt": token}
    made = {mode: make_client(auth=mode, **more) for mode, more in settings.items()}
    for client in made.values():
        client.environ_base.pop("HTTP_X_ROLE")
    for owner in OWNERS:
        headers = by_headers("System Admin", ())
        made["local"].post(codes_path(*owner), json={"code": "77"}, headers=headers)
    return made


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("role", ROLES)
def test_role_reaches_its_scope_and_no_further(
    clients: dict[str, FlaskClient], mode: str, role: str
) -> None:
    """A caller reads within its scope, writes from Group Admin on, and is 403 everywhere else."""
    breadth = ROLES[role]
    for scope in {owner[:breadth] for owner in OWNERS}:
        headers = MODES[mode](role, scope)
        for owner, (method, suffix, allowed) in product(OWNERS, CALLS):
            path = codes_path(*owner) + suffix
            status = clients[mode].open(path, method=method, headers=headers).status_code
            may = owner[:breadth] == scope and (method == "GET" or role != "End User")
            assert status == (allowed if may else 403), (scope, owner, method, suffix)


@pytest.mark.parametrize("mode", ["gateway", "jwt"])
@pytest.mark.parametrize("role", ROLES)
def test_scope_is_mandatory_as_far_as_the_role_reaches(
    clients: dict[str, FlaskClient], mode: str, role: str
) -> None:
    """Behind a gateway and with a token, a caller that leaves out part of its scope is 403."""
    owner = OWNERS[0]
    for length in range(4):
        headers = MODES[mode](role, owner[:length])
        status = clients[mode].get(codes_path(*owner), headers=headers).status_code
        assert status == (200 if length >= ROLES[role] else 403)


@pytest.mark.parametrize("mode", MODES)
def test_refusal_tells_nothing_of_what_exists(clients: dict[str, FlaskClient], mode: str) -> None:
    """A 403 is byte for byte the same whether or not the code, user, group or tenant exists."""
    paths = [codes_path("t1", "g1", "ü 2") + "77/", codes_path("t1", "g1", "ü 2") + "78/"]
    paths += [codes_path("t1", "g1", "no"), codes_path("t1", "no", "no"), codes_path("no", "g1")]
    headers = MODES[mode]("End User", ("t1", "g1", "u1"))
    answers = [clients[mode].get(path, headers=headers) for path in paths]
    assert {answer.status_code for answer in answers} == {403}
    assert len({answer.data for answer in answers}) == 1
    shown = [{k: v for k, v in a.headers.items() if k != "X-Request-ID"} for a in answers]
    assert all(headers == shown[0] for headers in shown)


@pytest.mark.parametrize("mode", MODES)
def test_case_and_unicode_form_make_another_owner(
    clients: dict[str, FlaskClient], mode: str
) -> None:
    """A scope that differs from the path in case or in Unicode form does not cover it."""
    path = codes_path("t1", "g1", "ü 2")
    for user, status in (("ü 2", 200), ("Ü 2", 403), ("u\u0308 2", 403)):
        headers = MODES[mode]("End User", ("t1", "g1", user))
        assert clients[mode].get(path, headers=headers).status_code == status


def test_documentation_is_public_in_every_mode(clients: dict[str, FlaskClient]) -> None:
    """Who may read no code may still read how to ask."""
    for client in clients.values():
        for path in ("/", "/docs/", "/openapi.json"):
            with client.get(path, environ_overrides={"REMOTE_ADDR": "192.0.2.1"}) as answer:
                assert answer.status_code in (200, 302)


def test_security_schemes_follow_the_mode(clients: dict[str, FlaskClient]) -> None:
    """The document asks a client for what its mode believes."""
    for mode, names in (
        ("local", {"X-Role"}),
        ("gateway", {"X-Role", "X-Gateway-Secret", "X-Tenant-Id", "X-Group-Id", "X-User-Id"}),
        ("jwt", {"bearer"}),
    ):
        document = clients[mode].get("/openapi.json").json
        assert document
        schemes = document["components"]["securitySchemes"]
        assert {s.get("name") or s["scheme"] for s in schemes.values()} == names
        for path in document["paths"].values():
            assert path["get" if "get" in path else "post"]["security"] == [
                {key: [] for key in schemes}
            ]
