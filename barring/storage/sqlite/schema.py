"""The tables of the SQLite engine, and how a file of an earlier release becomes current."""

from sqlite_utils import Database, Migrations

from barring.storage.statements import KEY

APPLICATION_ID = 0x42415252
"""Marks a SQLite file as this service's ("BARR"); https://sqlite.org/pragma.html#pragma_application_id."""

REMOVE = f"DELETE FROM authorization_codes WHERE ({KEY}) = (?, ?, ?, ?)"
"""Removes one code, by its owner and itself; for the service and for files alike."""

_CREATE = """
    CREATE TABLE authorization_codes (
        tenant_id TEXT NOT NULL,
        group_id TEXT NOT NULL,
        user_id TEXT NOT NULL,
        code TEXT NOT NULL,
        description TEXT NOT NULL,
        PRIMARY KEY (tenant_id, group_id, user_id, code)
    ) STRICT, WITHOUT ROWID"""

migrations = Migrations("barring")


@migrations()
def create_authorization_codes(db: Database) -> None:
    """One row a code. Clustered by its key, so that a user's list is one range of the file."""
    mark(db)
    db.execute(_CREATE)


def mark(db: Database) -> None:
    """Write whose file this is: in a file of this service, a write that changes nothing."""
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def migrate(db: Database) -> None:
    """Bring the database up to date in one transaction, and into WAL mode."""
    if migrations.pending(db):
        # Immediate: of several processes that start together one migrates, the others wait and
        # find nothing left to do. sqlite-utils' own transactions become savepoints inside.
        with db.conn:
            db.execute("BEGIN IMMEDIATE")
            migrations.apply(db)
    db.execute("PRAGMA journal_mode = WAL")


def later_steps(db: Database) -> list[str]:
    """The steps that the database has and this release does not know."""
    known = {migration.name for migration in migrations._migrations}
    # One transaction, so that another process's migration is seen as a whole or not at all.
    with db.atomic():
        return [step.name for step in migrations.applied(db) if step.name not in known]
