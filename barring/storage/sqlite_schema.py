"""The tables of the SQLite engine, and how a file of an earlier release becomes current."""

from pathlib import Path

from sqlite_utils import Database, Migrations

from .base import StorageError

APPLICATION_ID = 0x42415252
"""Marks a SQLite file as this service's ("BARR"); https://sqlite.org/pragma.html#pragma_application_id."""

migrations = Migrations("barring")


@migrations()
def create_authorization_codes(db: Database) -> None:
    """One row a code. Clustered by its key, so that a user's list is one range of the file."""
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(
        """
        CREATE TABLE authorization_codes (
            tenant_id TEXT NOT NULL,
            group_id TEXT NOT NULL,
            user_id TEXT NOT NULL,
            code TEXT NOT NULL,
            description TEXT NOT NULL,
            PRIMARY KEY (tenant_id, group_id, user_id, code)
        ) STRICT, WITHOUT ROWID
        """
    )


def migrate(db: Database, path: Path) -> None:
    """Bring the database up to date in one transaction, and into WAL mode.

    Raises StorageError for a file of another program or of a later release, and leaves it as it is.
    """
    # One transaction, so that another process's migration is seen as a whole or not at all.
    with db.atomic():
        refuse_strangers(db, path)
    if migrations.pending(db):
        # Immediate: of several processes that start together one migrates, the others wait and
        # find nothing left to do. sqlite-utils' own transactions become savepoints inside.
        db.execute("BEGIN IMMEDIATE")
        try:
            migrations.apply(db)
            db.execute("COMMIT")
        except BaseException:
            db.rollback()
            raise
    db.execute("PRAGMA journal_mode = WAL")


def refuse_strangers(db: Database, path: Path) -> None:
    """Raise StorageError for a database of another program, or of a later release."""
    application_id = db.execute("PRAGMA application_id").fetchone()[0]
    if application_id != APPLICATION_ID and db.table_names():
        raise StorageError(
            f"{path}: is another program's database; name another file in BARRING_DATABASE_URL"
        )
    known = {migration.name for migration in migrations._migrations}
    later = [step.name for step in migrations.applied(db) if step.name not in known]
    if later:
        raise StorageError(
            f"{path}: was written by a later release ({', '.join(later)}); install that release"
        )
