"""Who owns the files of the database, whoever runs the commands and the service.

The tests run as root. The service runs as another user, who may read everything, because the Python
of this machine may be in root's home directory.
"""

import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import succeed
from tests.service import ROOT, Service, codes_path, running
from tests.tools import lacking, needs

USER, GROUP = 4711, 4712
"""The ids of the service's user. No account is needed."""

SUFFIXES = ("", "-lock", "-wal", "-shm")


@pytest.fixture
def folder() -> Iterator[Path]:
    """The folder of a database, which belongs to the service's user."""
    if os.geteuid():
        lacking("this test needs root")
    # Not tmp_path, which only root can reach.
    with tempfile.TemporaryDirectory() as parent:
        Path(parent).chmod(0o755)
        made = Path(parent) / "data"
        made.mkdir(0o700)
        os.chown(made, USER, GROUP)
        yield made


@pytest.fixture
def serve() -> tuple[str, ...]:
    """The command that runs the service as its user."""
    rights = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    ids = (f"--reuid={USER}", f"--regid={GROUP}", "--clear-groups")
    return (needs("setpriv"), *ids, *rights, sys.executable, "-m", "barring", "serve")


def files(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Owner, group and mode of the files of the database that exist, by suffix."""
    found = {}
    for suffix in SUFFIXES:
        path = folder / f"codes.sqlite3{suffix}"
        if path.exists():
            status = path.stat()
            found[suffix] = (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode))
    return found


def write(service: Service, code: str) -> None:
    """Create a code."""
    with service.client() as client:
        assert client.post(codes_path(), json={"code": code}).status_code == 201


def commands(folder: Path) -> Iterator[tuple[str, ...]]:
    """Arguments of every command that uses the database, in an order in which each succeeds."""
    file, backup = str(folder.with_name("codes.csv")), str(folder.with_name("backup"))
    owner = ("acme", "sales", "anna")
    yield ("add", *owner, "4711")
    yield ("list", *owner)
    yield ("show", *owner, "4711")
    yield ("describe", *owner, "4711", "--description", "new")
    yield ("verify", *owner, "4711")
    yield ("lockout", *owner)
    yield ("unlock", *owner)
    yield ("export", file)
    yield ("remove", *owner, "4711")
    yield ("import", "--on-existing", "replace", file)
    yield ("import", "--delete", file)
    yield ("copy", "--from", f"sqlite:///{folder}/codes.sqlite3", "--to", f"sqlite:///{folder}/2")
    yield ("check",)
    yield ("vacuum",)
    yield ("backup", backup)
    yield ("restore", "--force", backup)
    yield ("check",)


@pytest.mark.long
@pytest.mark.parametrize("runs", [False, True], ids=["stopped", "running"])
def test_commands_of_root_leave_the_files_to_the_service(
    folder: Path, serve: tuple[str, ...], runs: bool
) -> None:
    """After each command of root, all files belong to the user of the service, which can write."""
    mine = (USER, GROUP, 0o600)
    if runs:
        with running(folder, command=serve, PYTHONPATH=str(ROOT)) as service:
            for number, arguments in enumerate(commands(folder)):
                if arguments[0] != "restore":
                    succeed(folder, *arguments)
                assert set(files(folder).values()) == {mine}
                write(service, f"{number:02}")
            assert files(folder).keys() == {*SUFFIXES}
        return
    for arguments in commands(folder):
        succeed(folder, *arguments)
        assert set(files(folder).values()) == {mine}, arguments
    with running(folder, command=serve, PYTHONPATH=str(ROOT)) as service:
        write(service, "01")
        assert not service.logged(event="warning")


def test_what_root_has_taken_is_given_back(folder: Path, serve: tuple[str, ...]) -> None:
    """Files that root's commands once left to root are the service's after the next one."""
    succeed(folder, "add", "acme", "", "", "01")
    for suffix in files(folder):
        os.chown(folder / f"codes.sqlite3{suffix}", 0, 0)
    succeed(folder, "add", "acme", "", "", "02")
    assert set(files(folder).values()) == {(USER, GROUP, 0o600)}
    with running(folder, command=serve, PYTHONPATH=str(ROOT)) as service:
        write(service, "01")


@pytest.mark.parametrize("mode", [0o660, 0o666], ids=["group", "all"])
def test_database_of_another_user_is_left_as_it_is(
    folder: Path, serve: tuple[str, ...], mode: int
) -> None:
    """If the service may write a database but does not own it, it warns once and goes on."""
    succeed(folder, "add", "acme", "", "", "01")
    database = folder / "codes.sqlite3"
    os.chown(database, 0, GROUP)
    database.chmod(mode)
    with running(folder, command=serve, PYTHONPATH=str(ROOT)) as service:
        write(service, "01")
        assert files(folder)[""] == (0, GROUP, mode)
        (warning,) = service.logged(event="warning")
        assert str(database) in warning["message"]


def test_folder_of_a_group_keeps_the_database_for_the_group(
    folder: Path, serve: tuple[str, ...]
) -> None:
    """In a folder of root that the service's group may write, root's restore keeps it usable."""
    os.chown(folder, 0, GROUP)
    folder.chmod(0o2770)
    backup = str(folder.with_name("backup"))
    succeed(folder, "add", "acme", "", "", "01")
    succeed(folder, "backup", backup)
    succeed(folder, "restore", "--force", backup)
    assert set(files(folder).values()) == {(0, GROUP, 0o660)}
    with running(folder, command=serve, PYTHONPATH=str(ROOT)) as service:
        write(service, "01")
        assert set(files(folder).values()) <= {(0, GROUP, 0o660), (USER, GROUP, 0o660)}
