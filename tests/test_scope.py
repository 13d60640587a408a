"""Every role against many users, on every route and method of a user's codes, in every mode."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.callers import MODES, PARTS, settings_of
from tests.service import codes_path

OWNERS = list(product(("t1", "t2"), ("g1", "g2"), ("u1", "ü 2")))
ROLES = {"End User": 3, "Group Admin": 2, "Tenant Admin": 1, "System Admin": 0}
CALLS = [
    ("GET", "", 200),
    ("GET", "77/", 200),
    ("POST", "", 400),
    ("DELETE", "", 400),
    ("PATCH", "77/", 400),
    ("DELETE", "absent/", 200),
]


def sent(mode: str, role: str, scope: tuple[str, ...]) -> dict[str, str]:
    """The headers of a caller with the first parts of a scope."""
    return MODES[mode](role, dict(zip(PARTS, scope, strict=False)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the key of the tokens."""
    return tmp_path_factory.mktemp("keys")


@pytest.fixture
def clients(make_client: Any, folder: Path) -> dict[str, FlaskClient]:
    """A client of the service in each mode, all on one database."""
    made = {mode: make_client(**settings_of(mode, folder)) for mode in MODES}
    for client in made.values():
        client.environ_base.pop("HTTP_X_ROLE")
    for owner in OWNERS:
        headers = sent("local", "System Admin", ())
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
        headers = sent(mode, role, scope)
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
        headers = sent(mode, role, owner[:length])
        status = clients[mode].get(codes_path(*owner), headers=headers).status_code
        assert status == (200 if length >= ROLES[role] else 403)


@pytest.mark.parametrize("mode", MODES)
def test_refusal_tells_nothing_of_what_exists(clients: dict[str, FlaskClient], mode: str) -> None:
    """A 403 is byte for byte the same whether or not the code, user, group or tenant exists."""
    paths = [codes_path("t1", "g1", "ü 2") + "77/", codes_path("t1", "g1", "ü 2") + "78/"]
    paths += [codes_path("t1", "g1", "no"), codes_path("t1", "no", "no"), codes_path("no", "g1")]
    headers = sent(mode, "End User", ("t1", "g1", "u1"))
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
        headers = sent(mode, "End User", ("t1", "g1", user))
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
        assert schemes.pop("platform")["scheme"] == "bearer"  # In each mode, to verify codes.
        assert {s.get("name") or s["scheme"] for s in schemes.values()} == names
        for path in document["paths"].values():
            security = path["get" if "get" in path else "post"]["security"]
            assert security[0] == {key: [] for key in schemes}
