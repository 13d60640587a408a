"""Call platforms: the file of their secrets, and the role by headers and by token."""

import itertools
import re
import secrets
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from flask.testing import FlaskClient

from app import create_app
from barring.settings import Settings, SettingsError
from tests.command import failure, succeed
from tests.service import codes_path, running
from tests.test_token import AUDIENCE, EC, ISSUER, claims, public
from tests.waiting import await_that

GATEWAY = "gateway-secret-".ljust(40, "0")
ONE, TWO, THREE = (f"{name}._~+/-".ljust(32, "0") + "=" for name in ("one", "two", "three"))
PATH = codes_path("acme", "sales", "anna").replace("/codes/", "/verification/")
OTHER = PATH.replace("acme", "other")
ELSEWHERE = {"REMOTE_ADDR": "192.0.2.7"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of secrets: of every tenant, of one, and of one whose name is percent-encoded."""
    path = tmp_path / "platforms"
    path.write_text(
        f"# PBX in Berlin\n{ONE}\n\n{TWO} acme\n#{THREE}x\n{THREE} zo%C3%AB%2C%20k%231\n"
    )
    return path


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., FlaskClient]:
    """Starts the service in a mode, with all settings that the mode needs."""
    # Not the fixture make_client: access does not depend on the engine, nor on the binary.
    database_url = f"sqlite:///{tmp_path / 'codes.sqlite3'}"
    key = tmp_path / "key"
    key.write_text(public(EC))
    needed: dict[str, dict[str, Any]] = {
        "local": {},
        "gateway": {"gateway_secret": GATEWAY},
        "jwt": {
            "jwt_algorithm": "ES256",
            "jwt_key_file": str(key),
            "jwt_issuer": ISSUER,
            "jwt_audience": AUDIENCE,
        },
    }

    def start(mode: str, **settings: Any) -> FlaskClient:
        fields = {"database_url": database_url, "auth": mode, **needed[mode], **settings}
        return create_app(Settings(lockout_attempts=0, **fields)).test_client()

    return start


def status(client: FlaskClient, path: str = PATH, **more: Any) -> int:
    """The status of a verification; a 403 that is about the code, and not the caller, is 200."""
    answer = client.post(path, json={"code": "0000"}, **more)
    refused = answer.status_code == 403 and "errors" in answer.get_json()
    return 200 if refused else answer.status_code


def bearer(secret: str) -> dict[str, str]:
    """The header that holds a secret or a token."""
    return {"Authorization": f"Bearer {secret}"}


@pytest.mark.parametrize("mode", ["local", "gateway", "jwt"])
def test_secret_of_the_file_is_a_platform(start: Any, file: Path, mode: str) -> None:
    """In every mode and from any peer a secret verifies, for its line's tenant if it names one."""
    client = start(mode, platform_secrets_file=str(file))
    zoe = PATH.replace("acme", "zo%C3%AB%2C%20k%231")
    for secret, expected in (
        (ONE, (200, 200, 200)),
        (TWO, (200, 403, 403)),
        (THREE, (403, 403, 200)),
    ):
        for place in ({}, ELSEWHERE):
            sent = {"headers": bearer(secret), "environ_overrides": place}
            assert tuple(status(client, path, **sent) for path in (PATH, OTHER, zoe)) == expected
    assert status(client, headers={"Authorization": f"bearer  {ONE} "}) == 200
    forwarded = bearer(ONE) | {"X-Forwarded-For": "192.0.2.9", "Via": "1.1 proxy"}
    assert status(client, headers=forwarded) == 200


@pytest.mark.parametrize("mode", ["local", "gateway", "jwt"])
def test_other_headers_are_ignored(start: Any, file: Path, mode: str) -> None:
    """Beside a secret no role and no scope counts, whether it fits, forbids, or is malformed."""
    client = start(mode, platform_secrets_file=str(file))
    for values in itertools.product(
        ("System Admin", "End User", "boss", "\xff"), ("other", "%ff", "a,b", "", "\xfc")
    ):
        names = ("X-Tenant-Id", "X-Group-Id", "X-User-Id")
        headers = bearer(TWO) | {"X-Role": values[0]} | dict.fromkeys(names, values[1])
        assert status(client, headers=headers) == 200
        assert status(client, OTHER, headers=headers) == 403


@pytest.mark.parametrize("mode", ["local", "gateway", "jwt"])
def test_any_other_bearer_counts_as_without_the_file(start: Any, file: Path, mode: str) -> None:
    """A secret that is not in the file, and another scheme, get what they get without the file."""
    with_file = start(mode, platform_secrets_file=str(file))
    without = start(mode)
    role = {"X-Role": "Call Platform", "X-Gateway-Secret": GATEWAY}
    token = jwt.encode(claims(role="Call Platform"), EC, "ES256")
    for value in (
        f"Bearer {ONE[:-1]}",
        f"Bearer {ONE}=",
        f"Bearer {ONE.upper()}",
        f"Bearer {THREE}x",
        f"Bearer #{THREE}x",
        f"Bearer {ONE},Bearer {ONE}",
        f"Bearer {TWO} acme",
        f"Basic {ONE}",
        f"Token {ONE}",
        ONE,
        "Bearer",
        "Bearer é",
        f"Bearer {token}",
    ):
        for more in ({}, role):
            headers = {"Authorization": value} | more
            answers = [
                c.post(PATH, json={"code": "1"}, headers=headers) for c in (with_file, without)
            ]
            assert answers[0].status_code == answers[1].status_code, value
            for name in ("WWW-Authenticate", "Content-Type"):
                assert answers[0].headers.get(name) == answers[1].headers.get(name), value
            expected = {"local": bool(more), "gateway": bool(more), "jwt": token in value}[mode]
            assert ("errors" in answers[0].get_json()) is expected, value


@pytest.mark.parametrize("mode", ["local", "gateway", "jwt"])
def test_secret_opens_verification_and_nothing_else(start: Any, file: Path, mode: str) -> None:
    """Every other guarded route and method is 403 for a platform, whatever headers it adds."""
    client = start(mode, platform_secrets_file=str(file))
    ids = {"tenant_id": "acme", "group_id": "sales", "user_id": "anna", "code": "4711"}
    headers = bearer(ONE) | {"X-Role": "System Admin", "X-Gateway-Secret": GATEWAY}
    routes = client.application.url_map.bind("")
    asked: dict[tuple[str, str], int] = {}
    for rule in client.application.url_map.iter_rules():
        if not hasattr(client.application.view_functions[rule.endpoint], "required_role"):
            assert rule.rule.startswith(("/docs/", "/health/")) or rule.rule in (
                "/",
                "/openapi.json",
            )
            continue
        values = {name: ids[name] for name in rule.arguments}
        for method in sorted({*(rule.methods or ())} - {"OPTIONS"}):
            path = routes.build(rule.endpoint, values, method=method)
            answer = client.open(path, method=method, json={"code": "1"}, headers=headers)
            asked[method, path] = answer.status_code
            if "/verification" not in path and method != "HEAD":
                assert "errors" not in answer.get_json()
    verifications = {call for call in asked if "/verification" in call[1]}
    assert {method for method, _ in verifications} == {"POST"}
    assert len(asked) > 20
    assert set(asked.values()) == {403}


ROLES = ["Call Platform", "call_platform", "call-platform", "CALL_PLATFORM", "CallPlatform"]


@pytest.mark.parametrize("mode", ["local", "gateway"])
@pytest.mark.parametrize("role", ROLES)
def test_role_by_headers(start: Any, mode: str, role: str) -> None:
    """Who is believed may be a Call Platform by X-Role, in each spelling of a role."""
    headers = {"X-Role": role, "X-Gateway-Secret": GATEWAY}
    assert status(start(mode), headers=headers) == 200


SCOPES: list[tuple[dict[str, Any], int]] = [
    ({}, 200),
    ({"tenant": "acme"}, 200),
    ({"tenant": "other"}, 403),
    ({"tenant": "acme", "group": "sales"}, 200),
    ({"tenant": "acme", "group": "ops"}, 403),
    ({"tenant": "other", "group": "sales"}, 403),
    ({"group": "sales"}, 403),
    ({"tenant": ""}, 403),
    ({"tenant": "", "group": "sales"}, 403),
    ({"tenant": "acme", "group": ""}, 403),
    ({"user": "bert"}, 200),
    ({"user": ""}, 200),
    ({"tenant": "acme", "group": "sales", "user": "bert"}, 200),
]


@pytest.mark.parametrize("mode", ["local", "gateway"])
@pytest.mark.parametrize(("scope", "expected"), SCOPES)
def test_scope_by_headers(start: Any, mode: str, scope: dict[str, str], expected: int) -> None:
    """The role is held to a tenant, or a tenant and group; a group alone is 403, a user ignored."""
    named = {f"X-{part.title()}-Id": value for part, value in scope.items()}
    headers = {"X-Role": "Call Platform", "X-Gateway-Secret": GATEWAY, **named}
    assert status(start(mode), headers=headers) == expected


NOT_STRINGS: list[tuple[dict[str, Any], int]] = [
    ({part: value, **more}, 403)
    for value in (None, 7, ["acme"], {"a": "b"}, True)
    for part, more in (("tenant", {}), ("group", {"tenant": "acme"}), ("group", {}))
]


@pytest.mark.parametrize(
    ("scope", "expected"), [*SCOPES, *NOT_STRINGS, ({"user": None}, 200), ({"user": [7]}, 200)]
)
def test_scope_by_token(start: Any, scope: dict[str, Any], expected: int) -> None:
    """The claims hold the role likewise, and one that is null or no string is 403."""
    token = jwt.encode(claims(role="Call Platform") | scope, EC, "ES256")
    assert status(start("jwt"), headers=bearer(token)) == expected


@pytest.mark.parametrize("role", ROLES)
def test_role_by_token(start: Any, role: str) -> None:
    """The claim `role` is accepted in each spelling, and opens no code."""
    client = start("jwt")
    headers = bearer(jwt.encode(claims(role=role), EC, "ES256"))
    assert status(client, headers=headers) == 200
    assert client.get(codes_path(), headers=headers).status_code == 403


FAULTY: list[tuple[bytes, int, str]] = [
    (b"short", 1, "32 or more"),
    (b"# PBX\n\n" + ONE[:31].encode(), 3, "32 or more"),
    (f"{ONE}\n{'s' * 31}! acme".encode(), 2, "32 or more"),
    (f"{ONE}\n{'é' * 32}".encode(), 2, "32 or more"),
    (f" {ONE}".encode(), 1, "32 or more"),
    (f"{ONE}\n{TWO}\n{ONE}".encode(), 3, "earlier line or of the gateway"),
    (f"{ONE}\n{ONE} acme".encode(), 2, "earlier line or of the gateway"),
    (f"{TWO}\n{GATEWAY}".encode(), 2, "gateway"),
    (f"{ONE} ".encode(), 1, "SECRET TENANT"),
    (f"{ONE}  acme".encode(), 1, "SECRET TENANT"),
    (f"{ONE} acme ".encode(), 1, "SECRET TENANT"),
    (f"{ONE} acme sales".encode(), 1, "SECRET TENANT"),
    (f"{ONE} zo\u00eb".encode(), 1, "SECRET TENANT"),
    (f"{ONE} %ff".encode(), 1, "SECRET TENANT"),
    (f"{ONE} 100%".encode(), 1, "SECRET TENANT"),
    (f"{ONE} a%2Fb".encode(), 1, "SECRET TENANT"),
    (f"{ONE} a%00".encode(), 1, "SECRET TENANT"),
    (f"{ONE} ..".encode(), 1, "SECRET TENANT"),
    (f"{ONE} {'a' * 162}".encode(), 1, "SECRET TENANT"),
]


@pytest.mark.parametrize(("content", "line", "words"), FAULTY)
def test_fault_in_the_file_stops_the_start(
    start: Any, tmp_path: Path, content: bytes, line: int, words: str
) -> None:
    """A secret that is weak or not alone, or a malformed line, is named by its number only."""
    path = tmp_path / "faulty"
    path.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        start("gateway", platform_secrets_file=str(path))
    message = str(caught.value)
    assert message.startswith(f"BARRING_PLATFORM_SECRETS_FILE: {path}: line {line}: ")
    assert words in message
    for text in re.findall(r"[^\s#]+", content.decode()):
        assert text not in message.removeprefix(f"BARRING_PLATFORM_SECRETS_FILE: {path}")


def test_file_that_cannot_be_read_stops_the_start(start: Any, tmp_path: Path) -> None:
    """A file that is missing, a folder, or not UTF-8 is named."""
    broken = tmp_path / "broken"
    broken.write_bytes(ONE.encode() + b"\n\xff")
    for path, words in (
        (tmp_path / "missing", "No such file"),
        (tmp_path, "Is a directory"),
        (broken, "is not UTF-8"),
    ):
        with pytest.raises(SettingsError, match=words) as caught:
            start("local", platform_secrets_file=str(path))
        assert str(path) in str(caught.value)
        assert ONE not in str(caught.value)


def test_file_may_be_empty_and_have_other_line_ends(start: Any, tmp_path: Path) -> None:
    """A file of comments makes nobody a platform; line ends of Windows are accepted."""
    path = tmp_path / "platforms"
    path.write_bytes(b"# none yet\n\n")
    assert status(start("gateway", platform_secrets_file=str(path)), headers=bearer("")) == 401
    other = tmp_path / "other platforms"
    other.write_bytes(f"# two\r\n{ONE}\r\n{TWO} acme\r\n".encode())
    client = start("gateway", platform_secrets_file=str(other))
    assert [status(client, headers=bearer(secret)) for secret in (ONE, TWO)] == [200, 200]


def test_check_config_checks_the_file(tmp_path: Path, file: Path) -> None:
    """`check-config` finds the faults that would stop the start, and prints no secret."""
    set_to = str(file)
    assert set_to in succeed(tmp_path, "check-config", BARRING_PLATFORM_SECRETS_FILE=set_to)
    file.write_text(f"{ONE}\n{ONE}\n")
    error = failure(tmp_path, "check-config", BARRING_PLATFORM_SECRETS_FILE=set_to)
    assert f"{file}: line 2: " in error
    assert ONE not in error
    assert failure(tmp_path, "serve", BARRING_PLATFORM_SECRETS_FILE=set_to) == error


def test_sighup_takes_the_file_over(tmp_path: Path, file: Path) -> None:
    """A reload takes a changed file over; a wrong one is logged once, and changes nothing."""
    gateway = {"BARRING_AUTH": "gateway", "BARRING_GATEWAY_SECRET": GATEWAY}
    setting = {"BARRING_PLATFORM_SECRETS_FILE": str(file), "BARRING_LOCKOUT_ATTEMPTS": "0"}
    with running(tmp_path, **gateway, **setting) as service:

        def known() -> list[bool]:
            with service.client() as client:
                answers = [
                    client.post(PATH, json={"code": "1"}, headers=bearer(secret))
                    for secret in (ONE, TWO, new)
                ]
            return [answer.status_code == 403 for answer in answers]

        def workers_ended() -> int:
            return service.log_file.read_text().count("Worker exiting")

        def reload(content: str) -> None:
            ended = workers_ended()
            file.write_text(content)
            service.process.send_signal(signal.SIGHUP)
            await_that(lambda: workers_ended() == ended + 2)

        new = secrets.token_hex(32)
        assert known() == [True, True, False]
        reload(f"{TWO}\n{new}\n")
        assert {tuple(known()) for _ in range(10)} == {(False, True, True)}
        assert service.logged(event="warning") == []
        reload(f"{ONE}\n{TWO}\nweak\n")
        assert {tuple(known()) for _ in range(10)} == {(False, True, True)}
        (line,) = service.logged(event="warning")
        assert f"{file}: line 3: " in line["message"]
        log = service.log_file.read_text()
    for text in (ONE, TWO, new, "weak"):
        assert text not in log
