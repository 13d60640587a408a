"""Latency: at fixed request rates, during long requests, and with slow clients."""

import resource
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import orjson

from . import load
from .load import LISTS_4, LONG_2, RATES, Workload
from .plan import Plan, keep, measure, turned
from .report import Results
from .servers import CALLER, FLASK, OURS, PATH, USER, Server, call, owner

SLOW = {
    "3,000 clients sending headers slowly": (3000, ["-H", "-i", "5"], USER),
    "3,000 clients sending bodies slowly": (
        3000,
        ["-B", "-i", "5", "-s", "8192", "-t", "POST"],
        USER,
    ),
    "500 clients reading 1.7 MB slowly": (
        500,
        ["-X", "-w", "10", "-y", "20", "-n", "5", "-z", "32", "-k", "1"],
        "/docs/swagger-ui-bundle.js",
    ),
}
"""Kinds of slow clients: how many, the options of slowhttptest, and the path they request."""

ARRIVAL = 20
"""Seconds to wait, at most, until the slow clients are connected."""

SLOW_SECONDS = 4
"""Seconds of a run with slow clients, less than the ten seconds that headers may take."""

FILES = 8000
"""Open files that slowhttptest and the server need for all the slow clients."""


def rates(plan: Plan, results: Results) -> None:
    """Latency at fixed request rates, which are below what the servers can handle."""
    for turn in range(plan.rounds):
        with ExitStack() as stack:
            servers = [plan.start(stack, subject, plan.stored) for subject in (OURS, FLASK)]
            for number, workload in enumerate(RATES):
                for server in turned(servers, turn):
                    measure(plan, results, server, workload, plan.stored, number)


def long_requests(plan: Plan, results: Results) -> None:
    """GET one code while long lists are written, and while one is read."""
    beside = {
        LISTS_4: _paced("GET one, while lists of 10,000 are written"),
        LONG_2: _paced("GET one, while a list of 200,000 is read"),
    }
    for turn in range(plan.rounds):
        with ExitStack() as stack:
            server = plan.start(stack, OURS, plan.stored)
            _store_long_list(server, plan.stored)
            for busy, workload in turned(list(beside.items()), turn):
                seconds = 2 * plan.seconds
                with load.beside(server, busy, plan.stored, seconds + 4, 1):
                    _measure_beside(plan, results, server, workload, seconds)
    for workload in beside.values():
        results.at_most(f"{workload.title}: p99, ms", results.p99(workload, OURS), 60)


def slow_clients(plan: Plan, results: Results) -> None:
    """GET one code while very many slow clients are connected."""
    _allow_files()
    beside = {kind: _paced(f"GET one, with {kind}") for kind in SLOW}
    for turn in range(plan.rounds):
        with ExitStack() as stack:
            server = plan.start(stack, OURS, plan.stored)
            for kind, workload in turned(list(beside.items()), turn):
                with _slow(server, kind):
                    _measure_beside(plan, results, server, workload, SLOW_SECONDS)
    for workload in beside.values():
        results.at_most(f"{workload.title}: p99, ms", results.p99(workload, OURS), 50)


def _paced(title: str) -> Workload:
    return Workload(title, "get", 4, pause=20)


def _measure_beside(
    plan: Plan, results: Results, server: Server, workload: Workload, seconds: int
) -> None:
    run = load.run(server, workload, plan.stored, seconds, 0, alone=False)
    keep(results, server, workload, run)


def _store_long_list(server: Server, stored: int) -> None:
    """Store 200,000 codes for the user whose list load.lua reads."""
    path = PATH.format(*owner(stored // 10))
    for part in range(20):
        items = [{"code": f"{part:02}-{n:05}", "description": f"Desk {n}"} for n in range(10_000)]
        status, answer = call(server.port, "POST", path, orjson.dumps({"authCodes": items}))
        if status != 201:
            raise SystemExit(f"bench: a part of the long list: {status} {answer[:200]!r}")


def _allow_files() -> None:
    """Allow this process, and those that it starts, to open as many files as they need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < FILES:
        raise SystemExit(f"bench: a process may open {hard} files; raise it to {FILES}: ulimit -n")
    if soft != resource.RLIM_INFINITY and soft < FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, hard))


@contextmanager
def _slow(server: Server, kind: str) -> Iterator[None]:
    """Run slow clients. The context begins when nearly all of them are connected."""
    clients, how, path = SLOW[kind]
    # slowhttptest cannot send other headers, but the value of Accept can contain more lines.
    accept = "\r\n".join(["*/*", *(f"{name}: {value}" for name, value in CALLER.items())])
    command = ["slowhttptest", "-c", str(clients), "-r", "1000", "-l", "60", *how]
    command += ["-m", accept, "-f", "application/json"]
    idle = server.connections()
    with subprocess.Popen(
        [*command, "-u", f"http://127.0.0.1:{server.port}{path}"], stdout=subprocess.DEVNULL
    ) as process:
        try:
            until = time.monotonic() + ARRIVAL
            while server.connections() < idle + clients * 0.99 and time.monotonic() < until:
                time.sleep(0.2)
            yield
            if (held := server.connections() - idle) < clients * 0.95:
                raise SystemExit(f"bench: {kind}: only {held} of {clients} were connected")
        finally:
            process.terminate()
    server.settle()
