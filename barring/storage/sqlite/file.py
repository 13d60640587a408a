"""The file of a SQLite database: how it is made, examined, opened, and known again."""

import fcntl
import os
from contextlib import closing
from pathlib import Path

import pysqlite3 as sqlite3
from sqlite_utils import Database

from barring import logs
from barring.files import directory, sync_directory
from barring.storage.base import StorageError

from . import schema

BUSY_TIMEOUT = 5.0
"""Seconds to wait for another's lock."""

SMALL = 16 * 1024 * 1024
"""Bytes up to which a database is read through at every start: that takes no noticeable time."""

Identity = tuple[int, int] | None
"""Which file a path means, by device and inode; None for no file."""


def connect(path: Path, mode: str = "rw") -> Database:
    """A new connection. A missing file is an error, never a new and empty database."""
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_TIMEOUT,
        isolation_level=None,
        check_same_thread=False,
    )
    for pragma in ("synchronous = FULL", "fullfsync = ON", "secure_delete = ON"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("PRAGMA schema_version").fetchone()  # Opens the -wal and the -shm.
    return Database(connection, execute_plugins=False)


def create(path: Path) -> None:
    """Make a complete database, its owner's alone, and only then give it its name.

    So an empty or partial file is a damaged one, never a first start that was cut short.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with directory(path.parent) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if path.exists():
            return  # Another process was faster.
        new = Path(f"{path}-new")
        # What a lost database, or a creation that was cut short, left would spoil this one.
        for leftover in (f"{path}-wal", f"{path}-shm", new, f"{new}-journal"):
            Path(leftover).unlink(missing_ok=True)
        os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        with closing(connect(new)) as database:
            schema.migrate(database)
        new.rename(path)
        # What is acknowledged later must not lie in a file that a power cut makes nameless.
        for folder in (path.parent, path.parent.parent):
            sync_directory(folder)
    logs.emit("database_created", database=str(path))


def check_header(path: Path) -> None:
    """Raise StorageError for a file that is not this service's, by its first bytes alone.

    SQLite would apply a -wal that lies beside to any file. https://sqlite.org/fileformat.html
    """
    with path.open("rb") as file:
        header = file.read(100)
    if not header.startswith(b"SQLite format 3\0"):
        raise StorageError(
            f"{path}: is not a SQLite database; name another file, or restore a backup"
        )
    if int.from_bytes(header[68:72]) != schema.APPLICATION_ID:
        raise StorageError(
            f"{path}: is another program's database; name another file in BARRING_DATABASE_URL"
        )


def check_content(database: Database, path: Path, *, whole: bool) -> None:
    """Raise StorageError for a database of a later release, and for one that is damaged.

    It is read through if it is small, or if `whole` asks for it.
    """
    if later := schema.later_steps(database):
        raise StorageError(
            f"{path}: was written by a later release ({', '.join(later)}); install that release"
        )
    size = path.stat().st_size
    wal = Path(f"{path}-wal")
    # SQLite takes half a page for a whole one; only while a -wal is unfinished it may be one.
    partial = size % database.execute("PRAGMA page_size").fetchone()[0]
    if partial and not (wal.exists() and wal.stat().st_size):
        raise StorageError(f"{path}: is truncated; restore a backup")
    if whole or size <= SMALL:
        (verdict,) = database.execute("PRAGMA integrity_check(1)").fetchone()
        if verdict != "ok":
            raise StorageError(f"{path}: is damaged; restore a backup ({verdict.splitlines()[0]})")


def identities(path: Path) -> tuple[Identity, ...]:
    """Which files the database at a path, its -wal and its -shm are."""
    return tuple(_identity(f"{path}{suffix}") for suffix in ("", "-wal", "-shm"))


def _identity(path: str) -> Identity:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
