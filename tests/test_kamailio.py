"""The Kamailio script that is shipped, with real SIP calls through it and the real service."""

import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.service import ROOT
from tests.sip import KAMAILIO, USER, Platform, kamailio, refused, went_through
from tests.tools import needs

pytestmark = pytest.mark.long

NUMBER = "0039061234"
UNBARRED = "201"
EMERGENCY = "112"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Kamailio with the shipped script, between two telephones."""
    with kamailio(tmp_path_factory.mktemp("kamailio")) as platform:
        yield platform


def test_script_is_valid_as_shipped(platform: Platform) -> None:
    """Kamailio finds no fault with the script; the guide's example of a user is what tests use."""
    script = platform.folder / "kamailio.cfg"
    command = [needs(*KAMAILIO), "-c", "-f", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "ERROR" not in done.stderr
    example = USER.format("anna", "correct horse").replace("  $", "     $")
    assert example in (ROOT / "docs" / "kamailio.md").read_text()


def test_unbarred_number_needs_no_code(platform: Platform) -> None:
    """A call to an unbarred number goes through, and the service is not asked."""
    assert went_through(platform.call(UNBARRED, "anna"), UNBARRED)
    assert platform.audited("anna") == []


def test_barred_number_needs_a_code(platform: Platform) -> None:
    """Without a code a call to a barred number is refused, and the service is not asked."""
    for number in (NUMBER, f"%30{NUMBER[1:]}", f"+{NUMBER}", f"{UNBARRED};x=1", f"**{NUMBER}"):
        assert refused(platform.call(number, "anna")), number
    assert platform.audited("anna") == []


@pytest.mark.parametrize("owner", [("acme", "sales", "bert"), ("acme", "sales"), ("acme",)])
def test_code_of_each_level_lets_call_through(platform: Platform, owner: tuple[str, ...]) -> None:
    """With a code of the user, the group or the tenant the callee is called by the number alone."""
    code, level = f"471{len(owner)}", ("tenant", "group", "user")[len(owner) - 1]
    platform.add(code, *owner, description='Night "A" shift', classOfService="national")
    call = platform.call(f"*{code}*{NUMBER}", "bert")
    assert went_through(call, NUMBER)
    assert platform.audited("bert")[-1] == "verified"
    (line,) = platform.lines(call)
    record = (
        rf'user=bert number={NUMBER} result=verified level={level} description="Night \"A\" shift"'
    )
    assert line.endswith(record)


def test_locked_user_is_refused_until_unlocked(platform: Platform) -> None:
    """Wrong codes are refused and counted; then the right one is, until the lock is lifted."""
    platform.add("8642", "acme", "sales", "cleo")
    wrong = [platform.call(f"*975{number}*{NUMBER}", "cleo") for number in range(5)]
    assert all(map(refused, wrong))
    assert platform.failures("cleo") == 5
    call = platform.call(f"*8642*{NUMBER}", "cleo")
    assert refused(call)
    assert platform.lines(call)[0].endswith("user=cleo result=refused status=429")
    assert platform.audited("cleo") == ["refused"] * 5 + ["locked"]
    assert platform.lockout("cleo", "DELETE").status_code == 200
    assert went_through(platform.call(f"*8642*{NUMBER}", "cleo"), NUMBER)
    for line in (line for call in wrong for line in platform.lines(call)):
        assert line.endswith("user=cleo result=refused status=403")


def test_repeated_invite_counts_once(platform: Platform) -> None:
    """An INVITE that is sent three times with a wrong code is one failure."""
    patient = ("-default_behaviors", "all,-abortunexp")  # A response may come before the third.
    assert refused(platform.call(f"*9753*{NUMBER}", "dora", *patient, scenario="repeated"))
    assert platform.failures("dora") == 1


def test_name_in_from_is_not_believed(platform: Platform) -> None:
    """The code of another, whom From names, is refused; the failure is the caller's own."""
    platform.add("1357", "acme", "sales", "emil")
    assert refused(platform.call(f"*1357*{NUMBER}", "fred", claimed="emil"))
    assert (platform.failures("fred"), platform.failures("emil")) == (1, 0)
    assert went_through(platform.call(f"*1357*{NUMBER}", "emil", claimed="fred"), NUMBER)


@pytest.mark.parametrize(("user", "password"), [("gina", "wrong"), ("nobody", "<null>")])
def test_password_is_needed(platform: Platform, user: str, password: str) -> None:
    """A wrong password, and an unknown user, get no call through, not even an unbarred one."""
    call = platform.call(UNBARRED, user, password=password)
    assert (call.status, call.received) == (407, [])


@pytest.mark.parametrize("code", ["47%22", '47"', "47\\", "4_7", "47.1", "é"])
def test_only_letters_and_digits_reach_the_service(platform: Platform, code: str) -> None:
    """A code with another character is refused before the service is asked."""
    assert refused(platform.call(f"*{code}*{NUMBER}", "gina", called=NUMBER))
    assert platform.audited("gina") == []


def test_call_is_not_let_through_as_part_of_another(platform: Platform) -> None:
    """An INVITE that claims to belong to a call that nobody placed is refused."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as telephone:
        telephone.settimeout(10)
        telephone.bind(("127.0.0.1", 0))
        peer = f"127.0.0.1:{telephone.getsockname()[1]}"
        headers = (
            f"INVITE sip:{NUMBER}@127.0.0.1:{platform.gateway} SIP/2.0",
            f"Via: SIP/2.0/UDP {peer};branch=z9hG4bK-forged",
            f"Route: <sip:127.0.0.1:{platform.port};lr>",
            f"From: <sip:gina@{peer}>;tag=1",
            f"To: <sip:{NUMBER}@127.0.0.1>;tag=2",
            "Call-ID: forged",
            "CSeq: 1 INVITE",
            f"Contact: <sip:gina@{peer}>",
            "Content-Length: 0",
        )
        request = "\r\n".join([*headers, "", ""]).encode()
        telephone.sendto(request, ("127.0.0.1", platform.port))
        assert telephone.recv(4096).startswith(b"SIP/2.0 481 ")
    assert "Call-ID: forged" not in (platform.folder / "callee").read_text()


def test_fails_closed_while_the_service_is_stopped(platform: Platform) -> None:
    """A right code is refused within 3 s, and 112 goes through; later the code does again."""
    platform.add("2468", "acme", "sales", "hugo")
    with platform.stopped():
        call = platform.call(f"*2468*{NUMBER}", "hugo")
        assert refused(call)
        assert call.seconds < 3
        for number in (EMERGENCY, f"*2468*{EMERGENCY}"):
            assert went_through(platform.call(number, "hugo"), EMERGENCY)
    assert went_through(platform.call(f"*2468*{NUMBER}", "hugo"), NUMBER)


def test_fails_closed_while_the_service_hangs(platform: Platform) -> None:
    """A code is refused within 3 s, and many waiting calls hold up no emergency call."""
    with platform.stopped(), closing(socket.create_server(("127.0.0.1", platform.http))) as hung:
        call = platform.call(f"*2468*{NUMBER}", "ivan")
        assert refused(call)
        assert call.seconds < 3
        command = platform.caller(f"*2468*{NUMBER}", "ivan", "-m", "16", "-r", "100")
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as waiting:
            hung.settimeout(10)
            connections = [hung.accept() for _ in range(1 + 8)]
            call = platform.call(EMERGENCY, "ivan")
            assert went_through(call, EMERGENCY)
            assert call.seconds < 1
            assert waiting.poll() is None
        for connection, _ in connections:
            connection.close()


def test_no_code_is_logged(platform: Platform) -> None:
    """Neither Kamailio nor the service logs a code, also not one that is malformed."""
    for number in ("*c0dec0de*", f"c0dec0de*{NUMBER}", "**c0dec0de", f"*c0dec0de*{NUMBER}"):
        assert refused(platform.call(number, "anna"))
    dialled = b"INVITE sip:*c0dec0de*0039@x"
    broken = (b"", b" SIP/2.0\r\nVia: ?", b' SIP/2.0\r\nTo: <sip:*c0dec0de*"0039@x>\r\nVia: ?')
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as telephone:
        for rest in broken:
            telephone.sendto(dialled + rest + b"\r\n\r\n", ("127.0.0.1", platform.port))
    assert refused(platform.call(f"*c0dec0de*{NUMBER}", "anna"))
    for log in (platform.log, platform.service.log_file):
        assert "c0dec0de" not in log.read_text()
        assert "4711" not in re.sub(r"call=\w+", "", platform.log.read_text())
