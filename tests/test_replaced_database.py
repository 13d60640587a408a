"""A database file that is replaced, moved or removed while the service uses it."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.command import succeed
from tests.service import ROOT, codes_path, environment, running

MESSAGE = "the database file was replaced; restart the service"


def move_over(database: Path) -> None:
    """Put a backup in its place, under its name."""
    shutil.copyfile(database.with_name("backup"), database.with_name("new"))
    database.with_name("new").rename(database)


def copy_anew(database: Path) -> None:
    """What `cp --remove-destination` does."""
    database.unlink()
    shutil.copyfile(database.with_name("backup"), database)


FAULTS: dict[str, Callable[[Path], object]] = {
    "replaced by mv": move_over,
    "replaced by cp": copy_anew,
    "moved": lambda database: database.rename(database.with_name("elsewhere")),
    "removed": lambda database: database.unlink(),
}


def requests(client: httpx.Client) -> list[httpx.Response]:
    """The responses to reads, writes, a verification and the readiness check."""
    path = codes_path()
    platform = {"X-Role": "Call Platform"}
    verification = path.replace("codes/", "verification/")
    return [
        client.get(path),
        client.get(f"{path}01/"),
        client.post(path, json={"code": "02"}),
        client.patch(f"{path}01/", json={"description": "new"}),
        client.delete(f"{path}01/"),
        client.post(verification, json={"code": "01"}, headers=platform),
        client.get("/health/ready"),
    ]


def snapshot(*descriptors: int) -> list[bytes]:
    """The bytes of open files."""
    return [os.pread(descriptor, 1 << 24, 0) for descriptor in descriptors]


@pytest.mark.parametrize(
    "name",
    ["replaced by mv", *(pytest.param(name, marks=pytest.mark.long) for name in [*FAULTS][1:])],
)
def test_every_request_tells_that_the_file_is_another(tmp_path: Path, name: str) -> None:
    """Within a second all requests are 503, and no file changes, with a name or without."""
    with running(tmp_path, BARRING_WORKERS="1") as service, service.client() as client:
        assert client.post(codes_path(), json={"code": "01"}).status_code == 201
        assert client.get(codes_path()).status_code == 200
        succeed(tmp_path, "backup", str(tmp_path / "backup"), events=())
        files = [service.database, Path(f"{service.database}-wal")]
        opened = [os.open(file, os.O_RDONLY) for file in files]
        FAULTS[name](service.database)
        time.sleep(1)  # This is the promise.
        before = snapshot(*opened)
        for answer in requests(client):
            assert answer.status_code == 503, answer.request
            assert MESSAGE in answer.json()["message"]
            assert answer.headers["Retry-After"] == "1"
            assert str(tmp_path) not in answer.text
        assert snapshot(*opened) == before
        for descriptor in opened:
            os.close(descriptor)
        if "replaced" in name:
            assert service.database.read_bytes() == (tmp_path / "backup").read_bytes()
        reason = f"{service.database}: {MESSAGE}"
        assert service.logged(event="storage_unavailable", reason=reason)
        assert client.get("/health/live").status_code == 200
    assert {line["reason"] for line in service.logged(event="storage_unavailable")} == {reason}


def refusal(folder: Path) -> str:
    """The one line of a server that does not start."""
    command = [sys.executable, "-m", "gunicorn", "wsgi:app"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(folder), capture_output=True, text=True, timeout=60
    )
    assert done.returncode
    (line,) = done.stderr.splitlines()
    return line


def copy_over(database: Path) -> None:
    """What `cp` does: the file stays, and gets other bytes."""
    shutil.copyfile(database.with_name("backup"), database)


@pytest.mark.parametrize(
    "killed", [pytest.param(False, id="mv"), pytest.param(True, id="cp", marks=pytest.mark.long)]
)
def test_backup_beside_the_log_of_another_database_stops_the_start(
    tmp_path: Path, killed: bool
) -> None:
    """A backup in the place of a database in use is not mixed with the write-ahead log."""
    with running(tmp_path) as service, service.client() as client:
        assert client.post(codes_path(), json={"code": "01"}).status_code == 201
        succeed(tmp_path, "backup", str(tmp_path / "backup"), events=())
        assert client.post(codes_path(), json={"code": "02"}).status_code == 201
        if killed:
            service.kill()
            copy_over(service.database)
        else:
            move_over(service.database)
    before = service.database.read_bytes()
    assert "barring restore --force" in refusal(tmp_path)
    assert service.database.read_bytes() == before
    succeed(tmp_path, "restore", "--force", str(tmp_path / "backup"), events=())
    with running(tmp_path) as service, service.client() as client:
        assert [code["code"] for code in client.get(codes_path()).json()["authCodes"]] == ["01"]
