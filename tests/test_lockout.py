"""When failed verifications lock a user out, on a clock that the tests move."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barring.domain import DAY, Lockout
from barring.verification.lockout import Policy
from barring.verification.verifier import Refused, Verifier
from tests.verifying import DEFAULT, START, USER, Storage, guesses, opened, outcome


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    """A database with a code of the user, and one of another user."""
    with opened(tmp_path) as storage:
        yield storage


@pytest.fixture
def verifier(storage: Storage) -> Verifier:
    """The verifier of one process."""
    return Verifier(storage, *DEFAULT)


def fail(policy: Policy, lockout: Lockout, *times: int) -> Lockout:
    """The lockout after one failure at each of these times."""
    for now in times:
        lockout = policy.after_failures([now], lockout, now)
    return lockout


gaps = st.lists(
    st.sampled_from([0, 0, 1, 59, 60, 61, 899, 900, 901, 4_000, DAY - 1, DAY]) | st.integers(0, DAY)
)
policies = st.builds(Policy, st.integers(1, 6), st.sampled_from([1, 60, 900, DAY]))


@given(policies, gaps)
def test_locks_begin_and_end_as_designed(policy: Policy, gaps: list[int]) -> None:
    """The policy agrees with one that remembers every failure and every lock for ever."""
    lockout, now = Lockout(), START
    failures: list[int] = []
    length = end = 0
    for gap in gaps:
        now += gap
        assert policy.is_locked(lockout, now) == (now < end)
        if now < end:
            continue
        failures.append(now)
        lockout = fail(policy, lockout, now)
        day = [time for time in failures if time > now - DAY]
        recent = [time for time in day if time > now - policy.seconds and time >= end]
        if len(recent) >= policy.attempts or len(day) >= 4 * policy.attempts:
            length = min(2 * length, DAY) if end and now < end + DAY else policy.seconds
            end = now + length
            assert (lockout.locked_until, lockout.locked_for) == (end, length)
        else:
            assert policy.recent(lockout, now) == len(recent)
        assert lockout.expires == max(now, end) + DAY
        assert len(lockout.failures) <= 4 * policy.attempts


@given(policies, st.lists(st.integers(-3 * DAY, 3 * DAY), max_size=30), st.integers(0, 3 * DAY))
def test_no_clock_locks_for_longer_than_a_day(policy: Policy, gaps: list[int], back: int) -> None:
    """However the clock is moved, and moved back at the end, no lock lasts longer than 24 hours."""
    lockout, now = Lockout(), START
    for gap in gaps:
        now += gap
        if not policy.is_locked(lockout, now):
            lockout = fail(policy, lockout, now)
        assert lockout.locked_for <= DAY
    now -= back
    until = lockout.locked_until
    locked = [time for time in (now, until - DAY, until - 1) if policy.is_locked(lockout, time)]
    assert not locked or until - min(locked) <= DAY
    assert not policy.is_locked(lockout, now + DAY if now in locked else until)


@given(policies, gaps, gaps)
def test_failures_count_however_late_they_are_stored(
    policy: Policy, stored: list[int], late: list[int]
) -> None:
    """Failures that are stored late lock no less than if each had been stored at once."""
    times = [
        [START + sum(gaps[: place + 1]) for place in range(len(gaps))] for gaps in (stored, late)
    ]
    now = max([START, *times[0], *times[1]])
    lockout = policy.after_failures(times[1], Lockout(failures=tuple(times[0])), now)
    failures = sorted(times[0] + times[1])
    recent = [time for time in failures if time > now - policy.seconds]
    day = [time for time in failures if time > now - DAY]
    reached = len(recent) >= policy.attempts or len(day) >= 4 * policy.attempts
    assert policy.is_locked(lockout, now) == reached


def test_fifth_failure_locks(storage: Storage, verifier: Verifier) -> None:
    """The fifth is still refused; from then on any code is locked, for 900 seconds."""
    for _ in range(5):
        assert outcome(verifier) == "refused"
    for code in ("wrong", "right", ""):
        assert outcome(verifier, code) == "locked"
    assert verifier.status(USER) == (5, START + 900)
    storage.set_clock(START + 899)
    with pytest.raises(Refused) as locked:
        verifier.verify(USER, "right")
    assert locked.value.seconds == 1
    storage.set_clock(START + 900)
    assert outcome(verifier, "right") == "verified"
    assert verifier.status(USER) == (0, 0)


def test_lock_doubles_up_to_a_day(storage: Storage, verifier: Verifier) -> None:
    """Who goes on guessing after each lock is locked for twice as long, and at most 24 hours."""
    now, lengths = START, list[int]()
    while len(lengths) < 10:
        storage.set_clock(now)
        with suppress(Refused):
            verifier.verify(USER, "wrong")
        until = verifier.status(USER)[1]
        if until:
            lengths.append(until - now)
            now = until
    assert lengths == [900, 1800, 3600, 7200, 14400, 28800, 57600, DAY, DAY, DAY]
    storage.set_clock(now + DAY)
    assert guesses(verifier) == 5
    assert verifier.status(USER)[1] == now + DAY + 900


def days_of_guesses(storage: Storage, verifier: Verifier, *, right: bool = False) -> list[int]:
    """The guesses in each of 30 days of a guesser who tries whenever the user is not locked.

    With `right`, the guesser verifies a right code before each guess.
    """
    counts = [0] * 30
    now = START
    while now < START + 30 * DAY:
        storage.set_clock(now)
        try:
            if right:
                verifier.verify(USER, "right")
            verifier.verify(USER, "wrong")
        except Refused as refused:
            counts[(now - START) // DAY] += refused.outcome == "refused"
            now += refused.seconds
    return counts


@pytest.mark.parametrize("right", [False, True])
def test_guesser_who_is_locked(storage: Storage, verifier: Verifier, right: bool) -> None:
    """A guesser has 23 guesses on the first day and 5 a day later, with right codes between too."""
    assert days_of_guesses(storage, verifier, right=right) == [23, *[5] * 29]


def test_guesser_who_stays_under_the_limits(storage: Storage, verifier: Verifier) -> None:
    """One guess less than each limit for 30 days makes 19 guesses in any 24 hours, and no lock."""
    times: list[int] = []
    now = START
    while now < START + 30 * DAY:
        storage.set_clock(now)
        assert outcome(verifier) == "refused"
        times.append(now)
        now = max(
            [now, *(time + 900 for time in times[-4:-3]), *(time + DAY for time in times[-19:-18])]
        )
    assert len(times) == 19 * 30
    assert all(later - first >= DAY for first, later in zip(times, times[19:], strict=False))
    storage.set_clock(now - 1)
    assert outcome(verifier) == "refused"
    assert outcome(verifier) == "locked"


def test_set_back_clock_locks_for_a_day_at_most(storage: Storage, verifier: Verifier) -> None:
    """After the clock is set back by a day the right code is accepted within 24 hours."""
    assert guesses(verifier) == 5
    began = START - DAY
    verified = []
    for now in range(began, began + DAY + 3600, 300):
        storage.set_clock(now)
        verified.append(outcome(verifier, "right") == "verified")
    runs = "".join("v" if each else "l" for each in verified).split("v")
    assert max(map(len, runs)) * 300 <= DAY
