"""How long guessing takes: the table of docs/integrate.md, computed with the policy itself."""

import re
from collections.abc import Iterator
from itertools import islice

from barring.domain import DAY, Lockout
from barring.settings import Settings
from barring.verification.lockout import DAILY, Policy
from tests.service import ROOT

DEFAULTS = Policy(Settings().lockout_attempts, Settings().lockout_seconds)
GROUP = 500
UNITS = ((60, "minutes", 7200), (3600, "hours", 2 * DAY), (DAY, "days", 730 * DAY))


def locked() -> Iterator[int]:
    """The seconds at which a guesser tries who tries whenever it is not locked."""
    lockout, now = Lockout(), DAY
    while True:
        yield now - DAY
        lockout = DEFAULTS.after_failures([now], lockout, now)
        now = max(now, lockout.locked_until)


def careful() -> Iterator[int]:
    """The seconds at which a guesser tries who stays one try under each limit."""
    tries: list[int] = []
    limits = ((DEFAULTS.attempts, DEFAULTS.seconds), (DAILY * DEFAULTS.attempts, DAY))
    while True:
        tries.append(max([0, *(tries[1 - n] + s for n, s in limits if len(tries) >= n - 1)]))
        yield tries[-1]


GUESSERS = {"waits for each lock to end": locked, "stays one under each limit": careful}


def words(seconds: int) -> str:
    """A time to two significant digits."""
    for unit, name, most in (*UNITS, (365 * DAY, "years", 0)):
        if seconds < most or not most:
            value = float(f"{seconds / unit:.2g}")
            return f"{value:,.0f} {name}" if value >= 10 else f"{value:g} {name}"
    raise AssertionError


def reached(guesser: str, tries: int) -> int:
    """The second at which a guesser has made so many tries on one user."""
    times = list(islice(GUESSERS[guesser](), 5000))
    if tries <= len(times):
        return times[tries - 1]
    daily = sum(31 * DAY > times[-1] - time >= DAY for time in times) / 30  # Whole days.
    return times[-1] + round((tries - len(times)) / daily * DAY)


def test_table_of_guesses_is_true() -> None:
    """Each row has the time until half of all codes were tried, for one user and for a group."""
    page = (ROOT / "docs" / "integrate.md").read_text()
    rows = re.findall(r"^\| (\d) \| ([a-z ]+) \| ([\d.,]+ \w+) \| ([\d.,]+ \w+) \|$", page, re.M)
    assert rows == [
        (
            str(digits),
            guesser,
            words(reached(guesser, 10**digits // 2)),
            words(reached(guesser, 10**digits // 2 // GROUP)),
        )
        for digits in (4, 6, 8)
        for guesser in GUESSERS
    ]


def test_guesses_a_day_are_as_many_as_told() -> None:
    """The page says how many tries each guesser has on the first day, and on each day after it."""
    page = " ".join((ROOT / "docs" / "integrate.md").read_text().split())
    told = re.search(r"(\d+) codes on the first day, and (\d+) on each later day", page)
    steady = re.search(r"(\d+) codes on each day", page)
    assert told
    assert steady
    per_day = [
        [
            sum(day * DAY <= time < (day + 1) * DAY for time in islice(guesser(), 700))
            for day in range(30)
        ]
        for guesser in GUESSERS.values()
    ]
    assert per_day == [[int(told[1]), *[int(told[2])] * 29], [int(steady[1])] * 30]
