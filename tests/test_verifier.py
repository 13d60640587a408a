"""Verification where tries meet, and where failures cannot be stored."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from barring.domain import DAY, Owner
from barring.storage.base import OutcomeUnknown, StorageUnavailable
from barring.storage.sqlite.engine import SQLiteStorage
from barring.verification import verifier as module
from barring.verification.verifier import Refused, Verifier
from tests.verifying import DEFAULT, OTHER, START, USER, Storage, guesses, opened, outcome


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    """A database with a code of the user, and one of another user."""
    with opened(tmp_path) as storage:
        yield storage


@pytest.fixture
def verifier(storage: Storage) -> Verifier:
    """The verifier of one process."""
    return Verifier(storage, *DEFAULT)


def test_parallel_failures_do_not_prolong_a_lock(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Failures in two processes at once lock the user once, not for twice as long."""
    with closing(Storage(str(tmp_path / "codes.sqlite3"))) as second:
        second.set_clock(START)
        both = [Verifier(each, *DEFAULT) for each in (storage, second)]
        for _ in range(4):
            assert outcome(both[0]) == "refused"
        barrier = Barrier(2)

        def found(self: Storage, *arguments: Any) -> Any:
            result = SQLiteStorage.find(self, *arguments)
            barrier.wait(10)
            return result

        monkeypatch.setattr(Storage, "find", found)
        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(outcome, both)) == ["refused", "refused"]
        assert both[0].status(USER) == (5, START + 900)


@pytest.mark.parametrize("error", [StorageUnavailable, OutcomeUnknown, RuntimeError])
@pytest.mark.parametrize("applied", [False, True])
def test_failures_that_cannot_be_stored_count(
    storage: Storage, verifier: Verifier, error: type[Exception], applied: bool
) -> None:
    """After as many as the limit the right code is unavailable too, with stored ones among them."""
    assert [outcome(verifier) for _ in range(2)] == ["refused"] * 2
    storage.fault, storage.applied = error("no"), applied
    for _ in range(3):
        assert outcome(verifier, "right") in ("verified", "locked", "unavailable")
        with pytest.raises((error, Refused, StorageUnavailable)):
            verifier.verify(USER, "wrong")
    assert outcome(verifier, "theirs", OTHER) == "verified"
    storage.applied = False
    assert outcome(verifier, "right") in ("unavailable", "locked")


def test_remembered_failures_are_stored_once_possible(storage: Storage, verifier: Verifier) -> None:
    """They lock the user in the database then, where an administrator can lift the lock."""
    storage.fault = StorageUnavailable("full")
    assert [outcome(verifier) for _ in range(6)] == ["unavailable"] * 6
    storage.fault = None
    storage.set_clock(START + 60)
    assert outcome(verifier, "right") == "unavailable"
    assert outcome(verifier, "right") == "locked"
    assert verifier.status(USER) == (5, START + 960)
    assert verifier.unlock(USER)
    assert outcome(verifier, "right") == "verified"
    assert guesses(verifier) == 5


def test_remembered_failures_age(storage: Storage, verifier: Verifier) -> None:
    """They count no longer than stored ones, and then do not lock a user who has one more."""
    storage.fault = StorageUnavailable("full")
    assert [outcome(verifier) for _ in range(6)] == ["unavailable"] * 6
    storage.set_clock(START + 899)
    assert outcome(verifier, "right") == "unavailable"
    storage.set_clock(START + 900)
    assert outcome(verifier, "right") == "verified"
    storage.fault = None
    assert outcome(verifier) == "refused"
    assert outcome(verifier, "right") == "verified"
    assert verifier.status(USER) == (1, 0)


