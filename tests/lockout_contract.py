"""What every storage engine must do for the verification of codes and the lock-out of users."""

import time
from abc import abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from barring.domain import DAY, AuthorizationCode, Lockout, Owner
from barring.storage.base import Storage
from tests.storage_contract import OWNER, EngineContract

GROUP = OWNER._replace(user="")
TENANT = Owner("tenant")
NOW = 1_800_000_000


def failed(lockout: Lockout, now: int) -> Lockout:
    """A lockout with one more failure."""
    return lockout._replace(failures=(*lockout.failures, now))


def unlocked(lockout: Lockout, now: int) -> bool:
    """Says of nobody that they are locked."""
    return False


def user(number: int, tenant: str = "tenant") -> Owner:
    """One of many users."""
    return Owner(tenant, "group", f"user{number}")


class LockoutContract(EngineContract):
    """The suite."""

    @pytest.fixture
    def at(self, storage: Storage) -> Callable[[int], Storage]:
        """Moves the clock of the database."""

        def move(now: int) -> Storage:
            storage._NOW = f"CAST({now} AS bigint)"
            return storage

        return move

    def test_nearest_level_is_found(self, storage: Storage) -> None:
        """A code that stands at several levels is found with the nearest owner, and its class."""
        for owner in (TENANT, GROUP, OWNER):
            code = AuthorizationCode("4711", f"the {owner.level}'s", owner.level)
            storage.add(owner, [code])
            assert storage.find(OWNER, "4711", unlocked)[2] == (owner, code)
        for owner in (OWNER, GROUP):
            storage.remove(owner, ["4711"])
            found = storage.find(OWNER, "4711", unlocked)[2]
            assert found
            assert found[0] == (GROUP if owner == OWNER else TENANT)
            assert isinstance(found[0], Owner)
            assert isinstance(found[1], AuthorizationCode)
        storage.remove(TENANT, ["4711"])
        assert storage.find(OWNER, "4711", unlocked)[2] is None

    @pytest.mark.parametrize(
        "other",
        [
            Owner("tenant", "group", "User"),
            Owner("tenant", "Group", "user"),
            Owner("Tenant", "group", "user"),
            Owner("tenant", "Group"),
            Owner("Tenant"),
            Owner("group"),
        ],
    )
    def test_codes_of_others_are_not_found(self, storage: Storage, other: Owner) -> None:
        """Only the user's own levels count."""
        storage.add(other, [AuthorizationCode("4711", "")])
        assert storage.find(OWNER, "4711", unlocked)[2] is None

    @pytest.mark.parametrize("code", ["", "471", "47111", "4711 ", "4711\0", "\0", "é" * 99_999])
    def test_any_string_may_be_asked_for(self, storage: Storage, code: str) -> None:
        """A string that is no stored code is not found, and is no error."""
        storage.add(OWNER, [AuthorizationCode("4711", "")])
        assert storage.find(OWNER, code, unlocked)[1:] == (Lockout(), None)

    def test_code_of_a_locked_user_is_not_looked_up(self, storage: Storage) -> None:
        """Whoever asks decides by the lockout and the time whether the code is looked up."""
        storage.add(OWNER, [AuthorizationCode("4711", "")])
        storage.add_failure(OWNER, failed)
        asked: list[tuple[Lockout, int]] = []

        def is_locked(lockout: Lockout, now: int) -> bool:
            asked.append((lockout, now))
            return len(asked) == 1

        now, lockout, found = storage.find(OWNER, "4711", is_locked)
        assert found is None
        assert asked == [(lockout, now)]
        assert storage.find(OWNER, "4711", is_locked)[2]

    def test_time_is_the_database_s(
        self, storage: Storage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Reads and writes tell the database's time, not the process's, in seconds since 1970."""
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: 0.0)
        times = [storage.find(OWNER, "", unlocked)[0], storage.lockout(OWNER)[0]]
        times.extend(storage.add_failure(OWNER, failed).failures)
        assert len(times) == 3
        assert all(isinstance(each, int) and abs(each - now) < 60 for each in times)

    def test_failure_is_stored(self, storage: Storage) -> None:
        """Everything of a lockout is read as it was written, by other processes too."""
        first = Lockout((1, NOW), NOW + 5, 900)
        assert storage.lockout(OWNER)[1] == Lockout()
        assert storage.add_failure(OWNER, lambda lockout, now: first) == first
        with closing(self.open()) as other:
            assert other.lockout(OWNER)[1] == other.find(OWNER, "", unlocked)[1] == first
            assert other.add_failure(OWNER, failed).failures[:2] == (1, NOW)
        assert len(storage.lockout(OWNER)[1].failures) == 3
        assert storage.lockout(user(1))[1] == storage.lockout(GROUP)[1] == Lockout()

    def test_no_failure_is_lost_among_many_writers(self, storage: Storage) -> None:
        """Many threads of several processes add failures of two users, and each one counts."""
        storages = [storage, self.open(), self.open()]

        def add(number: int) -> None:
            storages[number % 3].add_failure(user(number // 3 % 2), failed)

        with ThreadPoolExecutor(12) as pool:
            list(pool.map(add, range(300)))
        assert [len(storage.lockout(user(number))[1].failures) for number in (0, 1)] == [150, 150]
        for each in storages[1:]:
            each.close()

    def test_error_stores_nothing(self, storage: Storage) -> None:
        """A failure that cannot be counted leaves the lockout as it was, and later ones work."""
        storage.add_failure(OWNER, failed)
        with pytest.raises(ZeroDivisionError):
            storage.add_failure(OWNER, lambda lockout, now: failed(lockout, now // 0))
        assert len(storage.add_failure(OWNER, failed).failures) == 2

    def test_failures_remove_expired_rows(self, at: Callable[[int], Storage]) -> None:
        """Each removes up to ten expired rows of its tenant, and of no other."""
        storage = at(NOW)
        for number in range(25):
            storage.add_failure(user(number), failed)
        storage.add_failure(user(0, "other"), failed)
        storage.add_failure(user(99), lambda lockout, now: Lockout((now,), now + 1, 1))

        def left() -> int:
            return sum(bool(storage.lockout(user(number))[1].failures) for number in range(25))

        at(NOW + DAY - 1).add_failure(OWNER, failed)
        assert left() == 25
        counts = []
        for _ in range(3):
            at(NOW + DAY).add_failure(OWNER, failed)
            counts.append(left())
        assert counts == [15, 5, 0]
        assert storage.lockout(user(99))[1].locked_until == NOW + 1
        assert storage.lockout(user(0, "other"))[1].failures
        assert len(storage.lockout(OWNER)[1].failures) == 4
        at(NOW + DAY + 1).add_failure(OWNER, failed)
        assert storage.lockout(user(99))[1] == Lockout()

    def test_own_expired_row_is_renewed(self, at: Callable[[int], Storage]) -> None:
        """A user whose row has expired has one failure after the next one."""
        at(NOW).add_failure(OWNER, failed)
        new = at(NOW + DAY).add_failure(OWNER, lambda lockout, now: Lockout((now,)))
        assert at(NOW + DAY).lockout(OWNER) == (NOW + DAY, new)

    def test_lockout_is_removed(self, at: Callable[[int], Storage]) -> None:
        """Removing tells whether there was one, and leaves only its time, for a day."""
        storage = at(NOW)
        assert not storage.remove_lockout(OWNER)
        for lockout in (Lockout((NOW,)), Lockout((), NOW + 9, 9)):
            storage.add_failure(OWNER, lambda *_, new=lockout: new)
            storage.add_failure(user(1), failed)
            assert storage.remove_lockout(OWNER)
            assert not storage.remove_lockout(OWNER)
            assert storage.lockout(OWNER) == (NOW, Lockout((), NOW))
        assert storage.lockout(user(1))[1].failures
        at(NOW + DAY).add_failure(user(2), failed)
        assert storage.lockout(OWNER)[1] == Lockout()

    def test_vacuum_removes_expired_rows(self, at: Callable[[int], Storage]) -> None:
        """It removes those of all tenants, and no other."""
        for number in range(40):
            at(NOW + number // 20).add_failure(user(number, f"tenant{number % 2}"), failed)
        storage = at(NOW + DAY)
        storage.vacuum()
        left = [bool(storage.lockout(user(n, f"tenant{n % 2}"))[1].failures) for n in range(40)]
        assert left == [False] * 20 + [True] * 20

    @pytest.mark.long
    def test_many_users_leave_short_rows(self, at: Callable[[int], Storage]) -> None:
        """100,000 users would leave less than 25 MB, from which vacuum leaves nothing."""
        count = 5_000
        storage = at(NOW)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: storage.add_failure(user(number), failed), range(count)))
        assert self.size() * 100_000 / count < 25_000_000
        began = time.monotonic()
        storage.add_failure(OWNER, failed)
        assert time.monotonic() - began < 0.5
        at(NOW + DAY).vacuum()
        assert not any(storage.lockout(user(number))[1].failures for number in range(count))
        assert self.size() < 200_000

    @abstractmethod
    def size(self) -> int:
        """The bytes that the lockouts take, or the database of them."""
