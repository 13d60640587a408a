"""A database file that is not what it should be, at the start or under the running service."""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from barring.domain import AuthorizationCode as Code
from barring.domain import Owner
from barring.storage import open_storage
from tests.service import ROOT, codes_path, environment, running
from tests.waiting import await_that

from .history import History
from .load import Load
from .mounts import read_only
from .operations import WRITES, Operation, Outcome
from .server import Server

pytestmark = pytest.mark.long

NAME = "codes.sqlite3"
PAGE = 4096


def make_database(path: Path) -> None:
    """A database of some forty pages, closed in order."""
    storage = open_storage(f"sqlite:///{path}")
    storage.prepare()
    for number in range(20):
        codes = [Code(f"{number}x{code}", f"description {code}") for code in range(200)]
        storage.add(Owner("tenant", "group", f"user{number}"), codes)
    storage.close()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database that no process has open."""
    path = tmp_path / "data" / NAME
    make_database(path)
    return path


def leave_a_wal(database: Path) -> None:
    """Write to the database, and end without closing it, as a killed server does."""
    script = (
        "import os, sys, app; from barring.domain import AuthorizationCode as Code, Owner\n"
        "storage = app.open_storage(sys.argv[1]); storage.prepare()\n"
        "storage.add(Owner('tenant', 'group', 'last'), [Code('4711', '')]); os._exit(0)"
    )
    command = [sys.executable, "-c", script, f"sqlite:///{database}"]
    subprocess.run(command, cwd=ROOT, check=True)
    assert Path(f"{database}-wal").stat().st_size


def refusal(database: Path) -> str:
    """What the server says that does not start on this database: one line."""
    done = subprocess.run(
        [sys.executable, "-m", "gunicorn", "wsgi:app"],
        cwd=ROOT,
        env=environment(database.parent, BARRING_DATABASE_URL=f"sqlite:///{database}"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode not in (0, None)
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith(f"barring: {database}: ")
    return done.stderr


def content(database: Path) -> dict[str, tuple[int, bytes]]:
    """Mode and bytes of the database and what lies beside; the -shm holds nothing to keep."""
    return {
        file.name: (file.stat().st_mode, file.read_bytes())
        for file in database.parent.iterdir()
        if not file.name.endswith("-shm")
    }


def overwrite(offset: int, data: bytes) -> Callable[[Path], None]:
    """Damage that puts these bytes there; a negative offset counts from the end."""

    def damage(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(offset, os.SEEK_END if offset < 0 else os.SEEK_SET)
            file.write(data)

    return damage


def cut(size: int) -> Callable[[Path], None]:
    """Damage that truncates to this size; a negative size is what is cut off."""
    return lambda path: os.truncate(path, size if size >= 0 else path.stat().st_size + size)


def change(*statements: str) -> Callable[[Path], None]:
    """What another program, or another release of this one, would have done to the file."""

    def damage(path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection:
            for statement in statements:
                connection.execute(statement)
            connection.commit()

    return damage


def other_program(path: Path) -> None:
    """Put another program's database there, for its group to read."""
    theirs = path.with_name("theirs")
    change("CREATE TABLE theirs (x)", "INSERT INTO theirs VALUES (1)")(theirs)
    theirs.chmod(0o640)
    theirs.replace(path)


GARBAGE = bytes(range(255, -1, -1)) * 2
NO_DATABASE = "is not an SQLite database; name another file, or restore a backup"
DAMAGED = "is damaged; restore a backup"
FOREIGN = "is another program's database; name another file in BARRING_DATABASE_URL"
LATER = (
    "INSERT INTO _sqlite_migrations (migration_set, name, applied_at)"
    " VALUES ('barring', 'of_tomorrow', '2099-01-01')"
)

WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "its header is overwritten": (overwrite(0, GARBAGE[:16]), NO_DATABASE),
    "the mark in its header is overwritten": (overwrite(16, GARBAGE[:84]), FOREIGN),
    "its first page is overwritten": (overwrite(100, GARBAGE), DAMAGED),
    "an early page is overwritten": (overwrite(2 * PAGE, GARBAGE), DAMAGED),
    "a page in the middle is overwritten": (overwrite(20 * PAGE, GARBAGE), DAMAGED),
    "a page in the middle is zeroed": (overwrite(20 * PAGE, bytes(PAGE)), DAMAGED),
    "its last page is overwritten": (overwrite(-PAGE, GARBAGE), DAMAGED),
    "it is truncated to nothing": (cut(0), NO_DATABASE),
    "it is truncated to a byte": (cut(1), NO_DATABASE),
    "it is truncated in its first page": (cut(1000), DAMAGED),
    "half of it is cut off": (cut(20 * PAGE), DAMAGED),
    "a page is cut off": (cut(-PAGE), DAMAGED),
    "a byte is cut off": (cut(-1), "is truncated; restore a backup"),
    "it is a text": (lambda path: path.write_text("no database\n" * 1000), NO_DATABASE),
    "it is another program's": (other_program, FOREIGN),
    "it is a later release's": (change(LATER), r"later release \(of_tomorrow\); install that"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_file_stops_the_start_and_stays_as_it_is(database: Path, name: str) -> None:
    """One line names the file and the remedy; its bytes, and all beside it, are untouched."""
    damage, remedy = WRONG[name]
    damage(database)
    before = content(database)
    assert re.search(remedy, refusal(database))
    assert content(database) == before
    assert not Path(f"{database}-shm").exists()


WRONG_BESIDE_A_WAL = [
    "its header is overwritten",
    "it is truncated to nothing",
    "half of it is cut off",
    "a page in the middle is overwritten",
    "it is a text",
    "it is another program's",
]


@pytest.mark.parametrize("name", WRONG_BESIDE_A_WAL)
def test_wrong_file_beside_a_wal_stays_as_it_is(database: Path, name: str) -> None:
    """What a killed server has left beside it is not written into the file either."""
    leave_a_wal(database)
    damage, remedy = WRONG[name]
    damage(database)
    before = content(database)
    assert re.search(remedy, refusal(database))
    assert content(database) == before
    assert {f"{NAME}", f"{NAME}-wal"} <= before.keys()


def test_later_release_beside_a_wal_stays_as_it_is(database: Path) -> None:
    """A later release's database is not touched where its last writes lie in the -wal."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(LATER)
        connection.commit()
        shutil.copytree(database.parent, database.parent.with_name("copy"))
    copy = database.parent.with_name("copy") / NAME
    before = content(copy)
    assert "of_tomorrow" in refusal(copy)
    assert content(copy) == before
    assert before[f"{NAME}-wal"][1]


@pytest.mark.parametrize("wal", [False, True], ids=["closed", "killed"])
def test_read_only_file_stops_the_start(database: Path, wal: bool) -> None:
    """On a read-only file system the start fails, also where no permission binds root."""
    if wal:
        leave_a_wal(database)
    before = content(database)
    with read_only(database.parent):
        assert "cannot be written; check its permissions and its file system" in refusal(database)
    assert content(database) == before


def test_directory_stops_the_start(tmp_path: Path) -> None:
    """A directory in the place of the file is told, and keeps its permissions."""
    path = tmp_path / NAME
    path.mkdir(0o755)
    assert "Is a directory" in refusal(path)
    assert path.stat().st_mode & 0o777 == 0o755


def test_missing_file_is_a_first_start(tmp_path: Path) -> None:
    """The database is created once, the log says so, and nothing else is left."""
    for start in range(2):
        with running(tmp_path) as service, service.client() as client:
            created = service.logged(event="database_created", database=str(service.database))
            assert len(created) == (start == 0)
            assert client.post(codes_path(), json={"code": f"471{start}"}).status_code == 201
            assert len(client.get(codes_path()).json()["authCodes"]) == start + 1
    left = {file.name for file in tmp_path.iterdir()}
    assert left <= {"log", NAME, f"{NAME}-lock", f"{NAME}-wal", f"{NAME}-shm"}


def test_what_a_lost_database_left_is_not_taken_for_the_new_one(database: Path) -> None:
    """Where only the -wal of a database is left, the start is a first one, and empty."""
    leave_a_wal(database)
    database.unlink()
    with running(database.parent) as service, service.client() as client:
        assert service.logged(event="database_created")
        path = codes_path("tenant", "group", "last")
        assert client.get(path).json() == {"authCodes": []}
        assert client.post(path, json={"code": "0815"}).status_code == 201
    with running(database.parent) as service, service.client() as client:
        assert [code["code"] for code in client.get(path).json()["authCodes"]] == ["0815"]


def replace(database: Path) -> None:
    """Put another valid database in its place."""
    other = database.with_name("other")
    make_database(other)
    shutil.copyfile(other, database.with_name("copy"))
    other.rename(database)


GONE: dict[str, Callable[[Path], object]] = {
    "it is removed": lambda path: path.unlink(),
    "it gets another name": lambda path: path.rename(path.with_name("moved")),
    "another takes its name": replace,
    "its -wal is removed": lambda path: Path(f"{path}-wal").unlink(),
    "its -shm is removed": lambda path: Path(f"{path}-shm").unlink(),
}


@pytest.mark.parametrize("name", GONE)
def test_file_that_goes_under_load_takes_no_write(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Writes are 503 and readiness fails; all that was acknowledged is in the file as it was."""
    history, kept = History(), tmp_path / "kept"
    with Server(tmp_path) as server, Load(history, server.service.url):
        history.await_acknowledged(50)
        # Other names for the files of now, which show what is in them whatever comes.
        kept.mkdir()
        for file in (NAME, f"{NAME}-wal"):
            (kept / file).hardlink_to(tmp_path / file)
        GONE[name](tmp_path / NAME)
        gone = time.monotonic()
        await_that(lambda: len(writes_since(history, gone)) > 50, 30)
        await_that(lambda: time.monotonic() > gone + 1)
        for _ in range(20):
            with server.service.client() as client:
                ready = client.get("/health/ready")
                assert (ready.status_code, ready.headers["Retry-After"]) == (503, "1")
    history.faults += 1
    assert {op.outcome for op in writes_since(history, gone)} == {Outcome.UNDONE}
    if GONE[name] is replace:
        assert (tmp_path / NAME).read_bytes() == (tmp_path / "copy").read_bytes()
    with Server(kept) as server, server.service.client() as client:
        history.read_all(client)
    with capsys.disabled():
        history.judge(name)


def writes_since(history: History, moment: float) -> list[Operation]:
    """The writes that began after this moment."""
    return [op for op in list(history.operations) if op.start > moment and op.kind in WRITES]
