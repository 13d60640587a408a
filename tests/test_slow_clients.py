"""Clients that say nothing, or say it slowly, do not keep an honest one waiting."""

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.service import Service, codes_path, running

SLOW = 200


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
        request = f"GET {codes_path()} HTTP/1.1\r\nHost: x\r\nX-Filler: {'x' * 4000}"
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
