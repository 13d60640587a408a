"""Copies of a SQLite database: taken while it is in use, checked, and put in its place."""

import shutil
from contextlib import closing
from pathlib import Path

import pysqlite3 as sqlite3
from sqlite_utils import Database

from barring.files import replacing
from barring.storage import statements
from barring.storage.base import Progress, StorageError

from . import file, schema

_PAGES_A_STEP = 4096


def copy_database(source: Database, target: Path, progress: Progress) -> None:
    """Write the state that `source` has now to the file `target`, whole or not at all.

    Writers go on meanwhile: the open transaction keeps the state that it began with.
    """
    with replacing(target) as partial:
        source.execute("BEGIN")
        try:
            source.execute(statements.ANY_ROW).fetchone()
            with closing(sqlite3.connect(partial)) as copy:
                source.conn.backup(
                    copy,
                    pages=_PAGES_A_STEP,
                    progress=lambda _, left, total: progress(total - left, total),
                )
        finally:
            source.rollback()


def put_in_place(backup: Path, target: Path) -> None:
    """Let the checked copy `backup` take the place of the database `target`.

    Raises StorageError where it is not a sound database of this service, or where another
    process has the present one open; the present one then stays as it is.
    """
    if backup.with_name(f"{backup.name}-wal").exists():
        raise StorageError(f"{backup}: is no backup but a database in use, with its -wal beside it")
    with replacing(target) as partial:
        shutil.copyfile(backup, partial)
        _verify(partial, backup)
        _claim(target)
    # What is left of the replaced database's log must not be taken for the new one's.
    for suffix in ("-wal", "-shm"):
        target.with_name(target.name + suffix).unlink(missing_ok=True)


def _verify(copy: Path, backup: Path) -> None:
    """Raise StorageError, naming the backup, where its copy is no sound database."""
    try:
        file.check_header(backup)
        with closing(file.connect(copy)) as database:
            file.check_content(database, backup, whole=True)
    except StorageError as error:
        raise StorageError(f"cannot be restored: {error}") from error
    except sqlite3.DatabaseError as error:
        raise StorageError(f"cannot be restored: {backup}: {error}") from error


def count(database: Database) -> dict[str, int | str]:
    """How much a database holds, and which steps of the schema it has."""
    codes, users, tenants = database.execute(statements.COUNTS).fetchone()
    steps = [step.name for step in schema.migrations.applied(database)]
    return {"codes": codes, "users": users, "tenants": tenants, "schema": steps[-1]}


def _claim(target: Path) -> None:
    """Make sure that no other process has the database open."""
    if not target.exists():
        return
    try:
        with closing(sqlite3.connect(target, timeout=0)) as connection:
            # Every connection to a database in WAL mode holds a lock that this needs for itself.
            connection.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.OperationalError as error:
        raise StorageError(f"{target}: is in use; stop the service first ({error})") from error
    except sqlite3.DatabaseError:
        return  # Too damaged to be in use by anything but a restore.
