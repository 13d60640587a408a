"""A database of the release before opens in this one, keeps all it has, and is not rewritten."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg
import pysqlite3
import pytest

from barring.domain import AuthorizationCode as Code
from barring.domain import Owner
from barring.storage import open_storage
from barring.storage.sqlite import schema
from barring.storage.sqlite.engine import SQLiteStorage
from barring.storage.sqlite.file import SMALL
from tests import earlier
from tests.tools import lacking

ANNA = Owner("acme", "sales", "anna")
UNCLASSIFIED = [(*row, "") for row in earlier.ROWS]


def many() -> list[earlier.Row]:
    """100,000 rows, in more bytes than a start checks, in the order of an export."""
    owners = sorted((f"tenant{n % 10}", f"group{n % 7}", f"{n}@example.com") for n in range(100))
    return [(*owner, f"{number:06}", "x" * 120) for owner in owners for number in range(1_000)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where an SQLite database of this test is."""
    return tmp_path / "codes.sqlite3"


def test_all_is_kept_and_can_be_changed(database_url: str) -> None:
    """Each code comes back, without a class of service; each may get one, and new ones have one."""
    earlier.write(database_url)
    with closing(open_storage(database_url)) as storage:
        storage.prepare()
        assert list(storage.export()) == UNCLASSIFIED
        old = [Code("0815", "Night shift", ""), Code("4711", "", "")]
        assert storage.list(ANNA) == old
        assert storage.get(ANNA, "0815") == old[0]
        storage.add(ANNA, [Code("0816", "new", "international")])
        storage.add(Owner("acme", "sales"), [Code("0815", "of the group")])
        for code, changes in (
            (old[0], {"class_of_service": "national"}),
            (old[1], {"description": "new"}),
        ):
            assert storage.change(ANNA, code.code, changes) == (code, code._replace(**changes))
        assert [*storage.remove(ANNA, ["4711"])] == [Code("4711", "new", "")]
        storage.prepare()
        assert storage.list(ANNA) == [
            Code("0815", "Night shift", "national"),
            Code("0816", "new", "international"),
        ]
        assert storage.check() == {"codes": 5, "users": 3, "tenants": 2}
    assert earlier.upgrades(database_url) == 1


def test_sqlite_schema_is_what_alter_table_writes(tmp_path: Path) -> None:
    """The file is sound, and its schema is that which SQLite's own statement makes."""
    for name in ("upgraded", "altered"):
        earlier.write_sqlite(tmp_path / name)
    with closing(sqlite3.connect(tmp_path / "altered")) as connection:
        connection.execute("ALTER TABLE authorization_codes ADD COLUMN class_of_service TEXT")
    for name in ("upgraded", "new"):
        with closing(SQLiteStorage(str(tmp_path / name))) as storage:
            storage.prepare()
            storage.add(Owner("b"), [Code("01", "", "national")])
            storage.check()

    def tables(name: str) -> list[str]:
        with closing(pysqlite3.connect(str(tmp_path / name))) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            query = "SELECT sql FROM sqlite_schema WHERE tbl_name <> 'lockouts' ORDER BY name"
            rows = connection.execute(query).fetchall()
            return [" ".join(sql.split()) for (sql,) in rows]

    assert tables("upgraded") == tables("altered") == tables("new")


def test_postgres_columns_are_those_of_a_new_database(postgres: str) -> None:
    """The columns of an upgraded table are, in everything, those of a new one."""
    earlier.write_postgres(postgres)
    query = (
        "SELECT column_name, ordinal_position, data_type, collation_name, is_nullable,"
        " column_default FROM information_schema.columns WHERE table_name = 'authorization_codes'"
        " AND table_schema = %s ORDER BY 2"
    )
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA own")
        for target in (postgres, f"{postgres}?options=-csearch_path%3Down"):
            with closing(open_storage(target)) as storage:
                storage.prepare()
        old, new = (connection.execute(query, [name]).fetchall() for name in ("public", "own"))
    assert old == new
    assert len(old) == 6


