"""Verification of a code at call time, the lock-out, and what the log and the metrics say of it."""

import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.service import Service, codes_path, running

USER, GROUP, TENANT = (
    f"/api/v1/tenants/acme{path}/services/outgoing_call_barring"
    for path in ("/groups/sales/users/anna", "/groups/sales", "")
)
PLATFORM = {"X-Role": "Call Platform"}
ADMIN = {"X-Role": "System Admin"}


def create(client: FlaskClient, base: str, code: str, **fields: str) -> None:
    """Store a code of the user, the group or the tenant whose path begins so."""
    answer = client.post(f"{base}/codes/", json={"code": code, **fields}, headers=ADMIN)
    assert answer.status_code == 201


def verify(client: FlaskClient, code: Any, user: str = USER, **headers: str) -> TestResponse:
    """The answer to a call platform that has a code verified."""
    return client.post(f"{user}/verification/", json={"code": code}, headers=PLATFORM | headers)


def statuses(client: FlaskClient, *codes: str) -> list[int]:
    """The statuses for codes that are verified one after the other."""
    return [verify(client, code).status_code for code in codes]


@pytest.mark.parametrize(("base", "level"), [(USER, "user"), (GROUP, "group"), (TENANT, "tenant")])
def test_code_of_each_level_lets_the_user_call(client: FlaskClient, base: str, level: str) -> None:
    """A code of the user, of its group or of its tenant is 200, with the level and description."""
    create(client, base, "4711", description="Night shift")
    answer = verify(client, "4711")
    assert answer.status_code == 200
    assert answer.json == {"level": level, "description": "Night shift"}


def test_class_of_service_is_returned_where_it_is_set(client: FlaskClient) -> None:
    """The class of service is left out where there is none, and the description comes last."""
    create(client, USER, "12", description="Plain")
    create(client, USER, "13", description="x" * 80, classOfService="international")
    assert verify(client, "12").data == b'{"level":"user","description":"Plain"}\n'
    told = json.loads(verify(client, "13").data, object_pairs_hook=list)
    assert told == [
        ("level", "user"),
        ("classOfService", "international"),
        ("description", "x" * 80),
    ]


def test_nearest_level_counts(client: FlaskClient) -> None:
    """Of a code that stands at several levels, the user's counts, then the group's."""
    for base, name in ((TENANT, "all"), (GROUP, "sales"), (USER, "anna")):
        create(client, base, "4711", description=name)
    found = []
    for base in (USER, GROUP, TENANT):
        found.append(verify(client, "4711").get_json())
        client.delete(f"{base}/codes/4711/", headers=ADMIN)
    assert [(item["level"], item["description"]) for item in found] == [
        ("user", "anna"),
        ("group", "sales"),
        ("tenant", "all"),
    ]
    assert verify(client, "4711").status_code == 403


def test_code_of_somebody_else_is_refused(client: FlaskClient) -> None:
    """A code of another user, group or tenant, and one in another spelling, opens nothing."""
    for base in (USER, GROUP, TENANT):
        create(client, base.replace("anna", "bert").replace("sales", "ops"), "aB1")
    create(client, USER.replace("acme", "other"), "cD2")
    client.delete(f"{TENANT}/codes/aB1/", headers=ADMIN)
    assert statuses(client, "aB1", "cD2", "AB1") == [403, 403, 403]


def test_refusal_names_the_code_and_does_not_repeat_it(client: FlaskClient) -> None:
    """A refused code is a 403 with `errors`, which a 403 for the caller does not have."""
    answer = verify(client, "551234")
    assert answer.status_code == 403
    assert answer.json
    assert [*answer.json["errors"]["json"]] == ["code"]
    assert "551234" not in answer.get_data(as_text=True)
    outside = verify(client, "551234", **{"X-Tenant-Id": "other"})
    assert outside.status_code == 403
    assert "errors" not in outside.get_json()


@pytest.mark.parametrize(
    "code", ["", " ", "\0", "4711\0", "4711\n", "%", "_", "'", "ü", "\U0001f4de", "9" * 5000]
)
def test_any_string_is_looked_up(client: FlaskClient, code: str) -> None:
    """Any JSON string is a code that may be wrong: it is refused, and it counts."""
    create(client, USER, "4711")
    assert verify(client, code).status_code == 403
    assert client.get(f"{USER}/lockout/").json == {"failures": 1, "lockedUntil": None}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'"4711"',
        b'{"code":4711}',
        b'{"code":null}',
        b'{"code":["4711"]}',
        b'{"code":"\\ud800"}',
        b'{"code":"4711","code":"4711"}',
        b'{"code":"4711","user":"anna"}',
        b'{"authCodes":[{"code":"4711"}]}',
    ],
)
def test_malformed_body_counts_nothing(client: FlaskClient, body: bytes) -> None:
    """A body without one code is a 400, and no failure."""
    headers = {**PLATFORM, "Content-Type": "application/json"}
    answer = client.post(f"{USER}/verification/", data=body, headers=headers)
    assert answer.status_code == 400
    assert client.get(f"{USER}/lockout/").json == {"failures": 0, "lockedUntil": None}


