"""What a connection may do to the service: pause, stop, send too much, read nothing, idle."""

import http.client
import json
import os
import re
import select
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tests.service import (
    END_USER,
    GROUP_ADMIN,
    ROOT,
    Service,
    codes_path,
    environment,
    received,
    running,
)
from tests.test_tls import certificate
from tests.waiting import await_that

IMPATIENT = """
from barring.server import connections

connections.HEAD_TIMEOUT = connections.PAUSE_TIMEOUT = 1
connections.IDLE_TIMEOUT = 2
from wsgi import app
"""
"""The service with shorter limits of time."""

HEAD = f"{codes_path()} HTTP/1.1\r\nHost: localhost\r\nX-Role: Group Admin\r\n"
MEBIBYTE = 1024 * 1024


@contextmanager
def impatience(folder: Path, **settings: str) -> Iterator[Service]:
    """A service of one worker that gives up slow clients after a second."""
    (folder / "impatient.py").write_text(IMPATIENT)
    options = ("--pythonpath", str(folder))
    settings["BARRING_WORKERS"] = "1"
    with running(folder, *options, application="impatient:app", **settings) as service:
        yield service


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Such a service, without TLS."""
    with impatience(tmp_path_factory.mktemp("impatient")) as service:
        yield service


@pytest.mark.parametrize("role", ["End User", "nobody"])
@pytest.mark.parametrize("size", [100_000, 8 * MEBIBYTE])
def test_early_answer_reaches_whoever_still_sends(service: Service, role: str, size: int) -> None:
    """A client that sends its whole body before it reads gets its 401 or 403, and no reset."""
    client = http.client.HTTPConnection("127.0.0.1", service.port, timeout=20)
    headers = {"X-Role": role, "Content-Type": "application/json"}
    client.request("POST", codes_path(), b" " * size, headers)
    answer = client.getresponse()
    assert answer.status == (403 if role == "End User" else 401)
    assert json.loads(answer.read())["code"] == answer.status
    assert answer.headers["Connection"] == "close"
    client.close()


def test_body_over_the_limit_is_answered_while_it_is_sent(service: Service) -> None:
    """A client that sends 40 MiB regardless gets its 413."""
    client = http.client.HTTPConnection("127.0.0.1", service.port, timeout=20)
    headers = {**GROUP_ADMIN, "Content-Type": "application/json"}
    client.request("POST", codes_path(), b" " * (40 * MEBIBYTE), headers)
    answer = client.getresponse()
    assert (answer.status, answer.headers["Connection"]) == (413, "close")
    client.close()


def test_early_answer_to_a_small_body_closes_too(service: Service) -> None:
    """Whatever its size, a body that was not read ends the connection, and the answer says so."""
    client = http.client.HTTPConnection("127.0.0.1", service.port, timeout=20)
    headers = {**END_USER, "Content-Type": "application/json"}
    for _ in range(3):
        client.request("POST", codes_path(), b" " * 60_000, headers)
        answer = client.getresponse()
        assert (answer.status, answer.headers["Connection"]) == (403, "close")
        answer.read()
    client.close()


def test_request_of_length_0_keeps_the_connection(service: Service) -> None:
    """Clients such as requests send this length with a DELETE, although there is no body."""
    client = http.client.HTTPConnection("127.0.0.1", service.port, timeout=20)
    for method, status in (("DELETE", 200), ("GET", 404), ("DELETE", 200)):
        client.request(method, f"{codes_path()}1/", headers={**GROUP_ADMIN, "Content-Length": "0"})
        answer = client.getresponse()
        assert (answer.status, answer.headers["Connection"]) == (status, "keep-alive")
        answer.read()
    client.close()


def test_rest_of_a_refused_body_is_no_request(impatient: Service) -> None:
    """What arrives of a refused body after its answer is ignored: no 408 comes for it."""
    head = f"POST {HEAD}".replace("Group Admin", "End User") + "Content-Length: 30000\r\n\r\n"
    with impatient.connect() as connection:
        connection.sendall(head.encode())
        time.sleep(0.3)
        connection.sendall(b" " * 30_000)
        answer = connection.recv(4096)
        assert answer.startswith(b"HTTP/1.1 403 ")
        assert received(connection) == b""


def test_last_answer_reaches_whoever_still_sends(service: Service) -> None:
    """A refused body is read also where the client asked for the end of the connection."""
    head = f"POST {HEAD}Connection: close\r\nContent-Length: 60000\r\n\r\n"
    for _ in range(5):
        with service.connect() as connection:
            connection.sendall(head.replace("Group Admin", "End User").encode())
            time.sleep(0.1)
            connection.sendall(b" " * 60_000)
            assert received(connection).startswith(b"HTTP/1.1 403 ")


def test_head_that_is_not_completed_is_answered_408(impatient: Service) -> None:
    """A client that sends half of its headers is told so after a while, and given up."""
    with impatient.connect() as connection:
        connection.sendall(f"GET {HEAD}".encode())
        began = time.monotonic()
        answer = received(connection)
        assert 0.9 < time.monotonic() - began < 5
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == 408


def test_head_that_begins_behind_a_request_is_answered_408(impatient: Service) -> None:
    """It has the same time as another one. An empty line is no beginning."""
    with impatient.connect() as connection:
        connection.sendall(f"GET {HEAD}\r\nGET {HEAD}".encode())
        answers = received(connection)
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200", b"408"]
    with impatient.connect() as connection:
        connection.sendall(f"GET {HEAD}\r\n\r".encode())
        answer = connection.recv(4096)
        connection.sendall(f"\nGET {HEAD}\r\n\r\n".encode())
        answers = answer + received(connection)
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200", b"200"]


def test_head_that_trickles_is_given_up_all_the_same(impatient: Service) -> None:
    """A byte now and then does not prolong the time for a head."""
    with impatient.connect() as connection:
        began = time.monotonic()
        for byte in f"GET {HEAD}".encode():
            connection.send(bytes([byte]))
            if select.select([connection], [], [], 0.2)[0]:
                break
        assert time.monotonic() - began < 5
        assert received(connection).startswith(b"HTTP/1.1 408 ")


def test_handshake_that_trickles_is_given_up(tmp_path: Path) -> None:
    """A client that sends its TLS handshake byte by byte is closed like one that says nothing."""
    cert, key = certificate(tmp_path)
    tls = {"BARRING_TLS_CERT_FILE": str(cert), "BARRING_TLS_KEY_FILE": str(key)}
    hello, trust = ssl.MemoryBIO(), ssl.create_default_context()
    with pytest.raises(ssl.SSLWantReadError):
        trust.wrap_bio(ssl.MemoryBIO(), hello, server_hostname="localhost").do_handshake()
    with impatience(tmp_path, **tls) as service, service.connect() as connection:
        began = time.monotonic()
        for byte in hello.read():
            connection.send(bytes([byte]))
            if select.select([connection], [], [], 0.3)[0]:
                break
        assert time.monotonic() - began < 5
        assert connection.recv(100) == b""


def test_body_that_pauses_is_answered_408(impatient: Service) -> None:
    """A client that stops in the middle of its body is told so, and nothing is stored."""
    with impatient.connect() as connection:
        head = f"POST {HEAD}Content-Type: application/json\r\nContent-Length: 14\r\n\r\n"
        connection.sendall(head.replace("foouser", "paused").encode() + b'{"code":')
        answer = received(connection)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"\r\nConnection: close\r\n" in answer
    with impatient.client() as client:
        assert client.get(codes_path(user="paused")).json() == {"authCodes": []}


def test_body_that_goes_on_is_waited_for(impatient: Service) -> None:
    """However long it takes, a body that does not pause for too long is read to its end."""
    body = b'{"code": "12"}'
    head = f"POST {HEAD}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with impatient.connect() as connection:
        connection.sendall(head.encode())
        for byte in body:
            time.sleep(0.2)
            connection.send(bytes([byte]))
        assert connection.recv(4096).startswith(b"HTTP/1.1 201 ")


def test_silent_connection_is_closed_without_a_word(impatient: Service) -> None:
    """A connection on which nothing comes, before the first request or after, is closed."""
    with impatient.connect() as silent, impatient.connect() as kept:
        kept.sendall(f"GET {HEAD}\r\n".encode())
        assert kept.recv(4096).startswith(b"HTTP/1.1 200 ")
        assert (silent.recv(100), kept.recv(100)) == (b"", b"")


def test_client_that_reads_nothing_is_given_up(impatient: Service) -> None:
    """Those who ask for a large list and read none of it are cut off; others are answered."""
    with impatient.client() as client:
        for part in range(4):
            codes = [
                {"code": f"{part}-{number:06}", "description": "x" * 80} for number in range(10_000)
            ]
            assert client.post(codes_path(), json={"authCodes": codes}).status_code == 201
    deaf = []
    for _ in range(8):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", impatient.port))
        connection.sendall(f"GET {HEAD}\r\n".encode())
        deaf.append(connection)
    with impatient.client() as client:
        worker = int(
            re.findall(r"Booting worker with pid: (\d+)", impatient.log_file.read_text())[-1]
        )
        await_that(lambda: sockets(worker) <= 1 + 1, 20)  # It listens, and has this client.
        assert client.get("/health/live").status_code == 200
    for connection in deaf:
        connection.close()


def sockets(process: int) -> int:
    """How many TCP sockets a process holds."""
    inodes = {line.split()[9] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]}
    held = []
    for file in Path(f"/proc/{process}/fd").iterdir():
        try:
            held.append(os.readlink(file))
        except FileNotFoundError:
            continue
    return sum(link.removeprefix("socket:[").removesuffix("]") in inodes for link in held)


def test_connections_opened_at_once_are_spread_over_the_workers(tmp_path: Path) -> None:
    """The worker that wakes up first leaves others their part of the connections."""
    with running(tmp_path, BARRING_WORKERS="2") as service:
        booting = r"Booting worker with pid: (\d+)"
        service.await_log(rf"(?s){booting}.*{booting}")
        workers = [int(worker) for worker in re.findall(booting, service.log_file.read_text())]
        fewer = [fewer_of_40(service, workers) for _ in range(10)]
    assert sum(fewer) > 120, fewer


def fewer_of_40(service: Service, workers: list[int]) -> int:
    """Open 40 connections at once, and close them at once: how many the worker with fewer had."""
    connections = [service.connect() for _ in range(40)]
    await_that(lambda: sum(map(sockets, workers)) == 40 + 2)  # Both listen.
    fewer = min(map(sockets, workers)) - 1
    for connection in connections:
        connection.close()
    await_that(lambda: sum(map(sockets, workers)) == 2)
    return fewer


def test_large_bodies_have_an_allowance(tmp_path: Path) -> None:
    """Of bodies of 15 MiB a process receives 17 at once; the next is told to try again."""
    head = f"POST {HEAD}Content-Type: application/json\r\nContent-Length: {15 * MEBIBYTE}\r\n\r\n"
    with running(tmp_path, BARRING_WORKERS="1") as service:
        held = [service.connect() for _ in range(17)]
        for connection in held:
            connection.sendall(head.encode() + b"[")
        await_that(lambda: refused(service, head).startswith(b"HTTP/1.1 503 "), 5)
        answer = refused(service, head)
        assert b"\r\nRetry-After: 1\r\n" in answer
        assert b"\r\nConnection: close\r\n" in answer
        with service.client() as client:
            assert client.post(codes_path(), json={"code": "12"}).status_code == 201
        for connection in held:
            connection.close()
        with service.client() as client:
            spaces = b" " * (15 * MEBIBYTE)
            json_type = {"Content-Type": "application/json"}
            await_that(
                lambda: (
                    client.post(codes_path(), content=spaces, headers=json_type).status_code == 400
                )
            )


def refused(service: Service, head: str) -> bytes:
    """What a request is answered before its body is sent; nothing if it is not."""
    with service.connect() as connection:
        connection.sendall(head.encode())
        if not select.select([connection], [], [], 1)[0]:
            return b""
        return connection.recv(4096)


def test_stop_waits_for_no_idle_connection(tmp_path: Path) -> None:
    """With 200 idle kept connections a stop takes at most three seconds."""
    with running(tmp_path) as service:
        kept = [service.connect() for _ in range(200)]
        for connection in kept:
            connection.sendall(f"GET {HEAD}\r\n".encode())
            assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
        began = time.monotonic()
        service.process.send_signal(signal.SIGTERM)
        service.process.wait(20)
        assert time.monotonic() - began < 3
        for connection in kept:
            assert connection.recv(100) == b""
            connection.close()


def test_request_that_has_begun_is_answered_at_a_stop(tmp_path: Path) -> None:
    """Of which the service has read a byte, that is answered, and its connection then closed."""
    with running(tmp_path) as service:
        begun = [service.connect() for _ in range(8)]
        for connection in begun[:4]:
            connection.sendall(b"G")
        for connection in begun[4:]:
            connection.sendall(f"GET {HEAD}\r\nG".encode())
            assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
        time.sleep(0.3)
        service.process.send_signal(signal.SIGTERM)
        time.sleep(2.5)
        for connection in begun:
            connection.sendall(f"ET {HEAD}\r\n".encode())
        for connection in begun:
            answer = received(connection)
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert b"\r\nConnection: close\r\n" in answer
            connection.close()
        assert service.process.wait(5) == 0


@pytest.mark.parametrize(
    "command", [("gunicorn", "wsgi:app"), ("barring", "serve")], ids=["gunicorn", "serve"]
)
def test_log_that_is_full_already_does_not_stop_the_start(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    """The pipe may be one that another service has filled."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    path = tmp_path / "socket"
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=environment(tmp_path, BARRING_BIND=f"unix:{path}"),
        stderr=writer,
    )
    try:
        await_that(path.is_socket)
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
            assert client.get("http://localhost/health/live").status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        os.close(reader)
        os.close(writer)


