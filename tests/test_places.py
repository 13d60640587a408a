"""Places that cannot be written: a database on a read-only mount, no temporary folder."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.command import failure, succeed
from tests.faults.mounts import read_only
from tests.service import ROOT, codes_path, environment, running
from tests.tools import needs

ANNA = ("acme", "sales", "anna")


@pytest.fixture
def place(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """A database with one code in a folder of its own, and the setting that names it."""
    path = tmp_path / "mount" / "codes.sqlite3"
    settings = {"BARRING_DATABASE_URL": f"sqlite:///{path}"}
    succeed(tmp_path, "add", *ANNA, "4711", "Night shift", **settings)
    return path, settings


def test_commands_read_a_database_on_a_read_only_mount(
    tmp_path: Path, place: tuple[Path, dict[str, Any]]
) -> None:
    """Every command that only reads works there and changes no file; others name the reason."""
    path, settings = place
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    with read_only(path.parent):
        assert "codes      1" in succeed(tmp_path, "check", **settings)
        assert "Night shift" in succeed(tmp_path, "export", **settings)
        succeed(tmp_path, "verify", *ANNA, "4711", **settings)
        succeed(tmp_path, "backup", str(tmp_path / "backup"), **settings)
        message = failure(tmp_path, "remove", *ANNA, "4711", **settings)
        assert "Read-only file system" in message
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before
    assert (tmp_path / "backup").stat().st_size


@pytest.mark.parametrize("files", [("", "-wal", "-shm"), ("", "-wal")])
def test_snapshot_of_a_running_service_is_read_where_that_is_possible(
    tmp_path: Path, files: tuple[str, ...]
) -> None:
    """A -wal is applied if its -shm is there too; if not, the message says what to copy where."""
    mount = tmp_path / "mount"
    mount.mkdir()
    with running(tmp_path) as service, service.client() as client:
        assert client.post(codes_path(), json={"code": "4711"}).status_code == 201
        for suffix in files:
            content = Path(f"{service.database}{suffix}").read_bytes()
            (mount / f"codes.sqlite3{suffix}").write_bytes(content)
    settings: dict[str, Any] = {"BARRING_DATABASE_URL": f"sqlite:///{mount}/codes.sqlite3"}
    with read_only(mount):
        if "-shm" in files:
            assert "codes      1" in succeed(tmp_path, "check", **settings)
        else:
            message = failure(tmp_path, "check", **settings)
            assert "copy it with its -wal to a folder that can be written" in message
    assert "codes      1" in succeed(tmp_path, "check", **settings)


def test_no_temporary_folder_is_told_in_one_line(tmp_path: Path) -> None:
    """Where no temporary file can be created, the start fails with the system's own reason."""
    folders = " ".join(["/tmp", "/var/tmp", str(tmp_path)])
    script = f"""
        set -e
        for folder in {folders}; do
            mount --bind $folder $folder
            mount -o remount,ro,bind $folder
        done
        cd {tmp_path}
        exec {sys.executable} -m barring serve"""
    done = subprocess.run(
        [needs("unshare"), "--mount", "sh", "-c", script],
        env=environment(Path("/dev/shm"), PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("barring: TMPDIR: ")
    assert "/tmp: Read-only file system" in line
