"""The example client: run every night, it changes what has changed, and nothing else."""

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.service import ROOT, Service, codes_path, received

EXAMPLES = ROOT / "docs" / "examples"
CHANGES = (EXAMPLES / "changes.csv").read_text()

HASTY = """
import runpy, sys, time

sleep = time.sleep
time.sleep = lambda seconds: sleep(seconds / 10)
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a script with a tenth of the pauses that it makes."""


def run(url: str, file: Path) -> subprocess.CompletedProcess[str]:
    """Run the script as cron does, but with shorter pauses before it tries again."""
    return subprocess.run(
        [sys.executable, "-c", HASTY, EXAMPLES / "nightly.py", file],
        env={**os.environ, "CODES_URL": url},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def tenant(service: Service, tmp_path: Path) -> str:
    """A tenant of the test's own, in which bert, carl and dora have codes already."""
    name = tmp_path.name
    with service.client() as client:
        for user in ("bert", "carl", "dora"):
            codes = [{"code": "1234", "description": "Gate"}, {"code": "5678"}]
            path = codes_path(name, "sales", user)
            assert client.post(path, json={"authCodes": codes}).status_code == 201
    return name


def stored(service: Service, tenant: str) -> dict[str, list[str]]:
    """The codes of every user of the tenant."""
    users = ("anna", "zoë k@example.com", "bert", "carl", "dora")
    with service.client() as client:
        answers = {user: client.get(codes_path(tenant, "sales", user)).json() for user in users}
    return {user: [c["code"] for c in answer["authCodes"]] for user, answer in answers.items()}


AFTER = {
    "anna": ["0815", "4711"],
    "zoë k@example.com": ["2718"],
    "bert": ["5678"],
    "carl": [],
    "dora": ["1234", "5678"],
}


@pytest.mark.parametrize("form", ["plain", "of a spreadsheet"])
def test_second_run_changes_nothing(
    service: Service, tenant: str, tmp_path: Path, form: str
) -> None:
    """Joiners get their codes, leavers lose theirs, nobody else is touched; then all is done."""
    file, text = tmp_path / "changes.csv", CHANGES.replace("acme", tenant)
    if form == "plain":
        file.write_text(text)
    else:
        file.write_bytes(("\ufeff" + text.replace(",", ";").replace("\n", "\r\n")).encode())
    first, second = run(service.url, file), run(service.url, file)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    changes = [line.split("\t")[-2:] for line in first.stdout.splitlines()]
    assert changes == [["+2", "-0"], ["+1", "-0"], ["+0", "-1"], ["+0", "-2"]]
    assert all(line.endswith("+0\t-0") for line in second.stdout.splitlines())
    assert stored(service, tenant) == AFTER
    assert "4711" not in first.stdout


def test_refused_user_stops_no_other(service: Service, tenant: str, tmp_path: Path) -> None:
    """One user's fault is told without a code, the others are done; mended, it runs through."""
    file = tmp_path / "changes.csv"
    broken = CHANGES.replace("acme", tenant).replace("0815", "not a code")
    file.write_text(broken)
    done = run(service.url, file)
    assert done.returncode == 1
    assert "anna" in done.stderr
    assert "not a code" not in done.stderr
    assert stored(service, tenant) == AFTER | {"anna": []}
    file.write_text(broken.replace("not a code", "0815"))
    assert run(service.url, file).returncode == 0
    assert stored(service, tenant) == AFTER


def test_unknown_action_changes_nothing(service: Service, tenant: str, tmp_path: Path) -> None:
    """A file with a row that it cannot read is refused as a whole, with the row's number."""
    file = tmp_path / "changes.csv"
    file.write_text(CHANGES.replace("acme", tenant).replace("leave,", "quit,", 1))
    done = run(service.url, file)
    assert done.returncode == 1
    assert "row 4" in done.stderr
    assert stored(service, tenant)["anna"] == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        (CHANGES.encode() + b"join,acme,sales\n", "row 6"),
        (CHANGES.encode() + b"\xfc,,,,,\n", "utf-8"),
    ],
)
def test_file_that_cannot_be_read_changes_nothing(
    service: Service, tenant: str, tmp_path: Path, content: bytes | None, words: str
) -> None:
    """A file that is not there, not UTF-8, or has a short row is refused in one line."""
    file = tmp_path / "changes.csv"
    if content:
        file.write_bytes(content.replace(b"acme", tenant.encode()))
    done = run(service.url, file)
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert stored(service, tenant)["anna"] == []


class Faulty:
    """A way to the service that swallows every other answer: the caller cannot tell what was."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        count = 0
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            count += 1
            with client, socket.create_connection(("127.0.0.1", self.target)) as service:
                client.settimeout(0.3)
                try:
                    while data := client.recv(65536):
                        service.sendall(data)
                except TimeoutError:
                    service.shutdown(socket.SHUT_WR)
                answer = received(service)
                if count % 2:
                    client.sendall(answer)


def test_broken_connections_are_tried_again(service: Service, tenant: str, tmp_path: Path) -> None:
    """Where answers get lost after the service has acted, nothing is refused or done twice."""
    file = tmp_path / "changes.csv"
    file.write_text(CHANGES.replace("acme", tenant))
    way = Faulty(service.port)
    with way.listener:
        done = run(way.url, file)
    assert done.returncode == 0, done.stderr
    assert stored(service, tenant) == AFTER


def test_service_that_is_away_is_told(tmp_path: Path) -> None:
    """Without a service each user fails with the reason, and the exit status is 1."""
    file = tmp_path / "changes.csv"
    file.write_text("\n".join(CHANGES.splitlines()[:2]))
    done = run("http://127.0.0.1:9", file)
    assert done.returncode == 1
    assert "refused" in done.stderr