def test_user_is_locked_once_the_limit_is_reached(make_client: Callable[..., FlaskClient]) -> None:
    """The try that reaches the limit is a 403, and then right and wrong codes alike are 429."""
    client = make_client(lockout_attempts=3, lockout_seconds=60)
    create(client, USER, "4711")
    assert statuses(client, "1", "4711", "2", "3", "4711", "4") == [403, 200, 403, 403, 429, 429]
    locked = [verify(client, code) for code in ("4711", "5", "")]
    assert len({answer.data for answer in locked}) == 1
    for answer in locked:
        assert re.fullmatch("[0-9]+", answer.headers["Retry-After"])
        assert 50 <= int(answer.headers["Retry-After"]) <= 60
    other = USER.replace("anna", "bert")
    assert verify(client, "1", user=other).status_code == 403


def test_checks_have_their_order(make_client: Callable[..., FlaskClient]) -> None:
    """Whatever is wrong with a request comes before the lock, and the lock before the code."""
    client = make_client(lockout_attempts=1, max_body_bytes=1024)
    create(client, USER, "4711")
    assert statuses(client, "1", "4711") == [403, 429]
    path, json_type = f"{USER}/verification/", {"Content-Type": "application/json"}
    client.environ_base.pop("HTTP_X_ROLE")
    long = b'{"code":"%s"}' % (b"1" * 1024)
    asked = [
        client.get(path),
        client.post(path, data=long),
        client.post(path, data=long, headers={"X-Role": "End User"}),
        client.post(path, data=long, headers=PLATFORM),
        client.post(path, headers=PLATFORM | {"Content-Type": "text/plain"}),
        client.post(path, headers=PLATFORM | {"Content-Type": "text/plain"}, data=b"{"),
        client.post(path, headers=PLATFORM | json_type, data=b"{"),
        client.post(path, headers=PLATFORM | json_type, data=b'{"code":"4711"}'),
    ]
    assert [answer.status_code for answer in asked] == [405, 401, 403, 413, 400, 415, 400, 429]
    assert asked[0].headers["Allow"] == "OPTIONS, POST"
    assert {answer.headers["Cache-Control"] for answer in asked} == {"no-store"}


def test_every_decision_forbids_caches(client: FlaskClient) -> None:
    """No cache stores an answer about a code, or one about a lock-out."""
    create(client, USER, "4711")
    asked = [verify(client, code) for code in ("4711", "4712")]
    asked += [client.get(f"{USER}/lockout/"), client.delete(f"{USER}/lockout/")]
    assert [answer.status_code for answer in asked] == [200, 403, 200, 200]
    assert {answer.headers["Cache-Control"] for answer in asked} == {"no-store"}


@pytest.mark.parametrize(
    ("role", "status"),
    [
        ("End User", 403),
        ("Group Admin", 403),
        ("Call Platform", 200),
        ("Tenant Admin", 200),
        ("System Admin", 200),
    ],
)
def test_who_may_verify(client: FlaskClient, role: str, status: int) -> None:
    """Only who may read all three levels verifies; nobody else learns or counts anything."""
    create(client, TENANT, "4711")
    answers = [verify(client, code, **{"X-Role": role}) for code in ("4711", "1")]
    assert [answer.status_code for answer in answers] == [status, 403]
    if status == 403:
        assert answers[0].data == answers[1].data
        assert client.get(f"{USER}/lockout/").get_json()["failures"] == 0


def test_lockout_is_shown_and_lifted(make_client: Callable[..., FlaskClient]) -> None:
    """GET shows the failures and the end of the lock; DELETE forgets both, as often as it comes."""
    client = make_client(lockout_attempts=2, lockout_seconds=3600)
    create(client, USER, "4711")
    path = f"{USER}/lockout/"
    assert client.get(path).data == b'{"failures":0,"lockedUntil":null}\n'
    assert statuses(client, "1") == [403]
    assert client.get(path).data == b'{"failures":1,"lockedUntil":null}\n'
    assert statuses(client, "2", "4711") == [403, 429]
    locked = client.get(path).get_json()
    assert locked["failures"] == 2
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", locked["lockedUntil"])
    for _ in range(2):
        lifted = client.delete(path)
        assert (lifted.status_code, lifted.data) == (200, b"{}\n")
        assert client.get(path).json == {"failures": 0, "lockedUntil": None}
    assert statuses(client, "4711") == [200]


