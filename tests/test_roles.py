"""Mode `local`: the role, the scope, and who is believed."""

from pathlib import Path

import httpx
import pytest
from flask.testing import FlaskClient

from barring.access import Caller, Role
from barring.domain import Owner
from barring.settings import is_loopback
from tests.service import END_USER, Service, codes_path, running

PATH = codes_path()
READS = [("GET", PATH), ("GET", PATH + "01/")]
WRITES = [("POST", PATH), ("DELETE", PATH), ("PATCH", PATH + "01/"), ("DELETE", PATH + "01/")]


def status(client: FlaskClient, call: tuple[str, str], **headers: str | None) -> int:
    """The status for a caller with these headers, whose names hold _ for -."""
    sent = {name.replace("_", "-"): value for name, value in headers.items() if value is not None}
    client.environ_base.pop("HTTP_X_ROLE", None)
    return client.open(call[1], method=call[0], headers=sent, data=b"{broken").status_code


@pytest.mark.parametrize("call", READS + WRITES)
@pytest.mark.parametrize(
    "role",
    [
        *(None, "", "admin", "4", "é", "End  User", "End_-User", "E ndUser", "End User End User"),
        *("End User,End User", "End User,end_user", "ENDUSER, EndUser"),
    ],
)
def test_nobody_is_answered_401(
    client: FlaskClient, call: tuple[str, str], role: str | None
) -> None:
    """No role, an unknown one and a doubled one are 401, before a body is looked at."""
    assert status(client, call, X_Role=role) == 401


def test_401_says_what_to_send(client: FlaskClient) -> None:
    """A 401 names the roles and carries WWW-Authenticate."""
    answer = client.get(PATH, headers={"X-Role": "boss"})
    assert answer.headers["WWW-Authenticate"] == 'Role realm="barring"'
    assert answer.json
    assert "Group Admin" in answer.json["message"]


@pytest.mark.parametrize(
    "role", ["End User", "end_user", "end-user", "EndUser", "END USER", "end user", "END_USER"]
)
def test_end_user_reads_and_does_not_write(client: FlaskClient, role: str) -> None:
    """An End User reads; a write is 403 even where the body is broken."""
    assert [status(client, call, X_Role=role) for call in READS] == [200, 404]
    assert [status(client, call, X_Role=role) for call in WRITES] == [403] * 4


@pytest.mark.parametrize(
    "role",
    [
        "Group Admin",
        "group_admin",
        "group-admin",
        "GROUP_ADMIN",
        "GroupAdmin",
        "Tenant Admin",
        "tenant_admin",
        "System Admin",
        "system-admin",
    ],
)
def test_admins_read_and_write(client: FlaskClient, role: str) -> None:
    """From Group Admin on a caller also writes: the body is what is looked at next."""
    assert [status(client, call, X_Role=role) for call in READS] == [200, 404]
    assert [status(client, call, X_Role=role) for call in WRITES] == [415, 415, 415, 200]


@pytest.mark.parametrize(
    ("role", "binding"),
    [
        ("End User", ("Tenant", "Group", "User")),
        ("Group Admin", ("Tenant", "Group")),
        ("Tenant Admin", ("Tenant",)),
        ("System Admin", ()),
    ],
)
def test_scope_headers_bind_as_far_as_the_role_reaches(
    client: FlaskClient, role: str, binding: tuple[str, ...]
) -> None:
    """A scope header that is sent must fit the path in the parts that bind the role."""
    own = {"Tenant": "footenant", "Group": "foogroup", "User": "foouser"}
    for part, value in own.items():
        header = f"X_{part}_Id"
        assert status(client, READS[0], X_Role=role, **{header: value}) == 200
        expected = 403 if part in binding else 200
        assert status(client, READS[0], X_Role=role, **{header: "other"}) == expected


@pytest.mark.parametrize("value", ["a,b", "footenant,footenant", "", "%ff", "f\xfc", "FOOTENANT"])
def test_scope_header_is_one_percent_encoded_value(client: FlaskClient, value: str) -> None:
    """A doubled, broken, empty or differently written scope header is 403."""
    assert status(client, READS[0], X_Role="Tenant Admin", X_Tenant_Id=value) == 403


