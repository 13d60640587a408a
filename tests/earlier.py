"""Databases as the release before this one wrote them: without a class of service."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import psycopg

Row = tuple[str, str, str, str, str]

ROWS: list[Row] = [
    ("acme", "sales", "anna", "0815", "Night shift"),
    ("acme", "sales", "anna", "4711", ""),
    ("acme", "sales", "zoë@example.com", "*1#", 'é😀 "x", \r\n'),
    ("footenant", "foogroup", "foouser", "fooCode", "x" * 80),
]
"""Codes in the order of an export."""

_SQLITE = """
    PRAGMA journal_mode = WAL;
    PRAGMA application_id = 1111577170;
    CREATE TABLE "_sqlite_migrations" (
       "id" INTEGER PRIMARY KEY,
       "migration_set" TEXT,
       "name" TEXT,
       "applied_at" TEXT
    );
    CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
        ON "_sqlite_migrations" ("migration_set", "name");
    CREATE TABLE authorization_codes (
        tenant_id TEXT NOT NULL,
        group_id TEXT NOT NULL,
        user_id TEXT NOT NULL,
        code TEXT NOT NULL,
        description TEXT NOT NULL,
        PRIMARY KEY (tenant_id, group_id, user_id, code)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO _sqlite_migrations VALUES
        (1, 'barring', 'create_authorization_codes', '2026-11-24 07:42:43.221204+00:00');"""

_POSTGRES = """
    CREATE TABLE barring_migrations (step text PRIMARY KEY);
    CREATE TABLE authorization_codes (
        tenant_id text COLLATE "C" NOT NULL,
        group_id text COLLATE "C" NOT NULL,
        user_id text COLLATE "C" NOT NULL,
        code text COLLATE "C" NOT NULL,
        description text COLLATE "C" NOT NULL,
        PRIMARY KEY (tenant_id, group_id, user_id, code)
    );
    CREATE TABLE barring_marks (slot integer PRIMARY KEY);
    INSERT INTO barring_migrations VALUES
        ('create_authorization_codes'), ('create_barring_marks');"""


def write_sqlite(path: Path, rows: Iterable[Row] = ROWS) -> None:
    """A closed file with these rows."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(_SQLITE)
        connection.executemany("INSERT INTO authorization_codes VALUES (?, ?, ?, ?, ?)", rows)
        connection.commit()
    path.chmod(0o600)


def write_postgres(url: str, rows: Iterable[Row] = ROWS) -> None:
    """Tables with these rows in an empty database."""
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        connection.execute(_POSTGRES)
        with cursor.copy("COPY authorization_codes FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)


def write(url: str, rows: Iterable[Row] = ROWS) -> None:
    """A database at a URL."""
    if url.startswith("sqlite"):
        write_sqlite(Path(url.removeprefix("sqlite:///")), rows)
    else:
        write_postgres(url, rows)


def upgrades(url: str) -> int:
    """How often the upgrade to this release is noted in a database."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            rows = connection.execute("SELECT name FROM _sqlite_migrations").fetchall()
    else:
        with psycopg.connect(url) as other:
            rows = other.execute("SELECT step FROM barring_migrations").fetchall()
    return rows.count(("add_class_of_service",))