def test_days_without_writes_allow_no_more_guesses(storage: Storage, verifier: Verifier) -> None:
    """A disk that is full for days allows no more guesses than the two limits."""
    storage.fault = StorageUnavailable("full")
    looked_at = []
    for now in range(START, START + 3 * DAY, 300):
        storage.set_clock(now)
        if outcome(verifier, "right") == "verified":
            assert outcome(verifier) == "unavailable"
            looked_at.append(now)
    assert len(looked_at) == 60
    assert all(later - first >= 900 for first, later in zip(looked_at, looked_at[5:], strict=False))


def test_memory_of_failures_is_bounded(
    storage: Storage, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When it is full every verification is unavailable, until failures can be stored, or age."""
    monkeypatch.setattr(module, "MAX_REMEMBERED", 20)
    storage.fault = StorageUnavailable("full")
    users = [Owner("tenant", "group", str(number)) for number in range(20)]
    assert {outcome(verifier, user=user) for user in users} == {"unavailable"}
    assert outcome(verifier, "right") == "unavailable"
    storage.fault = None
    assert outcome(verifier, "right") == "verified"
    assert verifier.status(users[0]) == (1, 0)
    storage.fault = StorageUnavailable("full")
    assert outcome(verifier, user=users[0]) == "unavailable"
    assert outcome(verifier, "right") == "unavailable"
    storage.set_clock(START + DAY)
    assert outcome(verifier, "right") == "verified"


def test_unlock_that_fails_forgets_nothing(storage: Storage, verifier: Verifier) -> None:
    """Failures that are only remembered stay so until the lock can be lifted in the database."""
    storage.fault = StorageUnavailable("full")
    assert [outcome(verifier) for _ in range(5)] == ["unavailable"] * 5
    with pytest.raises(StorageUnavailable):
        verifier.unlock(USER)
    assert outcome(verifier, "right") == "unavailable"
    storage.fault = None
    assert verifier.unlock(USER)
    assert outcome(verifier, "right") == "verified"


@pytest.mark.parametrize("began", [START, START - 1800])
def test_unlock_holds_for_other_processes(
    storage: Storage, tmp_path: Path, verifier: Verifier, began: int
) -> None:
    """They forget the failures of before, even as many as lock within a day; later ones count."""
    with closing(Storage(str(tmp_path / "codes.sqlite3"))) as second:
        other = Verifier(second, *DEFAULT)
        second.fault = StorageUnavailable("full")
        for now in range(began - 900, START + 1, 900):
            second.set_clock(now)
            assert [outcome(other) for _ in range(6)] == ["unavailable"] * 6
        second.fault = None
        verifier.unlock(USER)
        assert outcome(verifier) == "refused"  # In the same second as the unlock.
        second.set_clock(START + 1)
        assert outcome(other, "right") == "verified"
        assert guesses(other) == 4
        assert other.status(USER) == (5, START + 901)


def test_unlock_locks_nobody_after_the_clock_is_set_back(
    storage: Storage, verifier: Verifier
) -> None:
    """An unlock that is in the future neither locks the user, nor allows more guesses."""
    verifier.unlock(USER)
    storage.set_clock(START - 3600)
    assert outcome(verifier, "right") == "verified"
    assert guesses(verifier) == 5
    assert outcome(verifier, "right") == "locked"


def test_code_of_a_locked_user_is_not_looked_up(
    storage: Storage, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time that a locked verification takes cannot tell whether the code is right."""
    assert guesses(verifier) == 5
    statements: list[str] = []
    storage._connections.get("read").conn.set_trace_callback(statements.append)
    assert outcome(verifier, "right") == "locked"
    assert "lockouts" in "".join(statements)
    assert "authorization_codes" not in "".join(statements)


def test_no_attempts_lock_nobody(storage: Storage, verifier: Verifier) -> None:
    """With the limit 0 stored locks are ignored, and nothing is written."""
    assert guesses(verifier) == 5
    verifier = Verifier(storage, 0, 900)
    storage.fault = StorageUnavailable("no write expected")
    assert [outcome(verifier) for _ in range(30)] == ["refused"] * 30
    assert outcome(verifier, "right") == "verified"
    assert verifier.status(USER)[1] == 0
