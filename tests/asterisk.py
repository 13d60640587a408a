"""Runs Asterisk in a Debian root of its own, with sipp as the telephones."""

import csv
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.postgres import free_port
from tests.service import ROOT
from tests.waiting import await_that

DATA = ROOT / "tests" / "data" / "asterisk"
DEBIAN = ROOT / "build" / "asterisk"
"""A root of Debian sid with Asterisk and sipp. It is made once, in about a minute."""

MIRROR = "http://deb.debian.org/debian"
CALL_SECONDS = 40
RECORDS = "cdr-csv/Master.csv"


class NoAsterisk(Exception):
    """Asterisk cannot be installed; the message says what to do."""


def install() -> None:
    """Make the root where it is missing. Raises NoAsterisk."""
    ready = DEBIAN / "ready"
    if ready.exists():
        return
    if os.geteuid():
        raise NoAsterisk("run it as root, which debootstrap and chroot need")
    debootstrap = shutil.which("debootstrap", path="/usr/sbin:/usr/bin")
    if not debootstrap:
        raise NoAsterisk("debootstrap is missing; on Debian: apt install debootstrap")
    try:
        httpx.get(f"{MIRROR}/dists/sid/InRelease", timeout=10).raise_for_status()
    except httpx.HTTPError as error:
        advice = "it needs a network, or a proxy in the variable http_proxy"
        raise NoAsterisk(f"cannot reach {MIRROR} ({error}); {advice}") from None
    shutil.rmtree(DEBIAN, ignore_errors=True)
    log = DEBIAN.with_name("asterisk.log")
    log.parent.mkdir(exist_ok=True)
    options = ["--variant=minbase", "--include=asterisk,sip-tester", "sid", str(DEBIAN), MIRROR]
    with log.open("w") as output:
        # The mounts of a debootstrap that is killed end with their namespace.
        command = ["unshare", "--mount", "timeout", "900", debootstrap, *options]
        done = subprocess.run(command, stdout=output, stderr=output, check=False)
    if done.returncode:
        advice = "if packages of sid do not fit together today, repeat it later"
        raise NoAsterisk(f"debootstrap failed, see {log}; {advice}")
    ready.touch()


class Call:
    """A call that has ended.

    `status` is the last response to its INVITE, `reached` are the numbers that the carrier was
    asked for, and `record` is its call record, if
    it got past the authentication.
    """

    def __init__(self, messages: str, reached: list[str]) -> None:
        # Of the second INVITE, which has the password.
        responses = re.findall(r"^SIP/2.0 (\d+)(?:.+\n)+?CSeq: 2 INVITE", messages, re.M)
        self.status = int(responses[-1])
        self.reached = reached
        self.record: dict[str, str] = {}


def record_of(line: str) -> dict[str, str]:
    """The fields of a call record, as cdr_csv writes it."""
    names = "accountcode src dst dcontext clid channel dstchannel lastapp lastdata"
    names += " start answer end duration billsec disposition amaflags userfield"
    (values,) = csv.reader([line])
    return dict(zip(names.split(), values, strict=True))


