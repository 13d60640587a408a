"""Restore of an SQLite database from a backup."""

import shutil
from contextlib import closing
from pathlib import Path

from barring.files import replacing
from barring.storage.base import StorageError

from . import file
from .connections import TranslateErrors
from .driver import sqlite3


def put_in_place(backup: Path, target: Path) -> None:
    """Check a backup, and replace the database `target` by a copy of it.

    Raises StorageError, and leaves `target` as it is, if the backup is not a valid database of this
    service, or another process has `target` open.
    """
    if backup.with_name(f"{backup.name}-wal").exists():
        raise StorageError(f"{backup}: is not a backup but a database in use: it has a -wal file")
    with replacing(target, adopted=True) as partial:
        shutil.copyfile(backup, partial)
        try:
            file.check_header(backup)
            with TranslateErrors(backup), closing(file.connect(partial)) as database:
                file.check_content(database, backup, whole=True)
        except StorageError as error:
            raise StorageError(f"cannot be restored: {error}") from error
        _require_unused(target)
    # SQLite would apply the replaced database's log to the new one.
    for suffix in ("-wal", "-shm"):
        target.with_name(target.name + suffix).unlink(missing_ok=True)


def _require_unused(target: Path) -> None:
    """Raise StorageError if another process has the database open."""
    if not target.exists():
        return
    try:
        with closing(sqlite3.connect(target, timeout=0)) as connection:
            # Needs a lock that every other connection to a database in WAL mode holds.
            connection.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.OperationalError as error:
        raise StorageError(f"{target}: is in use; stop the service first ({error})") from error
    except sqlite3.DatabaseError:
        return  # Too damaged for any service to have it open.
