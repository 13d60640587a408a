"""A well-known attack tool beside honest clients: of these, no request fails or waits long."""

import resource
import statistics
import subprocess
import time
from pathlib import Path

import pytest

from tests.service import GROUP_ADMIN, Service, codes_path, running
from tests.tools import needs

pytestmark = pytest.mark.long

LARGE = codes_path(user="large")
HEADERS = f"*/*\r\nX-Role: {GROUP_ADMIN['X-Role']}"
"""The tool has no option for a header; it sends what it is given as Accept as it is."""

ATTACKS = {
    "3,000 connections of slow headers": ("-H", "-c", "3000", "-i", "5"),
    "3,000 connections of slow bodies": ("-B", "-c", "3000", "-i", "5", "-s", "8192"),
    "500 readers of a long list": (
        *("-X", "-c", "500", "-w", "10", "-y", "20", "-n", "5", "-z", "32"),
    ),
}


def attack(service: Service, options: tuple[str, ...], seconds: int) -> "subprocess.Popen[bytes]":
    """Start the tool, with as many open files as it needs."""
    return subprocess.Popen(
        [
            *(needs("slowhttptest"), *options, "-r", "1500", "-l", str(seconds), "-v", "0"),
            *("-m", HEADERS, "-u", service.url + LARGE),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192)),
    )


@pytest.mark.parametrize("name", ATTACKS)
def test_slow_clients_fail_no_other_request(
    tmp_path: Path, name: str, full_length: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """While the attack goes on, each read and each write is answered, and soon."""
    seconds = 30 if full_length else 6
    times: list[float] = []
    with running(tmp_path) as service, service.client() as client:
        codes = [{"code": f"{number:06}", "description": "x" * 80} for number in range(10_000)]
        assert client.post(LARGE, json={"authCodes": codes}).status_code == 201
        process = attack(service, ATTACKS[name], seconds)
        while process.poll() is None:
            began = time.perf_counter()
            with service.client() as newcomer:
                code = f"{len(times):06}"
                assert newcomer.post(codes_path(), json={"code": code}).status_code == 201
            assert client.get(codes_path() + f"{code}/").status_code == 200
            times.append(time.perf_counter() - began)
        assert not service.logged(event="unexpected_error")
    p99 = statistics.quantiles(times, n=100)[98]
    with capsys.disabled():
        print(f"\n{name}: {len(times)} writes and reads beside them, p99 {p99 * 1000:.1f} ms")
    assert len(times) > seconds
    assert max(times) < 2
