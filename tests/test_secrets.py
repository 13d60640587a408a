"""Codes that are gone are gone, and secrets show nowhere."""

import socket
from pathlib import Path

import pytest

from barring.domain import AuthorizationCode as Code
from barring.storage.base import StorageError
from barring.storage.sqlite import file
from barring.storage.sqlite.engine import SQLiteStorage
from tests.command import barring
from tests.service import codes_path, running
from tests.storage_contract import OWNER

CANARY = "c4n4ry-9281"


def remnants(folder: Path) -> list[str]:
    """The files of a database in which the canary can be read."""
    files = sorted(folder.glob("codes.sqlite3*"))
    return [file.name for file in files if CANARY.encode() in file.read_bytes()]


def test_vacuum_leaves_no_deleted_code(tmp_path: Path) -> None:
    """While the service runs, vacuum wipes what was deleted and keeps what is stored."""
    path = codes_path()
    with running(tmp_path) as service, service.client() as client:
        codes = [{"code": f"{number:04}", "description": "kept"} for number in range(500)]
        assert client.post(path, json={"authCodes": codes}).status_code == 201
        assert client.post(path, json={"code": CANARY, "description": CANARY}).status_code == 201
        assert client.delete(f"{path}{CANARY}/").status_code == 200
        assert remnants(tmp_path)
        done = barring(tmp_path, "vacuum")
        assert (done.returncode, done.stderr) == (0, "")
        assert remnants(tmp_path) == []
        assert client.get(path).json() == {"authCodes": codes}
        assert client.post(path, json={"code": "9999"}).status_code == 201


def test_vacuum_says_when_the_wal_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a reader in the way the -wal cannot be emptied, and vacuum does not claim it was."""
    monkeypatch.setattr(file, "BUSY_TIMEOUT", 0.3)
    storage, reader = (SQLiteStorage(str(tmp_path / "codes.sqlite3")) for _ in range(2))
    storage.prepare()
    storage.add(OWNER, [Code("01", "")])
    database = reader._connections.get("read")
    database.execute("BEGIN")
    database.execute("SELECT * FROM authorization_codes").fetchone()
    with pytest.raises(StorageError, match="try again"):
        storage.vacuum()
    reader.close()
    storage.vacuum()
    storage.close()


def test_command_line_fails_with_one_line(tmp_path: Path) -> None:
    """A database that cannot be used is one line on standard error and a non-zero exit."""
    (tmp_path / "codes.sqlite3").write_text("not a database" * 99)
    done = barring(tmp_path, "vacuum")
    assert done.returncode == 1
    assert done.stderr.startswith("barring: ")
    assert done.stderr.count("\n") == 1


def test_worker_timeout_and_disconnect_log_no_code(tmp_path: Path) -> None:
    """A worker killed in the middle and a client that leaves say nothing of what was asked."""
    (tmp_path / "hanging.py").write_text(
        "import time, wsgi\n"
        "from barring.storage.sqlite.engine import SQLiteStorage\n"
        "def hang(self, owner, code):\n"
        "    time.sleep(1.5)\n"
        "    raise RuntimeError(code)\n"
        "SQLiteStorage.get = hang\n"
        "app = wsgi.app\n"
    )
    options = ("--pythonpath", str(tmp_path), "--log-level", "debug", "--graceful-timeout", "1")
    with running(tmp_path, *options, application="hanging:app", BARRING_WORKERS="1") as service:
        head = (
            f"GET {codes_path()}{CANARY}/ HTTP/1.1\r\nHost: localhost\r\nX-Role: End User\r\n\r\n"
        )
        with service.connect() as leaving:
            leaving.sendall(head.encode())
        with service.connect() as half:
            half.sendall(head.encode()[:-20])
            half.shutdown(socket.SHUT_RDWR)
        with service.connect() as waiting:
            waiting.sendall(head.encode())
            service.await_log('"status":500')
            waiting.recv(65536)
            waiting.sendall(head.encode())
            service.process.terminate()
            service.process.wait(timeout=30)
    log = service.log_file.read_text()
    assert "unexpected_error" in log
    assert CANARY not in log