class Asterisk:
    """A running Asterisk with deploy/extensions.conf, and a carrier that answers its calls.

    It expects the service at `service_port`.
    """

    def __init__(self, secret: str) -> None:
        """Write the configuration."""
        self.service_port, self.port, self.carrier_port = (free_port() for _ in range(3))
        self.inside = Path("/tmp/test")
        self.folder = DEBIAN / "tmp" / "test"
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "cdr-csv").mkdir(parents=True)
        (modules,) = DEBIAN.glob("usr/lib/*/asterisk/modules")
        for file in DATA.iterdir():
            text = file.read_text().replace("@PORT@", str(self.port))
            text = text.replace("@SERVICE_PORT@", str(self.service_port))
            text = text.replace("@CARRIER_PORT@", str(self.carrier_port))
            text = text.replace("@MODULES@", str(modules.relative_to(DEBIAN)))
            (self.folder / file.name).write_text(text.replace("@FOLDER@", str(self.inside)))
        # Otherwise Asterisk asks the DNS for it, for each call.
        hosts = f"127.0.0.1 localhost {socket.gethostname()}\n"
        (DEBIAN / "etc" / "hosts").write_text(hosts)
        dialplan = (ROOT / "deploy" / "extensions.conf").read_text()
        dialplan = dialplan.replace("127.0.0.1:8000", f"127.0.0.1:{self.service_port}")
        dialplan = dialplan.replace("/etc/asterisk/", f"{self.inside}/")
        (self.folder / "extensions.conf").write_text(dialplan)
        (self.folder / "barring.secret").write_text(f"{secret}\n")
        (self.folder / "barring.secret").chmod(0o600)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run Asterisk and the carrier."""
        asterisk = self._start("asterisk", "-f", "-C", f"{self.inside}/asterisk.conf")
        carrier = self._start(
            *self._sipp("carrier", self.carrier_port), "-trace_msg", "-message_file", "carrier.log"
        )
        try:
            await_that(lambda: "Asterisk Ready." in self.read("verbose.log"), 60)
            yield
        finally:
            for process in (carrier, asterisk):
                process.terminate()
            for process in (carrier, asterisk):
                process.wait(timeout=30)

    def call(self, number: str, keys: str = "", user: str = "anna", claims: str = "") -> Call:
        """Dial a number as a user, and key in the keys once the call is answered.

        `claims` is the user in the header From, if it is another.
        """
        before, records = self._reached(), self.read(RECORDS)
        (self.folder / "caller.log").unlink(missing_ok=True)
        options = {
            "-m": "1",
            "-timeout": str(CALL_SECONDS),
            "-s": number,
            "-au": user,
            "-ap": f"{user}-password",
            "-message_file": "caller.log",
        }
        command = [*self._sipp("caller", free_port()), "-timeout_error", "-trace_msg"]
        command += [word for option in options.items() for word in option]
        command += ["-key", "keys", keys, "-key", "from", claims or user]
        done = subprocess.run(
            self._inside(*command, f"127.0.0.1:{self.port}"),
            capture_output=True,
            text=True,
            timeout=CALL_SECONDS + 10,
            check=False,
        )
        messages = self.read("caller.log")
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr + messages
        call = Call(messages, self._reached()[len(before) :])
        if call.status != 401:
            await_that(lambda: len(self.read(RECORDS)) > len(records))
            call.record = record_of(self.read(RECORDS).removeprefix(records))
        return call

    @contextmanager
    def changed(self, name: str, old: str, new: str) -> Iterator[None]:
        """Replace a text in a configuration file for a while, and reload the dialplan."""
        path = self.folder / name
        text = path.read_text()
        assert text.count(old) == 1
        try:
            path.write_text(text.replace(old, new))
            self._reload()
            yield
        finally:
            path.write_text(text)
            self._reload()

    def _reload(self) -> None:
        client = ["asterisk", "-C", f"{self.inside}/asterisk.conf", "-rx", "dialplan reload"]
        subprocess.run(self._inside(*client), capture_output=True, timeout=30, check=True)

    def read(self, name: str) -> str:
        """The content of a file that Asterisk or sipp writes, or nothing before it exists."""
        path = self.folder / name
        return path.read_text() if path.exists() else ""

    def _reached(self) -> list[str]:
        return re.findall(r"^INVITE sip:([^@]+)@", self.read("carrier.log"), re.M)

    def _sipp(self, scenario: str, port: int) -> list[str]:
        return ["sipp", "-sf", f"{scenario}.xml", "-i", "127.0.0.1", "-p", str(port), "-nostdin"]

    def _inside(self, *command: str) -> list[str]:
        return ["chroot", str(DEBIAN), "env", "-C", str(self.inside), *command]

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{command[0]}.out").open("wb") as output:
            return subprocess.Popen(
                self._inside(*command), stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
