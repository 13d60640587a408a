"""The tables of the SQLite engine, and their migrations."""

from sqlite_utils import Database, Migrations

APPLICATION_ID = 0x42415252
"""Marks a file as this service's: "BARR". https://sqlite.org/pragma.html#pragma_application_id"""

EARLIER = "was written by an earlier release; to upgrade, run `barring check` where it is writable"

migrations = Migrations("barring")


@migrations()
def create_authorization_codes(db: Database) -> None:
    """One row for each code, clustered by the key: an owner's list is one range of the file."""
    set_application_id(db)
    db.execute("""
        CREATE TABLE authorization_codes (
            tenant_id TEXT NOT NULL, group_id TEXT NOT NULL, user_id TEXT NOT NULL,
            code TEXT NOT NULL, description TEXT NOT NULL,
            PRIMARY KEY (tenant_id, group_id, user_id, code)
        ) STRICT, WITHOUT ROWID""")


@migrations()
def add_class_of_service(db: Database) -> None:
    """Add a column that may be NULL. ALTER TABLE would read all rows, since the table is STRICT.

    The schema becomes what ALTER TABLE would write, and its new version makes other connections
    read it again. https://sqlite.org/lang_altertable.html#otheralter
    """
    (version,) = db.execute("PRAGMA schema_version").fetchone()
    last = "description TEXT NOT NULL"
    db.execute("PRAGMA writable_schema = ON")
    change = "UPDATE sqlite_schema SET sql = replace(sql, ?, ?) WHERE name = 'authorization_codes'"
    db.execute(change, (last, f"{last}, class_of_service TEXT"))
    db.execute(f"PRAGMA schema_version = {version + 1}")
    db.execute("PRAGMA writable_schema = OFF")


@migrations()
def create_lockouts(db: Database) -> None:
    """One row for each user with failures; `expires` finds those that no longer count."""
    db.execute("""
        CREATE TABLE lockouts (
            tenant_id TEXT NOT NULL, group_id TEXT NOT NULL, user_id TEXT NOT NULL,
            failures TEXT NOT NULL, locked_until INTEGER NOT NULL, locked_for INTEGER NOT NULL,
            expires INTEGER NOT NULL, PRIMARY KEY (tenant_id, group_id, user_id)
        ) STRICT, WITHOUT ROWID""")
    db.execute("CREATE INDEX lockouts_by_expiry ON lockouts (tenant_id, expires)")


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
    with Database(memory=True, execute_plugins=False) as empty:
        known = {step.name for step in migrations.pending(empty)}
    # In a transaction, so that another process's migration is seen whole or not at all.
    with db.atomic():
        return [step.name for step in migrations.applied(db) if step.name not in known]
