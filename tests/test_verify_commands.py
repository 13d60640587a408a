"""The commands `verify`, `lockout` and `unlock`, beside a service on the same database."""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.command import barring, failure, logged, succeed
from tests.service import Service, codes_path, running

ANNA = ("acme", "sales", "anna")
PATH = codes_path(*ANNA).replace("/codes/", "/{}/")
LIMIT = {"BARRING_LOCKOUT_ATTEMPTS": "3", "BARRING_LOCKOUT_SECONDS": "3600"}


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A running service that locks after three failures, and has codes at all levels."""
    folder = tmp_path_factory.mktemp("beside")
    codes = (("acme,sales,anna,4711,Night shift,international"), ("acme,sales,,12,Sales,"))
    rows = ["tenant,group,user,code,description,class_of_service", *codes, "acme,,,13,is 13,"]
    succeed(folder, "import", "-", stdin="\n".join(rows))
    with running(folder, **LIMIT) as service:
        yield service


@pytest.fixture
def folder(beside: Service) -> Path:
    """The folder of the service's database, in which nobody is locked."""
    with closing(sqlite3.connect(beside.database)) as database, database:
        database.execute("DELETE FROM lockouts")
    return beside.database.parent


def run(folder: Path, *arguments: str, stdin: str = "") -> str:
    """The output of a command that must succeed, with the service's limits."""
    return succeed(folder, *arguments, stdin=stdin, **LIMIT)


def refusal(folder: Path, *arguments: str, stdin: str = "") -> str:
    """The error of a `verify` that must not answer 0."""
    events = ("audit", "database_created")
    return failure(folder, "verify", *arguments, stdin=stdin, events=events, **LIMIT)  # type: ignore[arg-type]


def ask(service: Service, resource: str, method: str = "GET", **more: Any) -> httpx.Response:
    """The service's answer about Anna."""
    with service.client(**{"X-Role": "System Admin"}) as client:
        return client.request(method, PATH.format(resource), **more)


@pytest.mark.parametrize("code", ["4711", "12", "13"])
def test_verify_prints_what_the_api_answers(folder: Path, beside: Service, code: str) -> None:
    """A right code of each level exits 0, and --json prints the API's bytes."""
    answer = ask(beside, "verification", "POST", json={"code": code})
    assert run(folder, "verify", *ANNA, code, "--json") == answer.text
    assert run(folder, "verify", *ANNA, "-", "--json", stdin=f"{code}\n") == answer.text
    lines = run(folder, "verify", *ANNA, code).splitlines()
    assert dict(re.split(" +", line, maxsplit=1) for line in lines) == answer.json()


def test_verify_counts_and_locks_as_the_api_does(folder: Path, beside: Service) -> None:
    """Failures of commands and requests make the limit together, and both are locked."""
    assert refusal(folder, *ANNA, "0815") == "barring: the code was refused"
    assert ask(beside, "verification", "POST", json={"code": "1"}).status_code == 403
    assert run(folder, "verify", *ANNA, "4711")
    assert refusal(folder, *ANNA, "-", stdin="\n") == "barring: the code was refused"
    locked = refusal(folder, *ANNA, "4711")
    assert re.fullmatch(r"barring: the user is locked out for 3[56]\d\d seconds", locked)
    assert ask(beside, "verification", "POST", json={"code": "4711"}).status_code == 429


def test_lockout_shows_what_the_api_answers(folder: Path, beside: Service) -> None:
    """`lockout` prints the same as GET, for a user without failures, with some, and locked."""
    for code in ("4711", "1", "2", "3"):
        barring(folder, "verify", *ANNA, code, **LIMIT)
        shown = run(folder, "lockout", *ANNA, "--json")
        assert shown == ask(beside, "lockout").text
    assert json.loads(shown)["failures"] == 3
    assert re.search(r"^lockedUntil +\d{4}-\d\d-\d\dT.+Z$", run(folder, "lockout", *ANNA), re.M)


def test_unlock_lifts_the_lock_and_may_be_repeated(folder: Path, beside: Service) -> None:
    """`unlock` exits 0, locked or not; the next request is looked at, and failures are gone."""
    for _ in range(3):
        ask(beside, "verification", "POST", json={"code": "1"})
    assert ask(beside, "verification", "POST", json={"code": "4711"}).status_code == 429
    for events in (["unlocked"], []):
        done = barring(folder, "unlock", *ANNA, **LIMIT)
        assert (done.returncode, done.stdout) == (0, "")
        assert [line["operation"] for line in logged(done)] == events
    assert ask(beside, "verification", "POST", json={"code": "4711"}).status_code == 200
    assert ask(beside, "lockout").json() == {"failures": 0, "lockedUntil": None}


def test_commands_write_audit_lines(folder: Path) -> None:
    """Each decision of `verify` is logged for the operator, without the code."""
    told = []
    for code in ("12", "13", "c4n4ry", "c4n4ry", "c4n4ry", "12"):
        done = barring(folder, "verify", *ANNA, code, **LIMIT)
        assert "c4n4ry" not in done.stderr + done.stdout
        line = json.loads(done.stderr.splitlines()[0])
        assert (line["role"], line["owner"]["user"]) == ("operator", "anna")
        told.append((line["operation"], line.get("level"), line.get("description")))
    assert told == [
        ("verified", "group", "Sales"),
        ("verified", "tenant", "(withheld)"),
        *[("refused", None, None)] * 3,
        ("locked", None, None),
    ]


def test_usage_is_checked(folder: Path) -> None:
    """Only users are verified and locked: an empty or malformed id is wrong usage."""
    for ids in (("acme", "sales", ""), ("acme", "", ""), ("acme", "", "anna"), ("a/b", "c", "d")):
        for command, code in (("verify", ["4711"]), ("lockout", []), ("unlock", [])):
            failure(folder, command, *ids, *code, status=2)
    assert "standard input is empty" in refusal(folder, *ANNA, "-")
    failure(folder, "verify", *ANNA, status=2)


def test_locked_database_is_an_error(folder: Path, beside: Service) -> None:
    """A wrong code that cannot be counted is neither refused nor found: exit 1 within seconds."""
    with closing(sqlite3.connect(beside.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert "refused" not in refusal(folder, *ANNA, "0815")