def test_scope_header_is_decoded_as_the_path_is(client: FlaskClient) -> None:
    """A percent-encoded scope header names the same user as the path."""
    call = ("GET", codes_path(user="zoë, k+1"))
    assert status(client, call, X_Role="End User", X_User_Id="zo%C3%AB%2C k+1") == 200


@pytest.mark.parametrize("header", ["Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Proto"])
def test_what_came_through_a_proxy_is_not_believed(client: FlaskClient, header: str) -> None:
    """A request that a proxy passed on is 403, and the message names the other modes."""
    answer = client.get(PATH, headers={header: "127.0.0.1"})
    assert answer.status_code == 403
    assert answer.json
    assert "gateway or jwt" in answer.json["message"]


@pytest.mark.parametrize("peer", ["192.0.2.7", "10.0.0.1", "::ffff:10.0.0.1", "2001:db8::1"])
def test_other_machines_are_not_believed(client: FlaskClient, peer: str) -> None:
    """A peer that is not of this machine is 403 for the codes, and may read the documentation."""
    outside = {"REMOTE_ADDR": peer}
    assert client.get(PATH, environ_overrides=outside).status_code == 403
    assert client.get("/openapi.json", environ_overrides=outside).status_code == 200
    with client.get("/docs/", environ_overrides=outside) as page:
        assert page.status_code == 200


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
def test_loopback_addresses_are_this_machine(address: str) -> None:
    """Every loopback address is local, also an IPv4 one written as IPv6."""
    assert is_loopback(address)


NAMES_OF_OTHERS = [
    "evil.example",
    "evil.example:8000",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "10.0.0.1",
    "[2001:db8::1]:8000",
    "",
]


@pytest.mark.parametrize("host", NAMES_OF_OTHERS)
def test_name_of_another_machine_is_not_believed(client: FlaskClient, host: str) -> None:
    """A request to another Host, as a page sends it after DNS rebinding, is 403 and says why."""
    for method, path in READS + WRITES:
        answer = client.open(path, method=method, environ_overrides={"HTTP_HOST": host})
        assert answer.status_code == 403
        assert answer.json
        assert "the header Host" in answer.json["message"]


@pytest.mark.parametrize(
    "host", ["localhost", "LocalHost:8000", "127.0.0.1", "127.8.9.1:1", "[::1]:8000", "[::1]"]
)
def test_names_of_this_machine_are_believed(client: FlaskClient, host: str) -> None:
    """localhost and every loopback address are local names, with any port and without one."""
    assert client.get(PATH, environ_overrides={"HTTP_HOST": host}).status_code == 200


def test_names_are_checked_over_tcp_alone(tmp_path: Path, service: Service) -> None:
    """The real service refuses another name over TCP; over a Unix socket it takes any."""
    with service.client(Host="evil.example") as tcp:
        assert [tcp.post(PATH, json={"code": "12"}).status_code, tcp.get(PATH).status_code] == [
            403,
            403,
        ]
    address = str(tmp_path / "socket")
    with running(tmp_path, BARRING_BIND=f"unix:{address}", BARRING_WORKERS="1"):
        transport = httpx.HTTPTransport(uds=address)
        with httpx.Client(transport=transport, base_url="http://evil.example") as unix:
            assert unix.get(PATH, headers=END_USER).json() == {"authCodes": []}


def test_refusal_is_the_same_whether_or_not_the_code_exists(client: FlaskClient) -> None:
    """A 403 does not tell whether the code is there."""
    client.post(PATH, json={"code": "12"})
    headers = {"X-Role": "End User", "X-User-Id": "other"}
    answers = [client.get(f"{PATH}{code}/", headers=headers) for code in ("12", "13")]
    assert [answer.status_code for answer in answers] == [403, 403]
    assert answers[0].data == answers[1].data


def test_caller_reaches_what_lies_in_its_scope() -> None:
    """The central check compares the parts that bind the role, and no others."""

    def reaches(role: Role, *scope: str) -> bool:
        caller = Caller.of(role, dict(zip(Owner._fields, scope, strict=False)))
        return caller.may_reach(Owner("t", "g", "u"))

    assert reaches(Role.SYSTEM_ADMIN)
    assert reaches(Role.TENANT_ADMIN, "t", "x", "x")
    assert not reaches(Role.TENANT_ADMIN, "x", "g", "u")
    assert not reaches(Role.GROUP_ADMIN, "t", "x", "u")
    assert not reaches(Role.END_USER, "t", "g", "x")
