"""What deploy/ holds, as far as a test can try it; nginx.conf has test_nginx.py for itself."""

import json
import re
import socket
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import pytest

from barring.settings import Settings
from tests.postgres import free_port
from tests.service import ROOT, Service, running
from tests.test_settings import DEFAULTS
from tests.tools import needs

DEPLOY = ROOT / "deploy"
UNIT = DEPLOY / "barring.service"


def test_environment_file_documents_every_setting() -> None:
    """barring.env shows each variable once, with its default and, before it, its help."""
    text = (DEPLOY / "barring.env").read_text()
    lines = re.findall(r"((?:# .+\n)+)#(BARRING_\w+)=(.*)\n", text)
    assert [(name, default) for _, name, default in lines] == list(DEFAULTS.items())
    assert len(lines) == len(re.findall(r"^#?\w+=", text, re.M))
    for field, (comment, _, _) in zip(fields(Settings), lines, strict=True):
        assert comment.removeprefix("# ").replace("\n# ", " ").startswith(field.metadata["help"])


@pytest.mark.parametrize("file", ["barring.service", "Dockerfile"])
def test_what_is_set_is_a_setting(file: str) -> None:
    """No file sets a variable that the service does not know."""
    named = set(re.findall(r"BARRING_[A-Z_]+(?==)", (DEPLOY / file).read_text()))
    assert {"BARRING_DATABASE_URL", "BARRING_AUTH"} <= named <= DEFAULTS.keys()


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with a program that this machine has."""
    copy = tmp_path / "barring.service"
    copy.write_text(UNIT.read_text().replace("/usr/local/bin/barring", "/bin/true"))
    assert "/bin/true serve" in copy.read_text()
    return copy


def test_systemd_understands_the_unit(unit: Path) -> None:
    """systemd finds no fault with the unit, and nothing to warn of."""
    command = [needs("systemd-analyze"), "verify", "--man=no", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_unit_is_hardened(unit: Path) -> None:
    """systemd rates what the unit leaves open at 2.0 of 10 at most; without measures it is 9.6."""
    options = ["--offline=true", "--threshold=20"]
    command = [needs("systemd-analyze"), "security", *options, str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_service_tells_systemd_when_it_listens(tmp_path: Path) -> None:
    """It sends READY=1 to the socket of Type=notify: whoever is started after it can connect."""
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(address))
        told.settimeout(20)
        with running(tmp_path, NOTIFY_SOCKET=str(address)):
            assert b"READY=1" in told.recv(1000).splitlines()


def test_unit_waits_for_requests_in_hand() -> None:
    """systemd kills later than the server itself gives up on a request: after 30 seconds."""
    seconds = re.search(r"^TimeoutStopSec=(\d+)$", UNIT.read_text(), re.M)
    assert seconds
    assert int(seconds[1]) > 30


def test_service_stops_at_once_while_its_workers_still_start(tmp_path: Path) -> None:
    """SIGTERM is not lost on a worker that cannot obey yet: it ends as soon as it can."""
    slow = tmp_path / "slow.conf.py"
    slow.write_text(
        f"exec(open('{ROOT / 'gunicorn.conf.py'}').read())\n"
        "import time\ndef post_fork(server, worker): time.sleep(1)\n"
    )
    with running(tmp_path, "--config", str(slow)) as service:
        start = time.monotonic()
        service.process.terminate()
        service.process.wait(timeout=40)
    assert time.monotonic() - start < 10


def test_health_check_of_the_container_takes_no_proxy(service: Service) -> None:
    """The Dockerfile's HEALTHCHECK asks the service itself, also where http_proxy is set."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", "")
    (found,) = re.findall(r"^HEALTHCHECK .*CMD (\[.*\])$", text, re.M)
    program, *arguments = json.loads(found)
    assert program == "python"
    environment = {"http_proxy": f"http://127.0.0.1:{free_port()}"}
    for port, healthy in ((service.port, True), (free_port(), False)):
        asked = [argument.replace(":8000/", f":{port}/") for argument in arguments]
        command = [sys.executable, *asked]
        done = subprocess.run(command, env=environment, capture_output=True, timeout=20)
        assert (done.returncode == 0) is healthy, done.stderr


def test_dockerfile_copies_what_is_there() -> None:
    """Every file that the Dockerfile copies exists."""
    text = (DEPLOY / "Dockerfile").read_text()
    copied = re.findall(r"^COPY (?!--)(.+) \S+$", text, re.M)
    for name in " ".join(copied).split():
        assert (ROOT / name).exists(), name
    assert "python:3.11-slim" in text
