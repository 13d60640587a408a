"""Services and commands on a database of the release before: they upgrade it, or say what does."""

import os
import sqlite3
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests import earlier
from tests.command import BARRING, failure, succeed
from tests.faults.mounts import read_only
from tests.service import ROOT, codes_path, environment, running

ANNA = ("acme", "sales", "anna")
ROWS = "tenant,group,user,code\nacme,sales,anna,99\n"

LISTED = "0815            Night shift\n4711\n"
COMMANDS = {
    "list": (["list", *ANNA], LISTED),
    "show": (["show", *ANNA, "4711"], "code         4711\ndescription\n"),
    "export": (["export", "--format", "ndjson"], '{"tenant":"acme","group":"sales","user":"anna",'),
    "check": (["check"], "integrity  ok\ncodes      4\n"),
    "vacuum": (["vacuum"], "the database no longer contains"),
    "remove": (["remove", *ANNA, "4711", "9"], "1 removed\n"),
    "describe": (["describe", *ANNA, "4711", "--class-of-service", "national"], ""),
    "add": (["add", *ANNA, "4712", "--class-of-service", "national"], ""),
    "import": (["import", "-"], "1 code stored\n"),
    "import --delete": (["import", "--delete", "-"], "0 codes removed\n"),
    "backup": (["backup", "{0}/backup"], ""),
    "copy": (["copy", "--from", "{1}", "--to", "sqlite:///{0}/copy.sqlite3"], "4 codes copied"),
}
"""Each command that opens a database, and what it prints first."""


def arguments_of(command: str, folder: Path, url: str) -> list[str]:
    """The arguments of a command, with what it writes in `folder`."""
    return [argument.format(folder, url) for argument in COMMANDS[command][0]]


def test_services_start_together(tmp_path: Path, database_url: str) -> None:
    """Two services, and commands beside them, that start at once all go on; one upgrades."""
    earlier.write(database_url)
    settings: dict[str, Any] = {"BARRING_DATABASE_URL": database_url}
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    commands = [
        subprocess.Popen(
            [*BARRING, "check"],
            cwd=ROOT,
            env=environment(tmp_path, **settings),
            stdout=subprocess.DEVNULL,
        )
        for _ in range(4)
    ]
    with ExitStack() as stack, ThreadPoolExecutor() as pool:
        services = [running(folder, **settings) for folder in folders]
        for service in pool.map(stack.enter_context, services):
            client = stack.enter_context(service.client())
            path = codes_path(*ANNA)
            codes = {code["code"] for code in client.get(path).json()["authCodes"]}
            assert {"0815", "4711"} <= codes
            new = {"code": str(service.port), "classOfService": "national"}
            assert client.post(path, json=new).status_code == 201
            assert client.get(f"{path}{service.port}/").json() == {"description": "", **new}
    assert [command.wait(timeout=30) for command in commands] == [0] * 4
    assert earlier.upgrades(database_url) == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_upgrades_first(tmp_path: Path, database_url: str, command: str) -> None:
    """Each command does on a database of the release before what it does on one of this."""
    earlier.write(database_url)
    arguments = arguments_of(command, tmp_path, database_url)
    settings: dict[str, Any] = {"BARRING_DATABASE_URL": database_url}
    if command == "backup" and database_url.startswith("postgresql"):
        message = failure(tmp_path, *arguments, **settings)
        assert "backup tools of the database server" in message
    else:
        done = succeed(tmp_path, *arguments, stdin=ROWS, **settings)
        assert done.startswith(COMMANDS[command][1])
    assert earlier.upgrades(database_url) == 1


def test_copy_upgrades_its_target(tmp_path: Path, database_url: str) -> None:
    """An empty database of the release before takes a copy with classes of service."""
    earlier.write(database_url, [])
    rows = "tenant,group,user,code,class_of_service\nacme,,,99,national\n"
    source = f"sqlite:///{tmp_path / 'source.sqlite3'}"
    succeed(tmp_path, "import", "-", stdin=rows, BARRING_DATABASE_URL=source)
    succeed(tmp_path, "copy", "--from", source, "--to", database_url)
    shown = succeed(tmp_path, "list", "acme", "", "", BARRING_DATABASE_URL=database_url)
    assert shown == "99                [national]\n"


def test_restored_backup_of_the_release_before_opens(tmp_path: Path) -> None:
    """A backup from before the upgrade may be restored after it."""
    leave_a_backup(tmp_path / "backup")
    succeed(tmp_path, "add", *ANNA, "99")
    succeed(tmp_path, "restore", "--force", str(tmp_path / "backup"))
    assert succeed(tmp_path, "list", *ANNA) == LISTED


def test_role_that_may_not_upgrade_is_told_who_does(tmp_path: Path, postgres: str) -> None:
    """A role that does not own the tables is told the command, and works once its owner ran it."""
    earlier.write_postgres(postgres)
    role = f"limited_{os.getpid()}"
    limited: dict[str, Any] = {"BARRING_DATABASE_URL": f"{postgres}?options=-crole%3D{role}"}
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role}")
        try:
            rights = "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public"
            connection.execute(f"GRANT {rights} TO {role}")
            message = failure(tmp_path, "list", *ANNA, **limited)
            assert "run `barring check` as the owner of the tables" in message
            assert earlier.upgrades(postgres) == 0
            succeed(tmp_path, "check", BARRING_DATABASE_URL=postgres)
            assert succeed(tmp_path, "list", *ANNA, **limited) == LISTED
            changes = ["--class-of-service", "national"]
            succeed(tmp_path, "describe", *ANNA, "0815", *changes, **limited)
        finally:
            connection.execute(f"DROP OWNED BY {role}")
            connection.execute(f"DROP ROLE {role}")


def leave_a_wal(path: Path) -> None:
    """A file as a process of the release before leaves it that is killed."""
    running_one = path.with_name("running")
    earlier.write_sqlite(running_one)
    with closing(sqlite3.connect(running_one)) as connection:
        connection.execute("UPDATE authorization_codes SET description = '' WHERE code = '*1#'")
        connection.commit()
        for suffix in ("", "-wal", "-shm"):
            content = Path(f"{running_one}{suffix}").read_bytes()
            Path(f"{path}{suffix}").write_bytes(content)
    assert Path(f"{path}-wal").stat().st_size


def leave_a_backup(path: Path) -> None:
    """A backup, which is not in WAL mode."""
    earlier.write_sqlite(path.with_name("source"))
    with closing(sqlite3.connect(path.with_name("source"))) as connection:
        connection.execute("VACUUM INTO ?", [str(path)])


@pytest.mark.parametrize("leave", [earlier.write_sqlite, leave_a_wal, leave_a_backup])
def test_read_only_mount_is_told_which_command_upgrades(
    tmp_path: Path, leave: Callable[[Path], None]
) -> None:
    """Where a file cannot be changed, every command names the one that upgrades it elsewhere."""
    path = tmp_path / "mount" / "codes.sqlite3"
    path.parent.mkdir()
    leave(path)
    url = f"sqlite:///{path}"
    settings: dict[str, Any] = {"BARRING_DATABASE_URL": url}
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    with read_only(path.parent):
        for command in COMMANDS:
            arguments = arguments_of(command, tmp_path, url)
            message = failure(tmp_path, *arguments, stdin=ROWS, **settings)
            creates = command in ("add", "import")
            assert ("cannot be written" if creates else "run `barring check`") in message, command
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before
    succeed(tmp_path, "check", **settings)
    assert earlier.upgrades(url) == 1
    assert succeed(tmp_path, "list", *ANNA, **settings) == LISTED
