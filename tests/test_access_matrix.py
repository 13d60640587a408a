"""Who may do what: role x scope x level x operation in each mode, generated from a small model.

The model is the contract's table, written down without regard to the implementation.
"""

from collections import defaultdict
from collections.abc import Iterator
from itertools import product
from json import dumps
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from flask.testing import FlaskClient

from app import create_app
from barring.domain import AuthorizationCode, Owner
from barring.settings import Settings
from barring.storage.base import Storage
from tests.callers import MODES, PARTS
from tests.callers import settings_of as settings_of_mode
from tests.service import codes_path

RANK = {"End User": 1, "Group Admin": 2, "Tenant Admin": 3, "System Admin": 4}
BOUND = {
    "End User": ("tenant", "group", "user"),
    "Group Admin": ("tenant", "group"),
    "Tenant Admin": ("tenant",),
    "System Admin": (),
}
"""In which parts of the owner a role is held to its own."""

READER = {"user": "End User", "group": "Group Admin", "tenant": "Tenant Admin"}
WRITER = {"user": "Group Admin", "group": "Group Admin", "tenant": "Tenant Admin"}
"""The least role at each level."""

NOBODY = {"local": 403, "gateway": 401, "jwt": 401}
"""The response to a caller without the mode's proof: a proxy, no secret, no token."""

OWN = {"tenant": "t1", "group": "g1", "user": "u1"}
OTHER = {"tenant": "t2", "group": "g2", "user": "u2"}
OWNERS = {"user": Owner("t1", "g1", "u1"), "group": Owner("t1", "g1"), "tenant": Owner("t1")}
STORED = AuthorizationCode("77", "stored", "local")
"""The code that each owner has; 88 and 99 are those that none has."""

Scope = dict[str, str]


class Try(NamedTuple):
    """A request on an owner's codes, and the status of its response to whoever may send it."""

    operation: str
    method: str
    code: str
    body: Any
    status: int


TRIES = [
    Try("list", "GET", "", b"", 200),
    Try("list without a body", "HEAD", "", b"", 200),
    Try("get", "GET", "77/", b"", 200),
    Try("get", "GET", "88/", b"", 404),
    Try("create one", "POST", "", {"code": "88"}, 201),
    Try("create one", "POST", "", {"code": "77"}, 400),
    Try("create one", "POST", "", {"code": "8"}, 400),
    Try("create one", "POST", "", b"{broken", 400),
    Try("create list", "POST", "", {"authCodes": [{"code": "88"}, {"code": "99"}]}, 201),
    Try("create list", "POST", "", {"authCodes": [{"code": "88"}, {"code": "77"}]}, 400),
    Try("create list", "POST", "", {"authCodes": []}, 400),
    Try("change", "PATCH", "77/", {"description": "changed"}, 200),
    Try("change", "PATCH", "88/", {"classOfService": None}, 404),
    Try("change", "PATCH", "77/", {"code": "88"}, 400),
    Try("change", "PATCH", "88/", b"{broken", 400),
    Try("delete one", "DELETE", "77/", b"", 200),
    Try("delete one", "DELETE", "88/", b"", 200),
    Try("delete list", "DELETE", "", {"authCodes": [{"code": "77"}, {"code": "88"}]}, 200),
    Try("delete list", "DELETE", "", {"authCodes": [{"code": "88"}]}, 200),
    Try("delete list", "DELETE", "", {"code": "77"}, 400),
    Try("delete list", "DELETE", "", b"", 400),
]


def scopes() -> Iterator[Scope]:
    """Every scope whose parts are each the caller's own, another's or not sent."""
    for values in product(*((OWN[part], OTHER[part], None) for part in PARTS)):
        yield {part: value for part, value in zip(PARTS, values, strict=True) if value}


