"""The tables of the SQLite engine, and their migrations."""

from sqlite_utils import Database, Migrations

APPLICATION_ID = 0x42415252
"""Marks a file as this service's: "BARR". https://sqlite.org/pragma.html#pragma_application_id"""

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
    """One row for each code, clustered by the key: an owner's list is one range of the file."""
    set_application_id(db)
    db.execute(_CREATE)


@migrations()
def add_class_of_service(db: Database) -> None:
    """A column that may be NULL is added without rewriting the table."""
    db.execute("ALTER TABLE authorization_codes ADD COLUMN class_of_service TEXT")


def set_application_id(db: Database) -> None:
    """Write the application id; in a database that has it, a write that changes nothing."""
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def migrate(db: Database) -> None:
    """Apply the pending migrations in one transaction, and switch to WAL mode."""
    if migrations.pending(db):
        # IMMEDIATE, so that of several processes one migrates while the others wait, and then
        # find nothing to do. The transactions of sqlite-utils become savepoints inside.
        with db.conn:
            db.execute("BEGIN IMMEDIATE")
            migrations.apply(db)
    db.execute("PRAGMA journal_mode = WAL")


def later_steps(db: Database) -> list[str]:
    """The migrations of the database that this release does not know."""
    known = {migration.name for migration in migrations._migrations}
    # In a transaction, so that another process's migration is seen whole or not at all.
    with db.atomic():
        return [step.name for step in migrations.applied(db) if step.name not in known]
