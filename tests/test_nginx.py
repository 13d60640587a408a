"""The nginx configuration that is shipped, in the real nginx, before the real service."""

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.nginx import PASSWORD, SECRET, main_file, nginx, shipped
from tests.postgres import free_port
from tests.service import Service, codes_path, running
from tests.tools import needs
from tests.waiting import await_that

pytestmark = pytest.mark.long

CANARY = "c4n4ry-5512"
PLATFORM = {"Authorization": f"Bearer {'platform-secret-'.ljust(32, '0')}"}


class Gateway:
    """nginx with the shipped configuration, and a service behind it."""

    def __init__(self, folder: Path, port: int, service: Service) -> None:
        self.folder = folder
        self.port = port
        self.service = service

    def client(self, user: str | None, **headers: str) -> httpx.Client:
        """A client that gives a user's password."""
        auth = (user, PASSWORD) if user else None
        url = f"https://127.0.0.1:{self.port}"
        return httpx.Client(base_url=url, auth=auth, headers=headers, verify=False)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A running nginx in front of a running service in mode `gateway`."""
    folder = tmp_path_factory.mktemp("nginx")
    port = free_port()
    (folder / "platforms").write_text(PLATFORM["Authorization"].removeprefix("Bearer ") + " acme\n")
    settings = {"BARRING_AUTH": "gateway", "BARRING_GATEWAY_SECRET": SECRET}
    settings["BARRING_PLATFORM_SECRETS_FILE"] = str(folder / "platforms")
    with (
        running(folder, **settings) as service,
        nginx(folder, shipped(folder, port, service.port), port),
    ):
        yield Gateway(folder, port, service)


def test_user_gets_the_role_and_scope_of_the_map(gateway: Gateway) -> None:
    """A Group Admin by the map writes within its group and nowhere else."""
    mine, other = codes_path("acme", "sales", "anna"), codes_path("acme", "ops", "anna")
    with gateway.client("anna") as client:
        assert client.post(mine, json={"code": "4711"}).status_code == 201
        assert client.get(mine + "4711/").json() == {"code": "4711", "description": ""}
        assert client.get(other).status_code == 403
    with gateway.client("provisioning") as client:
        assert client.get(other).status_code == 200


def test_who_is_on_no_list_is_nobody(gateway: Gateway) -> None:
    """Without a password, and with one that no map names, the answer is 401."""
    for user in (None, "stranger", "Anna", "PROVISIONING"):
        with gateway.client(user) as client:
            assert client.get(codes_path()).status_code == 401


def test_what_a_client_says_of_itself_does_not_pass(gateway: Gateway) -> None:
    """A client's own role, scope or secret is replaced by the gateway's."""
    path = codes_path("acme", "ops", "anna")
    forged = {"X-Role": "System Admin", "X-Group-Id": "ops", "X_Role": "System Admin"}
    with gateway.client("anna", **forged) as client:
        assert client.get(path).status_code == 403
    with gateway.client("stranger", **forged) as client:
        assert client.get(path).status_code == 401


def test_what_is_public_stays_public_and_figures_do_not(gateway: Gateway) -> None:
    """Health and documentation need no password; the figures are for nobody outside."""
    with gateway.client(None) as client:
        for path in ("/health/live", "/health/ready", "/docs/", "/openapi.json"):
            assert client.get(path).status_code == 200
    with gateway.client("provisioning") as client:
        assert client.get("/metrics").status_code == 404


def test_path_arrives_as_it_was_sent(gateway: Gateway) -> None:
    """nginx passes escapes on: a user with a space and an accent, and a refused %2F."""
    with gateway.client("provisioning") as client:
        path = codes_path(user="zoë k+1@x")
        assert client.post(path, json={"code": "12"}).status_code == 201
        assert client.get(path).json()["authCodes"][0]["code"] == "12"
        assert client.get(codes_path().replace("foouser", "a%2Fb")).status_code == 400


def test_rate_of_a_peer_is_limited(gateway: Gateway) -> None:
    """A peer that asks too fast gets 429 in the one error shape, and is served again later."""
    with gateway.client("provisioning") as client:
        answers = [client.get(codes_path()) for _ in range(400)]
        slower = [answer for answer in answers if answer.status_code == 429]
        assert slower
        assert slower[0].headers["Retry-After"] == "1"
        assert slower[0].json()["code"] == 429
        time.sleep(1)
        assert client.get(codes_path()).status_code == 200


def verification(*owner: str) -> str:
    """The path at which an owner's codes are verified."""
    return codes_path(*owner).replace("/codes/", "/verification/")


def test_platform_verifies_with_its_own_secret(gateway: Gateway) -> None:
    """A platform needs no password; refused, locked and out of scope are the service's answers."""
    time.sleep(1)
    with gateway.client("provisioning") as client:
        owner = ("acme", "sales", "caller")
        assert client.post(codes_path(*owner), json={"code": "4711"}).status_code == 201
    with gateway.client(None, **PLATFORM) as client:
        path = verification(*owner)
        found = client.post(path, json={"code": "4711"})
        assert (found.status_code, found.json()) == (200, {"level": "user", "description": ""})
        assert client.post(path.rstrip("/"), json={"code": "4711"}).status_code == 200
        refused = [client.post(path, json={"code": f"{CANARY}{number}"}) for number in range(5)]
        assert [[*answer.json()["errors"]["json"]] for answer in refused] == [["code"]] * 5
        locked = client.post(path, json={"code": "4711"})
        assert locked.status_code == 429
        assert int(locked.headers["Retry-After"]) > 800
        assert "errors" not in client.post(verification(), json={"code": "4711"}).json()


