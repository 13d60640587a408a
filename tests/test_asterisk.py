"""deploy/extensions.conf in a real Asterisk, with real calls, in front of the real service."""

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.asterisk import Asterisk, NoAsterisk, install
from tests.service import ROOT, Service, running

pytestmark = pytest.mark.separate

DOCUMENT = ROOT / "docs" / "asterisk.md"
SECRET = "platform-secret-".ljust(40, "0")
TENANT = "/api/v1/tenants/acme"
GROUP = f"{TENANT}/groups/sales"
ANNA = f"{GROUP}/users/anna"
BOB = f"{TENANT}/groups/support/users/bob"
SERVICE = "services/outgoing_call_barring"
BARRED = "0039061234"

RIGHT = {"user": "73519284", "group": "82640195", "tenant": "9Ab53718"}
WRONG = "64908273"
NAMES = {"user": "Night shift", "group": "Zoë", "tenant": 'a, "b" ${SHELL(id)} 50%; $[1+1]'}


@pytest.fixture(scope="module")
def asterisk() -> Iterator[Asterisk]:
    """A running Asterisk. The service that it asks is not running."""
    try:
        install()
    except NoAsterisk as error:
        pytest.exit(f"make test-asterisk: {error}", returncode=1)
    started = Asterisk(SECRET)
    with started.running():
        yield started


@pytest.fixture
def online(asterisk: Asterisk, tmp_path: Path) -> Iterator[Service]:
    """The service, with a code of anna, of her group and of her tenant."""
    secrets = tmp_path / "secrets"
    secrets.write_text(f"{SECRET} acme\n")
    secrets.chmod(0o600)
    settings = {
        "BARRING_BIND": f"127.0.0.1:{asterisk.service_port}",
        "BARRING_PLATFORM_SECRETS_FILE": str(secrets),
    }
    with running(tmp_path, **settings) as service, admin(service) as client:
        for level, owner in (("user", ANNA), ("group", GROUP), ("tenant", TENANT)):
            code = {"code": RIGHT[level], "description": NAMES[level]}
            assert client.post(f"{owner}/{SERVICE}/codes/", json=code).status_code == 201
        yield service


def admin(service: Service) -> httpx.Client:
    """A client that may do everything."""
    return service.client(**{"X-Role": "System Admin"})


def failures(service: Service, user: str = ANNA) -> int:
    """How many failed verifications count against a user."""
    with admin(service) as client:
        return int(client.get(f"{user}/{SERVICE}/lockout/").json()["failures"])


@pytest.mark.usefixtures("online")
def test_call_that_is_not_barred_goes_through(asterisk: Asterisk) -> None:
    """No code is asked for, and none is verified."""
    call = asterisk.call("0301234")
    assert (call.status, call.reached) == (200, ["0301234"])


@pytest.mark.usefixtures("online")
@pytest.mark.parametrize("level", ["user", "group", "tenant"])
def test_code_lets_a_barred_call_through(asterisk: Asterisk, level: str) -> None:
    """The carrier sees the bare number, and the call record the level and the code's name."""
    call = asterisk.call(f"*{RIGHT[level]}*{BARRED}")
    assert (call.status, call.reached) == (200, [BARRED])
    assert (call.record["dst"], call.record["disposition"]) == (BARRED, "ANSWERED")
    assert call.record["userfield"] == f"{level}: {NAMES[level]}"


def test_code_is_asked_for(asterisk: Asterisk, online: Service) -> None:
    """If no code was dialled, the user enters it, and has three tries."""
    call = asterisk.call(BARRED, keys=f"{WRONG}#{RIGHT['user']}#")
    assert (call.status, call.reached) == (200, [BARRED])
    assert call.record["userfield"] == f"user: {NAMES['user']}"
    assert failures(online) == 1


@pytest.mark.parametrize("dialled", ["", f"*{WRONG}*"])
def test_three_wrong_codes_end_the_call(asterisk: Asterisk, online: Service, dialled: str) -> None:
    """Asterisk hangs up, and the service counts each; a code that was dialled is the first."""
    keys = f"{WRONG}#" * (2 if dialled else 3)
    call = asterisk.call(f"{dialled}{BARRED}", keys=f"{keys}{RIGHT['user']}#")
    assert (call.reached, call.record["userfield"]) == ([], "refused")
    assert failures(online) == 3


def test_locked_user_is_refused(asterisk: Asterisk, online: Service) -> None:
    """Not even the right code helps, and none is asked for; after unlocking it does."""
    for _ in range(2):
        assert asterisk.call(f"*{WRONG}*{BARRED}", keys=f"{WRONG}#{WRONG}#").reached == []
    call = asterisk.call(f"*{RIGHT['user']}*{BARRED}")
    assert (call.status, call.reached, call.record["userfield"]) == (403, [], "refused")
    with admin(online) as client:
        assert client.delete(f"{ANNA}/{SERVICE}/lockout/").status_code == 200
    assert asterisk.call(f"*{RIGHT['user']}*{BARRED}").reached == [BARRED]


def test_only_letters_and_digits_are_sent(asterisk: Asterisk, online: Service) -> None:
    """Any other code is refused by Asterisk itself, and counts as a try."""
    call = asterisk.call(BARRED, keys=f"1*2#**#*1#{RIGHT['user']}#")
    assert (call.reached, call.record["userfield"]) == ([], "refused")
    assert not online.logged(event="audit", action="refused")
    assert failures(online) == 0


