"""Backup, restore and check, on the command line, beside a running service and without one."""

import stat
import threading
from functools import partial
from pathlib import Path

import pytest

from barring.domain import AuthorizationCode as Code
from barring.domain import Owner
from barring.storage.sqlite.engine import SQLiteStorage
from tests import command
from tests.service import codes_path, running
from tests.storage_contract import OWNER

# On a database that is there these commands log nothing.
failure = partial(command.failure, events=())
succeed = partial(command.succeed, events=())

CLASSIFIED = [Code("00000", ""), Code("99999", "é😀", "international")]
"""The codes of the group and of the tenant."""

FILES = ["backup", "codes.sqlite3", "codes.sqlite3-lock"]


@pytest.fixture
def storage(tmp_path: Path) -> SQLiteStorage:
    """A database with 5,000 codes, on which the command line works."""
    storage = SQLiteStorage(str(tmp_path / "codes.sqlite3"))
    storage.prepare()
    storage.add(OWNER, [Code(f"{number:05}", "x" * 80) for number in range(5_000)])
    for owner in (OWNER._replace(user=""), Owner(OWNER.tenant)):
        storage.add(owner, CLASSIFIED)
    storage.close()
    return storage


def test_backup_restores_what_was_there(tmp_path: Path, storage: SQLiteStorage) -> None:
    """A backup put back brings the codes of its moment, and only the owner may read it."""
    backup = tmp_path / "backup"
    succeed(tmp_path, "backup", str(backup))
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    for owner in (OWNER, OWNER._replace(user=""), Owner(OWNER.tenant)):
        storage.remove(owner, ["00000"])
    storage.add(OWNER, [Code("later", "")])
    storage.close()
    succeed(tmp_path, "restore", "--force", str(backup))
    storage = SQLiteStorage(str(storage.path))  # The old one knows that the file is another.
    assert len(storage.list(OWNER)) == 5_000
    assert storage.get(OWNER, "later") is None
    assert storage.list(OWNER._replace(user="")) == CLASSIFIED
    assert storage.list(Owner(OWNER.tenant)) == CLASSIFIED
    storage.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == FILES
    assert stat.S_IMODE(storage.path.stat().st_mode) == 0o600


def test_backup_is_consistent_under_load(tmp_path: Path) -> None:
    """While lists of ten are written, every backup holds whole lists, and all that was there."""
    with running(tmp_path) as service:
        stop = threading.Event()
        acknowledged = 0

        def write() -> None:
            nonlocal acknowledged
            with service.client() as client:
                while not stop.is_set():
                    number = acknowledged
                    codes = [{"code": f"{number}-{item}"} for item in range(10)]
                    body = {"authCodes": codes}
                    assert client.post(codes_path(), json=body).status_code == 201
                    acknowledged += 1

        writer = threading.Thread(target=write)
        writer.start()
        backups = []
        try:
            for turn in range(5):
                before = acknowledged
                succeed(tmp_path, "backup", str(tmp_path / f"backup{turn}"))
                backups.append((before, tmp_path / f"backup{turn}", acknowledged))
        finally:
            stop.set()
            writer.join()
    assert acknowledged > 10
    for before, file, after in backups:
        owner = OWNER._replace(tenant="footenant", group="foogroup", user="foouser")
        codes = {code.code for code in SQLiteStorage(str(file)).list(owner)}
        lists = {code.partition("-")[0] for code in codes}
        assert len(codes) == 10 * len(lists)
        assert before <= len(lists) <= after + 1


def test_restore_refuses_to_overwrite(tmp_path: Path, storage: SQLiteStorage) -> None:
    """Without --force a database that is there stays."""
    succeed(tmp_path, "backup", str(tmp_path / "backup"))
    assert "--force" in failure(tmp_path, "restore", str(tmp_path / "backup"))
    storage.path.unlink()
    succeed(tmp_path, "restore", str(tmp_path / "backup"))
    storage = SQLiteStorage(str(storage.path))
    assert len(storage.list(OWNER)) == 5_000
    storage.close()


def test_restore_refuses_while_the_service_runs(tmp_path: Path) -> None:
    """Even a service that nobody has called yet keeps its database from being replaced."""
    with running(tmp_path) as service, service.client() as client:
        service.await_log("ready|Booting worker(.|\n)*Booting worker")
        succeed(tmp_path, "backup", str(tmp_path / "backup"))
        before = service.database.stat().st_ino
        error = failure(tmp_path, "restore", "--force", str(tmp_path / "backup"))
        assert "stop the service first" in error
        assert service.database.stat().st_ino == before
        assert client.post(codes_path(), json={"code": "12"}).status_code == 201
    succeed(tmp_path, "restore", "--force", str(tmp_path / "backup"))