def expected(mode: str, role: str | None, scope: Scope, level: str, request: Try) -> int:
    """The status by the contract."""
    if role == "Call Platform":  # It verifies codes, which other tests try, and nothing else.
        return 403
    if role not in RANK:
        return 401
    least = READER if request.method in ("GET", "HEAD") else WRITER
    missing = any(part not in scope for part in BOUND[role])
    foreign = any(scope.get(part) == OTHER[part] for part in BOUND[role])
    if RANK[role] < RANK[least[level]] or foreign or (missing and mode != "local"):
        return 403
    return request.status


class Matrix:
    """Sends the requests, and compares the responses and what is stored with the model."""

    def __init__(self, client: FlaskClient, mode: str) -> None:
        self.client = client
        self.mode = mode
        self.storage: Storage = client.application.extensions["barring.storage"]
        self.cells = 0
        self.wrong: list[Any] = []
        for owner in OWNERS.values():
            self.storage.add(owner, [STORED])

    def check(self, headers: dict[str, str], level: str, statuses: list[int], who: Any) -> None:
        """Send all requests with these headers; `statuses` are those expected."""
        refusals = defaultdict(set)
        for request, status in zip(TRIES, statuses, strict=True):
            body = request.body
            response = self.client.open(
                codes_path(*OWNERS[level]) + request.code,
                method=request.method,
                headers={**headers, "Content-Type": "application/json"},
                data=body if isinstance(body, bytes) else dumps(body),
            )
            self.cells += 1
            if response.status_code != status:
                self.wrong.append((who, level, request, status, response.status_code))
            if response.status_code in (401, 403):
                rest = [h for h in response.headers.items() if h[0] != "X-Request-ID"]
                refusals[request.operation].add((response.data, tuple(rest)))
            elif request.method not in ("GET", "HEAD"):
                self.reset(OWNERS[level])
        told = [operation for operation, shown in refusals.items() if len(shown) > 1]
        self.wrong += [(who, level, operation, "depends on code or body") for operation in told]
        for owner in OWNERS.values():
            if self.storage.list(owner) != [STORED]:
                self.wrong.append((who, level, "changed", owner))
                self.reset(owner)

    def reset(self, owner: Owner) -> None:
        """Store what was stored at first."""
        self.storage.remove(owner, ["77", "88", "99"])
        self.storage.add(owner, [STORED])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the key of the tokens."""
    return tmp_path_factory.mktemp("keys")


@pytest.mark.parametrize("mode", MODES)
def test_every_cell(tmp_path: Path, folder: Path, mode: str) -> None:
    """Each request gets the status of the contract, and a refusal depends on no code or body."""
    # Not the fixture make_client: access does not depend on the engine, nor on the binary.
    database_url = f"sqlite:///{tmp_path / 'codes.sqlite3'}"
    fields: dict[str, Any] = {"database_url": database_url, **settings_of_mode(mode, folder)}
    matrix = Matrix(create_app(Settings(**fields)).test_client(), mode)
    roles = [*RANK, "Call Platform", None, "Reader"]
    for role, scope, level in product(roles, scopes(), OWNERS):
        statuses = [expected(mode, role, scope, level, request) for request in TRIES]
        matrix.check(MODES[mode](role, scope), level, statuses, (role, scope))
    unproven = {"X-Role": "System Admin", "Via": "1.1 proxy"}
    for level in OWNERS:
        matrix.check(unproven, level, [NOBODY[mode]] * len(TRIES), "nobody")
    print(f"{mode}: {matrix.cells} cells, {len(matrix.wrong)} wrong")
    assert matrix.wrong == []
    assert matrix.cells == (len(roles) * 3**3 + 1) * len(OWNERS) * len(TRIES) == 11_970


def test_both_outcomes_are_in_every_row() -> None:
    """The model lets each role do something and refuses it something, as far as it is held."""
    for mode, level in product(MODES, OWNERS):
        for role in RANK:
            found = {
                expected(mode, role, scope, level, request) == 403
                for scope, request in product(scopes(), TRIES)
            }
            above = RANK[role] < RANK[READER[level]]
            assert found == ({True} if above else {False} if not BOUND[role] else {True, False})