def test_secret_of_a_platform_opens_nothing_else(gateway: Gateway) -> None:
    """Elsewhere a platform's token is no password; and at verification nothing else is a role."""
    codes, path = codes_path("acme", "sales", "anna"), verification("acme", "sales", "anna")
    with gateway.client(None, **PLATFORM) as client:
        for other in (codes, f"{codes}4711/", path.replace("verification", "lockout")):
            assert client.get(other).status_code == 401
        assert client.get(path.replace("verification", "codes/../verification")).status_code != 200
        assert client.get(path).status_code == 405
    forged = {"X-Role": "System Admin", "X-Tenant-Id": "acme", "X-Gateway-Secret": "x" * 40}
    for user, headers in ((None, {}), (None, forged), ("provisioning", forged)):
        with gateway.client(user, **headers) as client:
            assert client.post(path, json={"code": "4711"}).status_code == 401
    wrong = {"Authorization": PLATFORM["Authorization"][:-1] + "1", **forged}
    with gateway.client(None, **wrong) as client:
        assert client.post(path, json={"code": "4711"}).status_code == 401


def test_rate_of_a_platform_is_its_own(gateway: Gateway) -> None:
    """A platform that asks too fast gets 503, never the 429 of a lock, and spends no other rate."""
    path = verification("acme", "sales", "fast")
    with gateway.client("provisioning") as client:
        time.sleep(1)
        created = client.post(codes_path("acme", "sales", "fast"), json={"code": "4711"})
        assert created.status_code == 201

    def ask(_: int) -> list[httpx.Response]:
        with gateway.client(None, **PLATFORM) as platform:
            return [platform.post(path, json={"code": "4711"}) for _ in range(250)]

    with ThreadPoolExecutor(4) as pool:
        answers = [answer for some in pool.map(ask, range(4)) for answer in some]
    assert {answer.status_code for answer in answers} == {200, 503}
    (slower, *_) = (answer for answer in answers if answer.status_code == 503)
    assert slower.headers["Retry-After"] == "1"
    assert slower.json()["code"] == 503
    with gateway.client("provisioning") as client:
        assert client.get(codes_path()).status_code == 200
    await_that(lambda: ask_once(gateway, path) == 200)


def ask_once(gateway: Gateway, path: str) -> int:
    """The status of one verification of the right code."""
    with gateway.client(None, **PLATFORM) as platform:
        return platform.post(path, json={"code": "4711"}).status_code


def test_logs_hold_no_address_of_a_request(gateway: Gateway) -> None:
    """A code in a path reaches no log of nginx, also when the service is slow or away."""
    with gateway.client("provisioning") as client:
        for path in (f"{codes_path()}{CANARY}/", f"/{CANARY}", f"{codes_path()}{CANARY}%2F"):
            client.get(path)
    with socket.create_connection(("127.0.0.1", gateway.port)) as plain:
        plain.sendall(f"GET /{CANARY} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        plain.recv(1000)
    with gateway.client("provisioning") as client:
        client.request(CANARY.upper(), "/")
    logs = [file for file in gateway.folder.iterdir() if file.name.endswith("log")]
    assert {file.name for file in logs} >= {"barring.log", "log"}
    assert re.search(r'"status":404', (gateway.folder / "barring.log").read_text())
    for file in logs:
        assert CANARY not in file.read_text().lower()


def test_upload_limit_is_the_services(gateway: Gateway) -> None:
    """A body that the service would take is not refused by nginx, and a larger one is."""
    with gateway.client("provisioning") as client:
        json_type = {"Content-Type": "application/json"}
        near, beyond = b" " * (16 * 1024 * 1024), b" " * (16 * 1024 * 1024 + 1)
        assert client.post(codes_path(), content=near, headers=json_type).status_code == 400
        assert client.post(codes_path(), content=beyond, headers=json_type).status_code == 413


def test_refused_uploads_spoil_no_other_request(gateway: Gateway) -> None:
    """Large bodies that are refused unread cost whoever gets the connection next no 502."""
    time.sleep(3)  # The rate of a peer is limited, and was used up above.
    body, json_type = b" " * 100_000, {"Content-Type": "application/json"}

    def upload(number: int) -> int:
        with gateway.client("anna") as client:
            path = codes_path("acme", "ops", "anna")
            return client.post(path, content=body, headers=json_type).status_code

    def write(number: int) -> int:
        with gateway.client("provisioning") as client:
            return client.post(codes_path(user="many"), json={"code": f"{number}"}).status_code

    with ThreadPoolExecutor(8) as pool:
        results = [
            (pool.submit(upload, number), pool.submit(write, number)) for number in range(100, 145)
        ]
        assert {refused.result() for refused, _ in results} == {403}
        assert {written.result() for _, written in results} == {201}


def test_configuration_is_valid(tmp_path: Path, gateway: Gateway) -> None:
    """nginx itself finds nothing to warn of."""
    main = main_file(tmp_path, shipped(tmp_path, free_port(), gateway.service.port))
    command = [needs("nginx", "/usr/sbin/nginx"), "-t", "-c", str(main)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "[warn]" not in done.stderr
    shutil.rmtree(tmp_path)