@pytest.mark.parametrize("damage", ["cut", "overwritten", "text", "foreign", "empty"])
def test_restore_verifies_first(tmp_path: Path, storage: SQLiteStorage, damage: str) -> None:
    """A backup that is not sound is refused, and the database stays as it is."""
    backup = tmp_path / "backup"
    succeed(tmp_path, "backup", str(backup))
    good = backup.read_bytes()
    foreign = good.replace((0x42415252).to_bytes(4, "big"), b"abcd", 1)
    contents = {
        "cut": good[: len(good) // 2],
        "overwritten": good[:20_000] + b"\xff" * 5_000 + good[25_000:],
        "text": b"tenant,group,user,code,description\n",
        "foreign": foreign,
        "empty": b"",
    }
    backup.write_bytes(contents[damage])
    before = storage.path.read_bytes()
    assert "cannot be restored" in failure(tmp_path, "restore", "--force", str(backup))
    assert storage.path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == FILES


def test_restore_replaces_a_damaged_database(tmp_path: Path, storage: SQLiteStorage) -> None:
    """A database too damaged to open, with its stale log, gives way to a backup."""
    succeed(tmp_path, "backup", str(tmp_path / "backup"))
    storage.path.write_bytes(b"damaged" * 1_000)
    for suffix in ("-wal", "-shm"):
        (tmp_path / f"codes.sqlite3{suffix}").write_bytes(b"stale" * 1_000)
    succeed(tmp_path, "restore", "--force", str(tmp_path / "backup"))
    assert "5004" in succeed(tmp_path, "check")


def test_backup_that_is_a_live_database_is_refused(tmp_path: Path, storage: SQLiteStorage) -> None:
    """A file with a log beside it is no backup: what it holds lies partly in the log."""
    storage.add(OWNER, [Code("more", "")])
    other = tmp_path / "other"
    other.mkdir()
    error = failure(other, "restore", str(storage.path))
    assert "-wal" in error
    storage.close()


def test_backup_leaves_nothing_half_written(tmp_path: Path, storage: SQLiteStorage) -> None:
    """A backup that fails names the place, and an older one of that name stays whole."""
    assert "nowhere" in failure(tmp_path, "backup", str(tmp_path / "nowhere" / "backup"))
    assert "itself" in failure(tmp_path, "backup", str(storage.path))
    succeed(tmp_path, "backup", str(tmp_path / "backup"))
    before = (tmp_path / "backup").read_bytes()
    storage.path.write_bytes(b"damaged" * 1_000)
    failure(tmp_path, "backup", str(tmp_path / "backup"))
    assert (tmp_path / "backup").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == FILES


def test_check_counts_and_finds_damage(tmp_path: Path, storage: SQLiteStorage) -> None:
    """A sound database is counted; one with damage inside is told, with a non-zero exit."""
    storage.add(OWNER._replace(user="another"), [Code("01", "")])
    storage.close()
    shown = dict(line.split() for line in succeed(tmp_path, "check").splitlines())
    assert shown == {
        "integrity": "ok",
        "codes": "5005",
        "users": "2",
        "tenants": "1",
    }
    content = storage.path.read_bytes()
    storage.path.write_bytes(content[:20_000] + b"\xff" * 5_000 + content[25_000:])
    assert "codes.sqlite3" in failure(tmp_path, "check")


@pytest.mark.parametrize("command", [["check"], ["vacuum"], ["backup", "x"]])
def test_command_makes_no_database(tmp_path: Path, command: list[str]) -> None:
    """Where there is no database, a command says so and does not make one."""
    assert "codes.sqlite3" in failure(tmp_path, *command)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["backup", "restore", "check", "vacuum"])
def test_every_command_explains_itself(tmp_path: Path, command: str) -> None:
    """Each command has a --help."""
    assert "Usage: barring" in succeed(tmp_path, command, "--help")


def test_database_of_the_first_release_opens(tmp_path: Path) -> None:
    """A database that release 0.1.0 wrote opens in this one with all that it holds."""
    fixture = Path(__file__).parent / "data" / "release-0.1.0.sqlite3"
    (tmp_path / "codes.sqlite3").write_bytes(fixture.read_bytes())
    storage = SQLiteStorage(str(tmp_path / "codes.sqlite3"))
    storage.prepare()
    owner = OWNER._replace(tenant="footenant", group="foogroup", user="zoë@example.com")
    assert storage.list(owner) == [Code("01", "test_code_01"), Code("fooCode", "Front desk é😀")]
    storage.add(owner, [Code("02", "")])
    storage.close()
    assert "codes      3" in succeed(tmp_path, "check")