def test_unlocking_forgets_the_former_lock(make_client: Callable[..., FlaskClient]) -> None:
    """After DELETE the next lock is as long as the first one, not twice as long."""
    client = make_client(lockout_attempts=1, lockout_seconds=3600)
    for _ in range(2):
        assert statuses(client, "1", "1") == [403, 429]
        assert int(verify(client, "1").headers["Retry-After"]) <= 3600
        client.delete(f"{USER}/lockout/")


@pytest.mark.parametrize("role", ["End User", "Call Platform"])
def test_who_may_not_lift_a_lock(client: FlaskClient, role: str) -> None:
    """Less than a Group Admin neither sees nor lifts a lock-out; nor does an admin elsewhere."""
    for call in (client.get, client.delete):
        assert call(f"{USER}/lockout/", headers={"X-Role": role}).status_code == 403
        assert call(f"{USER}/lockout/", headers={"X-Group-Id": "ops"}).status_code == 403


def test_no_attempts_lock_nobody(make_client: Callable[..., FlaskClient]) -> None:
    """With 0 attempts nothing is counted, and stored locks are ignored."""
    strict = make_client(lockout_attempts=1)
    create(strict, USER, "4711")
    assert statuses(strict, "1", "4711") == [403, 429]
    open_to_all = make_client(lockout_attempts=0)
    assert statuses(open_to_all, *"123456", "4711") == [403] * 6 + [200]
    assert open_to_all.get(f"{USER}/lockout/").get_json()["lockedUntil"] is None


def test_audit_lines_name_the_code_by_its_description(service: Service) -> None:
    """Each decision is logged with its owner; only a right code has a level and a description."""
    user = codes_path("audit", "sales", "anna").removesuffix("codes/")
    owner = {"tenant": "audit", "group": "sales", "user": "anna"}
    with service.client(**ADMIN) as client:
        group = re.sub("/users/[^/]+", "", user)
        client.post(f"{group}codes/", json={"code": "4711", "description": "Night shift"})
        client.post(f"{user}codes/", json={"code": "815", "description": "is 815"})
        client.headers.update(PLATFORM)
        for code in ("4711", "815", *["c4n4ry"] * 5, "4711"):
            answer = client.post(f"{user}verification/", json={"code": code})
        assert answer.status_code == 429
        client.headers.update({"X-Role": "Group Admin"})
        for _ in range(2):
            client.delete(f"{user}lockout/")
    lines = [line for line in service.logged(event="audit", owner=owner) if "count" not in line]
    told = [(line["operation"], line.get("level"), line.get("description")) for line in lines]
    assert told == [
        ("verified", "group", "Night shift"),
        ("verified", "user", "(withheld)"),
        *[("refused", None, None)] * 5,
        ("locked", None, None),
        ("unlocked", None, None),
    ]
    assert {line["role"] for line in lines[:-1]} == {"Call Platform"}
    assert all(line["request_id"] for line in lines)


def test_outcomes_are_counted_and_no_code_is_told(tmp_path: Path) -> None:
    """Each outcome is counted; no code, right or wrong, is in a log, a metric or an error."""
    right, wrong = "r1ghtc4n4ry", "wr0ngc4n4ry"
    anna, bert = (codes_path("acme", "sales", user) for user in ("anna", "bert"))
    with running(tmp_path, BARRING_METRICS="true") as service:

        def ask(codes: str, **body: str) -> httpx.Response:
            return client.post(codes.replace("/codes/", "/verification/"), json=body)

        with service.client(**ADMIN) as client:
            client.post(anna, json={"code": right, "description": "Night shift"})
            answers = [ask(anna, code=right), *(ask(anna, code=wrong) for _ in range(5))]
            answers += [ask(anna, code=right), ask(bert, code=right, more=wrong)]
            with closing(sqlite3.connect(service.database, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                answers.append(ask(bert, code=wrong))
            metrics = client.get("/metrics").text
        log = service.log_file.read_text()
    assert [answer.status_code for answer in answers] == [200, *[403] * 5, 429, 400, 503]
    assert answers[-1].headers["Retry-After"] == "1"
    counted = re.findall(r'^barring_verifications_total\{outcome="(\w+)"\} (\S+)', metrics, re.M)
    assert dict(counted) == {"verified": "1.0", "refused": "5.0", "locked": "1.0"} | {
        "unavailable": "1.0"
    }
    assert service.logged(event="audit", operation="unavailable")
    for text in (log, metrics, *(answer.text for answer in answers)):
        assert right not in text
        assert wrong not in text
