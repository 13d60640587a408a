"""The file of an SQLite database: how to open, create, check and recognize it."""

import fcntl
import os
import struct
from contextlib import closing, suppress
from pathlib import Path

from sqlite_utils import Database

from barring import logs
from barring.files import adopt, directory, replacing, sync_directory
from barring.storage.base import LATER, StorageError

from . import schema
from .driver import sqlite3

BUSY_TIMEOUT = 5.0
"""Seconds to wait for a lock that another connection holds."""

REMEDIES = {
    "SQLITE_NOTADB": "is not an SQLite database; name another file, or restore a backup",
    "SQLITE_CORRUPT": "is damaged; restore a backup",
    "SQLITE_READONLY": "cannot be written; check its permissions and its file system",
    "SQLITE_CANTOPEN": "cannot be opened; check the path and its permissions, or copy it with its "
    "-wal to a folder that can be written",
    "SQLITE_BUSY": "was locked too long by another program; try again",
    "SQLITE_FULL": "is on a full disk; free some space",
}
"""What is wrong and what to do, by the start of the error's name."""

SMALL = 16 * 1024 * 1024
"""Bytes up to which a database is read and checked at every start: that takes milliseconds.

Also the bytes that remain of a long write-ahead log when SQLite starts it anew.
"""

LONG_LOG = 256 * 1024 * 1024
"""Bytes above which a write-ahead log is reported."""

_FLOCK = "hhqqi4x"
"""C's struct flock on Linux: type, whence, start, length, process."""


def connect(path: Path, mode: str = "rw") -> Database:
    """A new connection. A missing file is an error; no empty database is created.

    A file that has no -wal and cannot be written is opened as immutable: otherwise SQLite would
    create a -wal, which it cannot on a read-only file system.
    """
    immutable = not os.access(path, os.W_OK) and not os.path.exists(f"{path}-wal")
    uri = f"{path.as_uri()}?mode={mode}&immutable={immutable:d}"
    options = {"timeout": BUSY_TIMEOUT, "isolation_level": None, "check_same_thread": False}
    connection = sqlite3.connect(uri, uri=True, **options)
    for pragma in ("synchronous = FULL", "fullfsync = ON", "secure_delete = ON"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute(f"PRAGMA journal_size_limit = {SMALL}")
    connection.execute("PRAGMA schema_version").fetchone()  # Opens the -wal and the -shm.
    return Database(connection, execute_plugins=False)


def create(path: Path) -> None:
    """Create a database that only its owner can read, and rename it into place when complete.

    An empty or partial file at the path is therefore always damage, not an interrupted start.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with directory(path.parent) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if path.exists():
            return  # Another process has created it.
        # Left by a lost database; SQLite would apply them to this one.
        for leftover in (f"{path}-wal", f"{path}-shm"):
            Path(leftover).unlink(missing_ok=True)
        with replacing(path, adopted=True) as new, closing(connect(new)) as database:
            schema.migrate(database)
        # So that a power failure cannot remove the new folder, and later writes with it.
        sync_directory(path.parent.parent)
    logs.emit("database_created", database=str(path))


def check_header(path: Path) -> None:
    """Raise StorageError unless the file's header is that of a database of this service.

    Reads the file itself: SQLite would apply a -wal beside it even to another program's file.
    https://sqlite.org/fileformat.html
    """
    with path.open("rb") as file:
        header = file.read(100)
    if not header.startswith(b"SQLite format 3\0"):
        raise StorageError(f"{path}: {REMEDIES['SQLITE_NOTADB']}")
    if int.from_bytes(header[68:72]) != schema.APPLICATION_ID:
        raise StorageError(
            f"{path}: is another program's database; name another file in BARRING_DATABASE_URL"
        )
    if header[18] == 1 and log_size(path):  # Only a backup is not in WAL mode.
        raise StorageError(
            f"{path}: is a backup beside a foreign -wal; use `barring restore --force`"
        )


def check_content(database: Database, path: Path, *, whole: bool) -> None:
    """Raise StorageError for a database of a later release, and for a damaged one.

    The whole database is read only if it is small, or if `whole` is set.
    """
    if later := schema.later_steps(database):
        raise StorageError(f"{path}: {LATER.format(', '.join(later))}")
    size = path.stat().st_size
    # SQLite reads a partial page as if it were complete. The last page may be partial only if
    # there is a -wal.
    partial = size % database.execute("PRAGMA page_size").fetchone()[0]
    if partial and not log_size(path):
        raise StorageError(f"{path}: is truncated; restore a backup")
    if whole or size <= SMALL:
        (verdict,) = database.execute("PRAGMA integrity_check(1)").fetchone()
        if verdict != "ok":
            reason = verdict.splitlines()[0]
            raise StorageError(f"{path}: {REMEDIES['SQLITE_CORRUPT']} ({reason})")


def protect(path: Path) -> None:
    """Let only the owner use the database, for example after a manual restore.

    Another user than the owner may not change its mode. Root need not: a command of root leaves the
    database of another user as it is.
    """
    if path.stat().st_uid == os.geteuid():
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW)) as database:
            adopt(database.fileno(), path.parent)
    elif os.geteuid():
        logs.emit("warning", message=f"{path}: belongs to another user; its mode is left as it is")


def log_size(path: Path) -> int:
    """The size of the write-ahead log in bytes."""
    with suppress(OSError):
        return os.path.getsize(f"{path}-wal")
    return 0


def oldest_reader(path: Path) -> str:
    """The other process whose read is the oldest one, or "" if none reads. Works on Linux only.

    SQLite stops emptying the log where that read began. The processes hold locks on the -shm.
    https://sqlite.org/walformat.html#the_wal_index_file_format
    """
    with suppress(OSError, struct.error):
        # Never closed: that would release the locks of this process.
        index = os.open(f"{path}-shm", os.O_RDONLY)
        marks = struct.unpack("=5I", os.pread(index, 20, 100))
        for number in sorted(range(5), key=marks.__getitem__):
            lock = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 123 + number, 1, 0)
            kind, *_, process = struct.unpack(_FLOCK, fcntl.fcntl(index, fcntl.F_GETLK, lock))
            if kind != fcntl.F_UNLCK:
                return f"process {process}" if process else "a process outside this container"
    return ""


def identities(path: Path) -> dict[str, tuple[int, int]]:
    """The device and inode of the database, its -wal and its -shm, if they exist, by suffix."""
    found = {}
    for suffix in ("", "-wal", "-shm"):
        with suppress(OSError):
            status = os.stat(f"{path}{suffix}")
            found[suffix] = (status.st_dev, status.st_ino)
    return found
