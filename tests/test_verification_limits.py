"""No way round the lock-out: tries in parallel, right codes between, codes of others."""

import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests.call_platform import LIMIT, PLATFORM, Platform, verification_path
from tests.command import succeed
from tests.service import Service, codes_path, running

UNUSUAL = ["", "\0", "4711\0", " 4711", "\uff14\uff17", "é" * 10_000, "*4711#", "%", "' OR 1=1 --"]


@pytest.fixture
def platform(service: Service) -> Iterator[Platform]:
    """A call platform of the service of all tests."""
    with Platform(service.url) as platform:
        yield platform


@pytest.fixture
def users(service: Service) -> list[str]:
    """Three users, each with a code of its own: its name."""
    names = [uuid.uuid4().hex[:12] for _ in range(3)]
    with service.client() as client:
        for name in names:
            assert client.post(codes_path(user=name), json={"code": name}).status_code == 201
    return names


def failures(service: Service, user: str, group: str = "foogroup") -> int:
    """How many failures count against a user."""
    with service.client() as client:
        path = verification_path(user, group).replace("verification", "lockout")
        return int(client.get(path).json()["failures"])


def test_right_codes_between_change_nothing(platform: Platform, users: list[str]) -> None:
    """A right code of the caller's own between two guesses gives no guess more."""
    user = users[0]
    looked_at = 0
    for _ in range(3 * LIMIT):
        looked_at += platform.verify("wrong", user) == 403
        platform.verify(user, user)
    assert looked_at == LIMIT
    assert platform.verify(user, user) == 429


@pytest.mark.parametrize("code", UNUSUAL)
def test_any_string_counts(
    service: Service, platform: Platform, users: list[str], code: str
) -> None:
    """A code that nobody could have counts, the empty one too."""
    assert [platform.verify(code, users[0]) for _ in range(LIMIT)] == [403] * LIMIT
    assert platform.verify(users[0], users[0]) == 429
    assert failures(service, users[0]) == LIMIT


def test_malformed_bodies_do_not_count(service: Service, users: list[str]) -> None:
    """What is refused with 400 looks at no code, and is no failure."""
    bodies: list[object] = [
        {},
        [],
        {"code": 4711},
        {"code": None},
        {"code": ["x"]},
        {"code": "x", "a": 1},
    ]
    with service.client(**PLATFORM) as client:
        for body in bodies:
            response = client.post(verification_path(users[0]), json=body)
            assert response.status_code == 400, body
    assert failures(service, users[0]) == 0


def test_others_have_no_effect(service: Service, platform: Platform, users: list[str]) -> None:
    """Tries for other users and groups neither count against a user nor reset its failures."""
    first, second, third = users
    for _ in range(LIMIT - 1):
        assert platform.verify(second, first) == 403
        assert platform.verify(second, second) == 200
        assert platform.verify(first, first, "another") == 403
    assert failures(service, first) == failures(service, first, "another") == LIMIT - 1
    assert [platform.verify("wrong", second) for _ in range(LIMIT + 1)] == [403] * LIMIT + [429]
    assert platform.verify(first, first) == 200
    assert platform.verify("wrong", first) == 403
    assert platform.verify(first, first) == 429
    assert platform.verify(third, third) == 200
    assert failures(service, third) == 0


def test_lock_tells_nothing_about_a_code(platform: Platform, users: list[str]) -> None:
    """Once locked, the responses to a right and a wrong code are the same."""
    user = users[0]
    for _ in range(LIMIT):
        platform.verify("wrong", user)
    responses = [platform.response(code, user) for code in (user, "wrong", "", user[:-1], "é" * 99)]
    assert {response.status_code for response in responses} == {429}
    assert len({response.text for response in responses}) == 1
    varying = {"date", "x-request-id", "retry-after"}
    headers = [
        {name: text for name, text in response.headers.items() if name not in varying}
        for response in responses
    ]
    assert all(each == headers[0] for each in headers)


@pytest.mark.long
@pytest.mark.parametrize("place", [0, 1, 1_000, 1_999])
def test_parallel_tries_at_two_workers(tmp_path: Path, place: int) -> None:
    """Of 2,000 tries no more are looked at than the limit, and one for each worker."""
    codes = [f"{number:04}" for number in range(2_000)]
    codes[place] = "right"
    succeed(tmp_path, "add", "footenant", "foogroup", "foouser", "right")
    with (
        running(tmp_path, BARRING_WORKERS="2") as service,
        Platform(service.url) as platform,
    ):
        statuses = platform.at_once(codes)
    assert {*statuses} <= {200, 403, 429}
    assert LIMIT <= statuses.count(403) <= LIMIT + 2
    assert statuses[place] == 429 or place < 50  # Of the first 50 any may be looked at.


def test_locked_tries_write_nothing_to_sqlite(tmp_path: Path) -> None:
    """The database's files stay as they are during tries that are locked, or right.

    Only users with failures have a row.
    """
    for user in ("foouser", "other"):
        succeed(tmp_path, "add", "footenant", "foogroup", user, "right")
    # Another worker, which may start later, would check whether it can write.
    with running(tmp_path, BARRING_WORKERS="1") as service, Platform(service.url) as platform:
        assert [platform.verify() for _ in range(LIMIT)] == [403] * LIMIT
        files = [service.database, Path(f"{service.database}-wal")]

        def contents() -> list[tuple[int, bytes]]:
            return [(file.stat().st_mtime_ns, file.read_bytes()) for file in files]

        before = contents()
        assert {*platform.at_once(["wrong", "right", ""] * 100)} == {429}
        assert {*platform.at_once(["right"] * 100, "other")} == {200}
        assert contents() == before
    with closing(sqlite3.connect(service.database)) as connection:
        assert connection.execute("SELECT user_id FROM lockouts").fetchall() == [("foouser",)]


def test_locked_tries_write_nothing_to_postgresql(tmp_path: Path, postgres: str) -> None:
    """No try that is locked, or right, changes a row. Only users with failures have a row."""
    settings = {"BARRING_DATABASE_URL": postgres, "BARRING_WORKERS": "1"}
    for user in ("foouser", "other"):
        succeed(tmp_path, "add", "footenant", "foogroup", user, "right", **settings)
    with (
        psycopg.connect(postgres, autocommit=True) as connection,
        running(tmp_path, **settings) as service,
        Platform(service.url) as platform,
    ):

        def rows() -> list[list[tuple[object, ...]]]:
            tables = ("lockouts", "barring_marks", "authorization_codes")
            queries = [f"SELECT xmin, ctid, * FROM {table}" for table in tables]
            return [connection.execute(query).fetchall() for query in queries]

        assert [platform.verify() for _ in range(LIMIT)] == [403] * LIMIT
        before = rows()
        assert {*platform.at_once(["wrong", "right", ""] * 100)} == {429}
        assert {*platform.at_once(["right"] * 100, "other")} == {200}
        assert rows() == before
        assert len(before[0]) == 1