@pytest.mark.usefixtures("online")
@pytest.mark.parametrize(
    "dialled",
    [
        f"*{RIGHT['user']}*",
        f"*{RIGHT['user']}",
        f"*{RIGHT['user']}**{BARRED}",
        f"*{RIGHT['user']}%22*{BARRED}",
        f"*{RIGHT['user']}*{BARRED}%26PJSIP%2F1%40trunk",
        "0301234%22%26PJSIP%2F1%40trunk",
        "0301234)%26PJSIP%2F1%40trunk",
        "0301234%20",
        "0301234-1",
    ],
)
def test_malformed_number_is_refused(asterisk: Asterisk, dialled: str) -> None:
    """What does not consist of digits reaches neither the carrier nor the call record."""
    call = asterisk.call(dialled)
    assert (call.status, call.reached, call.record["dst"]) == (484, [], "invalid")
    assert RIGHT["user"] not in str(call.record)


def test_user_is_who_authenticated(asterisk: Asterisk, online: Service) -> None:
    """Neither the caller id nor the header From lets anna use bob's code."""
    with admin(online) as client:
        client.post(f"{BOB}/{SERVICE}/codes/", json={"code": WRONG}).raise_for_status()
    assert asterisk.call(f"*{WRONG}*{BARRED}", keys=f"{WRONG}#{WRONG}#").reached == []
    call = asterisk.call(f"*{WRONG}*{BARRED}", claims="bob")
    assert (call.status, call.reached) == (401, [])
    assert (failures(online), failures(online, BOB)) == (3, 0)


def test_endpoint_can_belong_to_another_group(asterisk: Asterisk, online: Service) -> None:
    """The URL that its `set_var` names counts: bob needs a code of his own group."""
    with admin(online) as client:
        code = {"code": WRONG, "description": "Bob"}
        client.post(f"{BOB}/{SERVICE}/codes/", json=code).raise_for_status()
    call = asterisk.call(f"*{WRONG}*{BARRED}", user="bob")
    assert (call.reached, call.record["userfield"]) == ([BARRED], "user: Bob")
    keys = f"{RIGHT['group']}#" * 2
    assert asterisk.call(f"*{RIGHT['group']}*{BARRED}", keys=keys, user="bob").reached == []
    assert failures(online, BOB) == 3


@pytest.mark.parametrize("number", ["112", f"*{WRONG}*112"])
def test_emergency_call_needs_no_service(asterisk: Asterisk, number: str) -> None:
    """It goes through without a code, and while the service is stopped."""
    call = asterisk.call(number)
    assert (call.status, call.reached) == (200, ["112"])


def test_call_is_refused_while_the_service_is_stopped(asterisk: Asterisk) -> None:
    """Asterisk ends the call at once."""
    call = asterisk.call(f"*{RIGHT['user']}*{BARRED}")
    assert (call.status, call.reached, call.record["userfield"]) == (503, [], "not verified")


def test_call_is_refused_while_the_service_hangs(asterisk: Asterisk, online: Service) -> None:
    """Asterisk waits for two seconds, and asks once."""
    workers = re.findall(r"Booting worker with pid: (\d+)", online.log_file.read_text())
    stopped = [online.process.pid, *map(int, workers)]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        start = time.monotonic()
        call = asterisk.call(f"*{RIGHT['user']}*{BARRED}")
        assert 2 <= time.monotonic() - start < 4
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    assert (call.status, call.reached, call.record["userfield"]) == (503, [], "not verified")


def test_call_is_refused_with_another_secret(asterisk: Asterisk, online: Service) -> None:
    """A platform that the service does not know verifies nothing."""
    with asterisk.changed("barring.secret", SECRET, "another-secret-".ljust(40, "0")):
        call = asterisk.call(f"*{RIGHT['user']}*{BARRED}")
    assert (call.status, call.reached, call.record["userfield"]) == (503, [], "not verified")
    assert online.logged(event="request", status=401)


def test_dialplan_can_evaluate_the_class_of_service(asterisk: Asterisk, online: Service) -> None:
    """With the line that docs/asterisk.md shows, only some codes let a call through."""
    (line,) = re.findall(r"^ same => n\(allowed\).+$", DOCUMENT.read_text(), re.M)
    with admin(online) as client:
        for code, name in (("1111", "national"), ("2222", "international"), ("3333", '"')):
            body = {"code": code, "classOfService": name}
            client.post(f"{ANNA}/{SERVICE}/codes/", json=body).raise_for_status()
    with asterisk.changed("extensions.conf", " same => n(allowed)", f"{line}\n same => n"):
        statuses = [
            asterisk.call(f"*{code}*{BARRED}").status
            for code in ("1111", "2222", "3333", RIGHT["user"])
        ]
    assert statuses == [403, 200, 403, 200]


def test_log_and_call_records_hold_no_code(asterisk: Asterisk, online: Service) -> None:
    """They hold no code, wrong ones neither; no log holds the secret, whatever its level."""
    asterisk.call(f"*{WRONG}*{BARRED}", keys=f"{WRONG}#{RIGHT['user']}#")
    asterisk.call(f"*{RIGHT['group']}*{BARRED}")
    asterisk.call(f"*{RIGHT['group']}*0301234")
    logged = asterisk.read("messages.log") + asterisk.read("cdr-csv/Master.csv")
    assert "NOTICE" in logged
    assert BARRED in logged
    assert not [code for code in (WRONG, *RIGHT.values()) if code in logged]
    assert "barring.secret" in asterisk.read("verbose.log")
    assert SECRET not in asterisk.read("verbose.log")
    assert WRONG not in online.log_file.read_text()
