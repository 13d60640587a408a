"""The workloads, and how wrk runs them against a server."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from .servers import USER, Server, call

CUT = 64
"""As many responses may be lost when wrk ends: one on each connection."""

SCRIPT = Path(__file__).with_name("load.lua")


class Workload(NamedTuple):
    """The kind of request to send, and the number of connections, which stay open."""

    title: str
    kind: str
    connections: int = 16
    patience: int = 1
    """The factor by which its run is longer than the usual run."""
    pause: int = 0
    """Milliseconds that each connection waits before a request, on average."""
    closing: bool = False
    """Whether each request has a connection of its own."""

    @property
    def reads(self) -> bool:
        """Whether it only reads."""
        return self.kind in ("get", "list")

    @property
    def refused(self) -> bool:
        """Whether it verifies wrong codes, which must be refused and counted, and not locked."""
        return self.kind in ("wrong", "verifymix")

    def even(self, part: float) -> bool:
        """Whether the busier worker's share is small enough.

        With more connections, it must be smaller.
        """
        return part < 0.6 + 0.6 / self.connections


GET = Workload("GET one", "get")
LIST = Workload("GET a list of 10", "list")
POST = Workload("POST one", "post")
POST_100 = Workload("POST a list of 100", "post100")
POST_10000 = Workload("POST a list of 10,000, 4 connections", "post10000", 4, 3)
LISTS_4 = Workload("POST a list of 10,000, 4 clients, continuously", "post10000", 4)
LONG_2 = Workload("GET a list of 200,000, 2 clients, continuously", "long", 2)
MIX = Workload("90 % GET one, 10 % POST one", "mix")
GET_64 = Workload("GET one, 64 connections", "get", 64)
POST_64 = Workload("POST one, 64 connections", "post", 64)
VERIFY = Workload("verify a right code, 1,000 users", "verify")
VERIFY_ONE = Workload("verify a right code, one user", "verifyone")
WRONG = Workload("verify a wrong code", "wrong")
VERIFY_MIX = Workload("verify 90 % right, 10 % wrong codes", "verifymix")
VERIFY_CLOSING = Workload("verify a right code, a connection each", "verify", closing=True)
GET_CLOSING = Workload("GET one, a connection each", "get", closing=True)
DELETE = Workload("DELETE one", "delete")
RATES = (
    Workload("GET one, 1,000 requests/s", "get", 64, pause=64),
    Workload("GET one, 2,000 requests/s", "get", 64, pause=32),
)

ALL = (GET, LIST, POST, POST_100, POST_10000, MIX, GET_64, POST_64, DELETE)
"""DELETE comes last, because it deletes the codes that the others read."""


class Run(NamedTuple):
    """The results of a run: requests per second, and latency percentiles in milliseconds.

    `part` is the busier worker's share of the CPU time of all workers. `spent` is the CPU time per
    request of all workers, in microseconds.
    """

    rate: float
    p50: float
    p99: float
    part: float
    spent: float


def run(
    server: Server,
    workload: Workload,
    stored: int,
    seconds: int,
    seed: int,
    *,
    alone: bool = True,
) -> Run:
    """Run a workload against a server. An unsuccessful response ends the benchmark.

    `seed` must differ between all runs on one database. With `alone`, wait until the server is
    idle; without it, the server has another load at the same time, and never becomes idle.
    """
    command = _wrk(server, workload, stored, seconds * workload.patience, seed)
    server.warm()
    before, refused = server.work(), refusals(server) if workload.refused else 0
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if alone:
        server.settle()
    work = [used - before.get(worker, 0.0) for worker, used in server.work().items()]
    told = _told(server, workload, output)
    if workload.refused and not 0 <= refusals(server) - refused - told["status"] <= CUT:
        raise SystemExit(f"bench: {workload.title}: other codes than the wrong ones were refused")
    rate = told["requests"] / told["seconds"]
    spent = sum(work) / told["requests"] * 1e6
    return Run(rate, told["p50"], told["p99"], max(work) / sum(work), spent)


@contextmanager
def beside(
    server: Server, workload: Workload, stored: int, seconds: int, seed: int
) -> Iterator[None]:
    """Run a workload against a server for some seconds, while the context measures another."""
    command = _wrk(server, workload, stored, seconds, seed)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        time.sleep(1)
        yield
        if process.poll() is not None:
            raise SystemExit(f"bench: {workload.title}: ended before the measurement beside it")
        output, _ = process.communicate()
    _told(server, workload, output)
    server.settle()


def _wrk(server: Server, workload: Workload, stored: int, seconds: int, seed: int) -> list[str]:
    return [
        *("wrk", "--threads", "1", "--connections", str(workload.connections)),
        *("--duration", f"{seconds}s", "--timeout", "60s", "--script", str(SCRIPT)),
        *(f"http://127.0.0.1:{server.port}", "--"),
        *(workload.kind, server.subject.level, str(stored), str(seed), str(workload.pause)),
        *(["close"] if workload.closing else []),
    ]


def _told(server: Server, workload: Workload, output: str) -> dict[str, float]:
    """The summary that load.lua prints. Ends the benchmark if a request failed."""
    told: dict[str, float] = json.loads(output.splitlines()[-1])
    if (told["status"] and not workload.refused) or told["socket"] or not told["requests"]:
        raise SystemExit(f"bench: {server.subject.name}, {workload.title}: {output}")
    return told


def refusals(server: Server) -> int:
    """How many codes were refused. Ends the benchmark if a user was locked out, or got 503."""
    _, metrics = call(server.port, "GET", "/metrics")
    counts = re.findall(rb'^barring_verifications_total{outcome="(\w+)"} (\d+)', metrics, re.M)
    if {outcome for outcome, _ in counts} - {b"verified", b"refused"}:
        raise SystemExit(f"bench: {server.subject.name}: a verification was not decided: {counts}")
    return int(dict(counts).get(b"refused", 0))


def run_evenly(server: Server, workload: Workload, stored: int, seconds: int, seed: int) -> Run:
    """The first balanced run of up to five, or otherwise the most balanced one.

    The workers share a socket, and chance decides which of them accepts a connection. If one of two
    workers gets most of the connections, the server reaches only half of its speed.
    """
    runs: list[Run] = []
    while len(runs) < 5 and not any(workload.even(run.part) for run in runs):
        runs.append(run(server, workload, stored, seconds, seed + 16 * len(runs)))
    return min(runs, key=lambda run: run.part)


def check(server: Server) -> None:
    """Check that a server works correctly, before it is measured."""
    code = f"{USER}smoke-1/"
    one, many = (
        b'{"code":"smoke-1","description":"One"}',
        b'{"authCodes":[{"code":"smoke-2"},{"code":"smoke-3"}]}',
    )
    steps: list[tuple[str, str, bytes | None, int | None, object]] = [
        ("GET", f"{USER}00000001/", None, 200, {"code": "00000001", "description": "Desk 1"}),
        ("GET", USER, None, 200, 10),
    ]
    if not server.subject.reads_only:
        steps += [
            ("POST", USER, one, 201, None),
            ("POST", USER, many, 201, None),
            ("POST", USER, many.replace(b"smoke-2", b"!"), None, None),
            ("GET", code, None, 200, {"code": "smoke-1", "description": "One"}),
            ("GET", USER, None, 200, 13),
            *(("DELETE", code.replace("-1", f"-{n}"), None, 200, None) for n in (1, 2, 3)),
            ("GET", USER, None, 200, 10),
        ]
    for method, path, body, status, expected in steps:
        got, answer = call(server.port, method, path, body)
        found = json.loads(answer) if expected else None
        if isinstance(expected, int) and isinstance(found, dict):
            found = len(found.get("authCodes", [found] * 10))
        if (got != status if status else got < 400) or found != expected:
            raise SystemExit(f"bench: {server.subject.name}: {method} {path}: {got} {answer!r}")


def require_tools(tools: dict[str, str]) -> None:
    """Exit with the Debian packages of missing tools, before anything long begins."""
    missing = {tool: package for tool, package in tools.items() if not shutil.which(tool)}
    if missing:
        packages = " ".join(missing.values())
        raise SystemExit(
            f"bench: {' and '.join(missing)} missing; on Debian: apt install {packages}"
        )