def test_log_that_nobody_reads_stops_nothing(tmp_path: Path) -> None:
    """With standard error a full pipe all is answered; lines that found no room are counted."""
    process = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "wsgi:app"],
        cwd=ROOT,
        env=environment(tmp_path, BARRING_WORKERS="1"),
        stderr=subprocess.PIPE,
    )
    stderr = process.stderr
    assert stderr
    log = b""

    def read_until(word: bytes) -> None:
        nonlocal log
        while word not in log:
            part = os.read(stderr.fileno(), 65536)
            assert part, log
            log += part

    read_until(b"Booting worker")
    found = re.search(rb"Listening at: http://127.0.0.1:(\d+)", log)
    assert found
    client = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=10)

    def get() -> int:
        client.request("GET", codes_path(), headers=END_USER)
        answer = client.getresponse()
        answer.read()
        return answer.status

    assert {get() for _ in range(2000)} == {200}
    while select.select([stderr], [], [], 0)[0]:
        log += os.read(stderr.fileno(), 65536)
    assert get() == 200
    read_until(b"log_lines_dropped")
    assert {get() for _ in range(2000)} == {200}
    client.close()
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    log += stderr.read()
    stderr.close()
    lines = [json.loads(line) for line in log.splitlines()]
    dropped = [line["count"] for line in lines if line["event"] == "log_lines_dropped"]
    requests = [line for line in lines if line["event"] == "request"]
    assert dropped
    assert dropped[0] + len(requests) >= 2000