def bytes_read() -> int:
    """How many bytes this process has read from files."""
    if not Path("/proc/self/io").exists():
        lacking("this test reads /proc")
    return int(Path("/proc/self/io").read_text().split()[1])


def test_sqlite_file_is_neither_read_nor_rewritten(path: Path) -> None:
    """Of 20 MB of codes a start reads and writes some pages, so that any number opens at once."""
    rows = many()
    earlier.write_sqlite(path, rows)
    before, read = path.read_bytes(), bytes_read()
    with closing(SQLiteStorage(str(path))) as storage:
        storage.prepare()
    assert bytes_read() - read < 1_000_000
    after = path.read_bytes()
    assert len(before) > SMALL
    assert len(after) - len(before) <= 2 * 4096  # The table of lockouts and its index.
    places = range(0, len(before), 4096)
    assert sum(before[at : at + 4096] != after[at : at + 4096] for at in places) <= 4
    with closing(SQLiteStorage(str(path))) as storage:
        assert list(storage.export()) == [(*row, "") for row in rows]


def test_postgres_table_is_not_rewritten(postgres: str) -> None:
    """The table and its index stay in the files that they are in, of the size that they have."""
    rows = many()
    earlier.write_postgres(postgres, rows)
    query = (
        "SELECT pg_relation_filenode(name), pg_relation_size(name)"
        " FROM unnest(ARRAY['authorization_codes', 'authorization_codes_pkey']::regclass[]) AS name"
    )
    with psycopg.connect(postgres, autocommit=True) as connection:
        before = connection.execute(query).fetchall()
        with closing(open_storage(postgres)) as storage:
            storage.prepare()
            assert connection.execute(query).fetchall() == before
            assert list(storage.export()) == [(*row, "") for row in rows]


def test_failed_upgrade_leaves_the_old_schema(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash after the column was added leaves the file as it was; the next start adds it."""
    earlier.write_sqlite(path)
    before = path.read_bytes()

    def crash(db: object) -> None:
        raise RuntimeError("crash")

    known = schema.migrations._migrations
    steps = [*known, type(known[0])("crash", crash)]
    with closing(SQLiteStorage(str(path))) as storage:
        with monkeypatch.context() as patch:
            patch.setattr(schema.migrations, "_migrations", steps)
            with pytest.raises(RuntimeError):
                storage.prepare()
        assert path.read_bytes() == before
        storage.prepare()
        assert list(storage.export()) == UNCLASSIFIED


def test_open_connection_sees_the_column(path: Path) -> None:
    """A service of the release before goes on beside the upgrade, and reads the new schema."""
    earlier.write_sqlite(path)
    with closing(pysqlite3.connect(str(path), isolation_level=None)) as older:
        query = "SELECT code, description FROM authorization_codes"
        assert len(older.execute(query).fetchall()) == 4
        with closing(SQLiteStorage(str(path))) as storage:
            storage.prepare()
            new = older.execute("SELECT class_of_service FROM authorization_codes")
            assert new.fetchall() == [(None,)] * 4
            columns = "tenant_id, group_id, user_id, code, description"
            values = "'acme', 'sales', 'anna', '9', ''"
            older.execute(f"INSERT INTO authorization_codes ({columns}) VALUES ({values})")
            assert storage.get(ANNA, "9") == Code("9", "", "")


def test_killed_release_left_its_log(path: Path) -> None:
    """What a killed service of the release before left in the -wal is kept by the upgrade."""
    earlier.write_sqlite(path)
    script = (
        "import os, sqlite3, sys; connection = sqlite3.connect(sys.argv[1])\n"
        "insert = 'INSERT INTO authorization_codes VALUES (?, ?, ?, ?, ?)'\n"
        "connection.execute(insert, ('z', 'z', 'z', '01', 'last')); connection.commit()\n"
        "os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)
    assert Path(f"{path}-wal").stat().st_size
    with closing(SQLiteStorage(str(path))) as storage:
        storage.prepare()
        assert list(storage.export()) == [*UNCLASSIFIED, ("z", "z", "z", "01", "last", "")]
