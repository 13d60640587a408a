"""Clients that say nothing, or say it slowly, do not keep an honest one waiting."""

import re
import resource
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.service import ROOT, Service, codes_path, running

SLOW = 200
CONFIG = f"--config {ROOT / 'gunicorn.conf.py'}"


def p99(service: Service) -> float:
    """The 99th percentile of an honest client's waiting times, in seconds, over 300 reads."""
    times = []
    with service.client() as client:
        for _ in range(300):
            start = time.perf_counter()
            assert client.get(codes_path()).status_code == 200
            times.append(time.perf_counter() - start)
    return statistics.quantiles(times, n=100)[98]


@contextmanager
def slow_clients(service: Service) -> Iterator[None]:
    """While it lasts, half of SLOW connections are silent and half send a byte at a time."""
    connections = [service.connect() for _ in range(SLOW)]
    done = threading.Event()

    def trickle() -> None:
        request = f"GET {codes_path()} HTTP/1.1\r\nHost: localhost\r\nX-Filler: {'x' * 4000}"
        for byte in request.encode():
            for connection in connections[::2]:
                connection.send(bytes([byte]))
            if done.wait(0.1):
                return

    thread = threading.Thread(target=trickle)
    thread.start()
    try:
        time.sleep(0.5)
        yield
    finally:
        done.set()
        thread.join()
        for connection in connections:
            connection.close()


def test_clients_that_do_not_close_hold_up_nobody(service: Service) -> None:
    """While 60 refused clients keep their connections open, an honest one is answered."""
    held = [service.connect() for _ in range(60)]
    try:
        for connection in held:
            connection.sendall(b"x\r\n\r\n")
        with service.client() as client:
            client.timeout = 2  # Two seconds for each of them is what it took.
            assert client.get("/health/live").status_code == 200
            assert client.get(codes_path()).status_code == 200
    finally:
        for connection in held:
            connection.close()


def test_many_silent_clients_hold_up_nobody(service: Service) -> None:
    """While 600 connections say nothing, honest ones are answered."""
    held = [service.connect() for _ in range(600)]
    try:
        with service.client() as client:
            client.timeout = 3
            for _ in range(20):
                assert client.get(codes_path()).status_code == 200
    finally:
        for connection in held:
            connection.close()


def test_files_that_run_out_kill_no_worker(tmp_path: Path) -> None:
    """With few open files allowed and more connections than that, the workers live on."""
    with running(tmp_path, BARRING_WORKERS="1") as service:
        pids = re.findall(r"Booting worker with pid: (\d+)", service.log_file.read_text())
        for pid in pids:
            resource.prlimit(int(pid), resource.RLIMIT_NOFILE, (64, 64))
        held = [service.connect() for _ in range(200)]
        for connection in held:
            connection.close()
        with service.client() as client:
            assert client.get(codes_path()).status_code == 200
        assert re.findall(r"Booting worker with pid: (\d+)", service.log_file.read_text()) == pids


def test_start_says_which_limit_to_raise(tmp_path: Path) -> None:
    """Where a process may open few files, the start tells how many connections that leaves."""
    script = "import os, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (600, 600)); "
    script += "os.execv(sys.executable, [sys.executable, '-m', 'gunicorn', 'wsgi:app'])"
    command = (sys.executable, "-c", script)
    with running(
        tmp_path, command=command, PYTHONPATH=str(ROOT), GUNICORN_CMD_ARGS=CONFIG
    ) as service:
        (line,) = service.logged(event="warning")
        with service.client() as client:
            assert client.get(codes_path()).status_code == 200
    assert "600 files" in line["message"]
    assert "500 connections" in line["message"]
    assert "ulimit -n" in line["message"]


@pytest.mark.long
@pytest.mark.alone
def test_slow_clients_do_not_slow_an_honest_one(tmp_path: Path) -> None:
    """With 200 idle or trickling connections p99 stays under five times the unloaded figure."""
    with running(tmp_path) as service:
        p99(service)
        ratios = []
        for _ in range(3):
            unloaded = p99(service)
            with slow_clients(service):
                ratios.append(p99(service) / unloaded)
    print(f"p99 beside {SLOW} slow clients: {[round(ratio, 2) for ratio in ratios]} x unloaded")
    assert statistics.median(ratios) < 5
