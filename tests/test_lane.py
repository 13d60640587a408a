"""Connections whose requests one thread answers in turn: none keeps the others waiting.

The clients of each test read at the same time and all the time, on connections that are kept.
"""

import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.test_locks import locked
from tests.service import Service, codes_path, running

READERS = 3

PROMPT = 0.5
"""Seconds in which each reader is answered, whatever others do; a busy machine needs some."""

REQUEST = f"GET {codes_path()} HTTP/1.1\r\nHost: x\r\nX-Role: Group Admin\r\n\r\n".encode()


@contextmanager
def one_worker(folder: Path, threads: int) -> Iterator[Service]:
    """A service with one worker, in which each reader has a code of its own."""
    with running(folder, BARRING_WORKERS="1", BARRING_THREADS=str(threads)) as service:
        with service.client() as client:
            for reader in range(READERS):
                assert client.post(codes_path(), json={"code": f"{reader:02}"}).status_code == 201
        yield service


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Service]:
    """One worker with a few threads."""
    with one_worker(tmp_path, 16) as service:
        yield service


@contextmanager
def reading(service: Service) -> Iterator[list[float]]:
    """While it lasts, readers read; each gets its own code. Gives how long each answer took."""
    took: list[float] = []
    done = threading.Event()

    def read(reader: int) -> None:
        wanted = REQUEST.replace(b"codes/", b"codes/%02d/" % reader)
        with service.connect() as connection:
            while not done.is_set():
                begun = time.monotonic()
                connection.sendall(wanted)
                answer = connection.recv(4096)
                while not answer.endswith(b"}\n"):
                    answer += connection.recv(4096)
                assert b'{"code":"%02d",' % reader in answer
                took.append(time.monotonic() - begun)
                time.sleep(random.uniform(0, 0.004))

    threads = [threading.Thread(target=read, args=(reader,)) for reader in range(READERS)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(0.3)
        yield took
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert len(took) > 20 * READERS
    assert max(took) < PROMPT


def statuses(connection: socket.socket, count: int) -> list[bytes]:
    """The statuses of so many answers that a connection gives, each a JSON object."""
    answer = b""
    while answer.count(b"HTTP/1.1 ") < count or not answer.rstrip().endswith(b"}"):
        answer += connection.recv(65536)
    return [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]]


def test_half_a_request_holds_up_nobody(alone: Service) -> None:
    """One that reads among the others, and then sends no more than half of what it asks next."""
    with reading(alone), alone.connect() as half:
        for seconds in [0.05] * 20 + [1] * 2:
            half.sendall(REQUEST)
            assert statuses(half, 1) == [b"200"]
            half.sendall(REQUEST[:30])
            time.sleep(seconds)
            half.sendall(REQUEST[30:])
            assert statuses(half, 1) == [b"200"]


def test_client_that_does_not_close_holds_up_nobody(alone: Service) -> None:
    """One that reads among the others, then asks for the end, and does not end itself."""
    with reading(alone):
        held = [alone.connect() for _ in range(5)]
        for connection in held:
            connection.sendall(REQUEST)
            assert statuses(connection, 1) == [b"200"]
            connection.sendall(REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            assert statuses(connection, 1) == [b"200"]
        time.sleep(0.5)
        for connection in held:
            connection.close()


def test_answer_that_is_not_read_holds_up_nobody(alone: Service) -> None:
    """One that asks for more than its connection holds, and reads none of it for a while."""
    with alone.client() as client:
        codes = [{"code": f"{number:06}", "description": "x" * 80} for number in range(10_000)]
        assert client.post(codes_path(user="large"), json={"authCodes": codes}).status_code == 201
    request = REQUEST.replace(b"foouser", b"large")
    with reading(alone), alone.connect() as deaf:
        deaf.sendall(REQUEST)
        assert statuses(deaf, 1) == [b"200"]
        deaf.sendall(request * 5)
        time.sleep(1)
        received = 0
        while received < 5 * 1_000_000:
            received += len(deaf.recv(1_000_000))


def test_write_that_waits_holds_up_no_reader(alone: Service) -> None:
    """One that reads among the others, and then writes while another program holds the lock."""
    with alone.client() as client, reading(alone):
        with locked(alone.database, "BEGIN IMMEDIATE"):
            writes = [
                threading.Thread(target=client.post, args=(codes_path(),), kwargs={"json": body})
                for body in [{"code": f"late{number}"} for number in range(4)]
            ]
            for write in writes:
                assert client.get(codes_path()).status_code == 200
                write.start()
            time.sleep(0.5)
        for write in writes:
            write.join()
        assert len(client.get(codes_path()).json()["authCodes"]) == READERS + len(writes)


def test_requests_that_come_together_are_answered_in_order(alone: Service) -> None:
    """Reads and writes that were sent in one piece, on a connection among the others."""
    with reading(alone), alone.connect() as connection:
        for number in range(20):
            body = b'{"code":"p%d"}' % number
            head = REQUEST.replace(b"GET", b"POST").removesuffix(b"\r\n")
            write = b"%sContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
            connection.sendall(REQUEST + write % (head, len(body), body) + REQUEST)
            assert statuses(connection, 3) == [b"200", b"201", b"200"]


def test_one_thread_answers_newcomers_too(tmp_path: Path) -> None:
    """With one thread, which readers on kept connections keep busy, a new client is answered."""
    with one_worker(tmp_path, 1) as service, reading(service):
        for _ in range(5):
            with service.client() as client:
                assert client.get(codes_path(), timeout=2).status_code == 200
