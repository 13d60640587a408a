"""`barring copy`: everything moves from one engine to another, whole, and may be begun again."""

import signal
import subprocess
from pathlib import Path

import psycopg
import pytest

from barring.domain import AuthorizationCode as Code
from barring.domain import Owner
from barring.storage import open_storage
from barring.storage.base import Storage
from tests.command import BARRING, failure, succeed
from tests.service import ROOT, environment

CODES = [
    Code(f"{number:06}", f"é😀 {number}", f"é {number}" if number % 2 else "")
    for number in range(15_000)
]
OWNERS = [
    Owner("acme", "sales", "Anna"),
    Owner("acme", "sales", "anna"),
    Owner("acme", "sales"),
    Owner("acme"),
    Owner("Ärger", "é", "z"),
]


@pytest.fixture
def full(tmp_path: Path) -> Storage:
    """A SQLite database with codes in it."""
    storage = open_storage(f"sqlite:///{tmp_path / 'full.sqlite3'}")
    storage.prepare()
    for owner in OWNERS:
        storage.add(owner, CODES)
    storage.close()
    return storage


def test_codes_move_to_postgres_and_back(tmp_path: Path, full: Storage, postgres: str) -> None:
    """What goes from SQLite to PostgreSQL and back is the same; a second run changes nothing."""
    there, back = f"sqlite:///{full}", f"sqlite:///{tmp_path / 'back.sqlite3'}"
    told = []
    for source, target in ((there, postgres), (there, postgres), (postgres, back)):
        told.append(succeed(tmp_path, "copy", "--from", source, "--to", target))
    assert len({*told}) == 1
    assert told[0].startswith("75000 codes copied; the checksums match (")
    copies = [open_storage(url) for url in (there, postgres, back)]
    first, second, third = (list(copy.export()) for copy in copies)
    assert first == second == third
    assert third == [(*owner, *code) for owner in sorted(OWNERS) for code in CODES]
    for copy in copies:
        copy.close()


def test_other_codes_in_the_target_are_told(tmp_path: Path, full: Storage, postgres: str) -> None:
    """A target that holds other codes is not touched."""
    target = open_storage(postgres)
    target.prepare()
    target.add(OWNERS[0], [Code("other", "")])
    message = failure(tmp_path, "copy", "--from", f"sqlite:///{full}", "--to", postgres)
    assert message.endswith("name an empty database")
    assert target.get(OWNERS[0], "other")
    assert target.count() == 1


def test_killed_copy_leaves_nothing(tmp_path: Path, full: Storage, postgres: str) -> None:
    """kill -9 in the middle: the target has none of the codes, and the next run brings them all."""
    arguments = ["copy", "--from", f"sqlite:///{full}", "--to", postgres]
    target = open_storage(postgres)
    target.prepare()
    with subprocess.Popen(
        [*BARRING, *arguments], cwd=ROOT, env=environment(tmp_path), stderr=subprocess.DEVNULL
    ) as copying:
        with psycopg.connect(postgres, autocommit=True) as other:
            query = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'COPY staged%'"
            while not other.execute(query).fetchone()[0]:  # type: ignore[index]
                assert copying.poll() is None
        copying.send_signal(signal.SIGKILL)
    assert target.count() == 0
    assert "75000 codes copied" in succeed(tmp_path, *arguments)


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        ("sqlite:///{0}/none.sqlite3", "sqlite:///{0}/x.sqlite3", "there is no database yet"),
        ("sqlite:///{0}/full.sqlite3", "sqlite:///{0}/full.sqlite3", "is the database to read"),
        ("sqlite:///{0}/none.sqlite3", "sqlite:///{0}/none.sqlite3", "is the database to read"),
        ("sqlite:///{0}/none.sqlite3", "mysql://x", "there is no storage engine for mysql://"),
        ("mysql://x", "sqlite:///{0}/x.sqlite3", "there is no storage engine for mysql://"),
    ],
)
def test_mistake_is_told(
    tmp_path: Path, full: Storage, source: str, target: str, words: str
) -> None:
    """What cannot be copied is told in one line, and nothing is made."""
    arguments = ["--from", source.format(tmp_path), "--to", target.format(tmp_path)]
    assert words in failure(tmp_path, "copy", *arguments)
    assert not (tmp_path / "x.sqlite3").exists()
