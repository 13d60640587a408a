"""Backups taken under load: what each restores to is a state that the history allows."""

import time
from pathlib import Path

import pytest

from barring.storage.sqlite.engine import SQLiteStorage
from tests.command import barring
from tests.service import running

from .history import History
from .load import Load
from .operations import Item, owner_of

pytestmark = pytest.mark.long


def test_backup_under_load_restores_what_the_history_allows(
    tmp_path: Path, full_length: bool
) -> None:
    """Each backup, put in place elsewhere, holds all that was acknowledged before it was begun."""
    history, backups = History(), 20 if full_length else 4
    taken: list[tuple[Path, float, float]] = []
    with running(tmp_path) as service:
        with Load(history, service.url) as load:
            for number in range(backups):
                history.await_acknowledged(history.acknowledged + 50)
                backup, start = tmp_path / f"backup{number}", time.monotonic()
                assert barring(tmp_path, "backup", str(backup)).returncode == 0
                taken.append((backup, start, time.monotonic()))
        with service.client() as client:
            history.read_all(client)
    for backup, start, end in taken:
        place = tmp_path / f"restored from {backup.name}"
        place.mkdir()
        assert barring(place, "restore", str(backup)).returncode == 0
        storage = SQLiteStorage(str(place / "codes.sqlite3"))
        for user in load.owners:
            codes = storage.list(owner_of(user))
            history.observe(user, (Item(*code) for code in codes), start, end)
        storage.close()
    report = history.judge(f"{backups} backups")
    assert report.acknowledged >= 50 * backups
