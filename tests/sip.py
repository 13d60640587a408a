"""A SIP proxy with the script that is shipped, and telephones that call through it."""

import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import httpx

from tests.postgres import free_port
from tests.service import ROOT, Service, codes_path, running
from tests.tools import needs
from tests.waiting import await_that

SCENARIOS = ROOT / "tests" / "data" / "sip"
SECRET = "kamailio-secret-".ljust(40, "0")
PASSWORD = "correct"
KAMAILIO = ("kamailio", "/usr/sbin/kamailio")
USER = (
    '  $sht(password=>{0}) = "{1}";\n  $sht(path=>{0}) = "tenants/acme/groups/sales/users/{0}";\n'
)
USERS = ("anna", "bert", "cleo", "dora", "emil", "fred", "gina", "hugo", "ivan")


class Call(NamedTuple):
    """A call that was placed: its last status, its seconds, and what the callee received."""

    status: int
    seconds: float
    received: list[str]
    id: str


class Platform:
    """Kamailio with the shipped script, a callee behind it, and the service that it asks."""

    def __init__(self, folder: Path, running_service: ExitStack) -> None:
        self.folder = folder
        self.port, self.gateway, self.http = free_udp_port(), free_udp_port(), free_port()
        self.log = folder / "kamailio.log"
        self._running = running_service
        self.start_service()

    def start_service(self) -> None:
        """Start the service, always at the same port."""
        secrets = self.folder / "secrets"
        secrets.write_text(f"{SECRET}\n")
        settings = {
            "BARRING_BIND": f"127.0.0.1:{self.http}",
            "BARRING_PLATFORM_SECRETS_FILE": str(secrets),
        }
        self.service: Service = self._running.enter_context(running(self.folder, **settings))

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop the service for a time."""
        self._running.close()
        try:
            yield
        finally:
            self.start_service()

    def caller(
        self,
        number: str,
        user: str,
        *options: str,
        scenario: str = "caller",
        password: str = PASSWORD,
        **keys: str,
    ) -> list[str]:
        """The command that places a call. `keys` are the scenario's."""
        command = [*sipp(scenario), f"127.0.0.1:{self.port}", "-s", number, *options]
        keys = {"claimed": user, "called": number} | keys
        command += [word for key, value in keys.items() for word in ("-key", key, value)]
        return [*command, "-au", user, "-ap", password]

    def call(self, number: str, user: str, *options: str, **others: str) -> Call:
        """Place a call, and hang up if it goes through."""
        call_id = uuid4().hex
        messages = self.folder / call_id
        trace = ("-m", "1", "-cid_str", call_id, "-trace_msg", "-message_file", str(messages))
        start = time.monotonic()
        command = self.caller(number, user, *trace, *options, **others)
        subprocess.run(command, stdout=subprocess.DEVNULL, timeout=20, check=True)
        seconds = time.monotonic() - start
        (*_, status) = re.findall(r"^SIP/2.0 (\d+)", messages.read_text(), re.M)
        blocks = re.split(r"^-{40,}.*\n", (self.folder / "callee").read_text(), flags=re.M)
        received = [b for b in blocks if f"Call-ID: {call_id}" in b and " received " in b]
        return Call(int(status), seconds, received, call_id)

    def lines(self, call: Call) -> list[str]:
        """The script's lines about a call."""
        return [line for line in self.log.read_text().splitlines() if f"call={call.id} " in line]

    def add(self, code: str, *owner: str, **fields: str) -> None:
        """Store a code of a user, a group or the tenant: of as many ids as are given."""
        path = codes_path(*(*owner, "", "")[:3])
        path = path.replace("/users//", "/").replace("/groups//", "/")
        with self.service.client(**{"X-Role": "Tenant Admin"}) as client:
            assert client.post(path, json={"code": code, **fields}).status_code == 201

    def lockout(self, user: str, method: str = "GET") -> httpx.Response:
        """What the service says of the failures of a user."""
        path = codes_path("acme", "sales", user).replace("/codes/", "/lockout/")
        with self.service.client() as client:
            return client.request(method, path)

    def failures(self, user: str) -> int:
        """The number of failures of a user."""
        return int(self.lockout(user).json()["failures"])

    def audited(self, user: str) -> list[str]:
        """What the service did about codes dialled by a user."""
        lines = self.service.logged(event="audit", role="Call Platform")
        return [line["operation"] for line in lines if line["owner"]["user"] == user]


def sipp(scenario: str) -> list[str]:
    """The command that runs a scenario."""
    return [needs("sipp"), "-sf", str(SCENARIOS / f"{scenario}.xml"), "-i", "127.0.0.1", "-nostdin"]


def free_udp_port() -> int:
    """A UDP port that nobody uses."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Whether somebody uses a UDP port. Does not use it meanwhile, unlike an attempt to bind it."""
    return f":{port:04X} 00000000:0000 " in Path("/proc/net/udp").read_text()


@contextmanager
def started(command: list[str], log: Path, port: int) -> Iterator[None]:
    """A program that uses a UDP port."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=output)
    try:
        await_that(lambda: listens(port) or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield
    finally:
        process.terminate()
        process.wait(timeout=20)


def went_through(call: Call, number: str) -> bool:
    """Whether the callee was called, accepted, and saw the number alone in every message."""
    requests = [message.split("\n\n")[1].split(" ")[0] for message in call.received]
    urls = re.findall(r"^(?:INVITE|To:) <?sip:([^@]*)@", "".join(call.received), re.M)
    shown = call.status == 200 and {*urls} == {number} and requests == ["INVITE", "ACK", "BYE"]
    return shown and not re.search(r"\*|Authorization", "".join(call.received))


def refused(call: Call) -> bool:
    """Whether the caller got 403 and the callee heard nothing."""
    return call.status == 403 and not call.received


@contextmanager
def kamailio(folder: Path) -> Iterator[Platform]:
    """Kamailio with the shipped script, between two telephones."""
    (folder / "kamailio.cfg").write_text((ROOT / "deploy" / "kamailio.cfg").read_text())
    users = "".join(USER.format(user, PASSWORD) for user in USERS)
    (folder / "barring-users.cfg").write_text(
        f'#!define SECRET "{SECRET}"\nevent_route[htable:mod-init] {{\n{users}}}\n'
    )
    with ExitStack() as stack:
        platform = Platform(folder, stack.enter_context(ExitStack()))
        defines = {
            "LISTEN": f"udp:127.0.0.1:{platform.port}",
            "GATEWAY": f'"sip:127.0.0.1:{platform.gateway}"',
            "SERVICE": f'"http://127.0.0.1:{platform.http}"',
        }
        script = str(folder / "kamailio.cfg")
        proxy = [needs(*KAMAILIO), "-f", script, "-DD", "-E", "-Y", str(folder)]
        proxy += [option for name, value in defines.items() for option in ("-A", f"{name}={value}")]
        trace = ["-trace_msg", "-message_file", str(folder / "callee")]
        callee = [*sipp("callee"), "-p", str(platform.gateway), *trace]
        stack.enter_context(started(callee, folder / "callee.log", platform.gateway))
        stack.enter_context(started(proxy, platform.log, platform.port))
        yield platform
