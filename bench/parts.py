"""The parts of the benchmark: which servers run which workloads, and the goals."""

import json
import random
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import orjson
import pysqlite3 as sqlite3

from tests.postgres import cluster

from . import load
from .latency import long_requests, rates, slow_clients
from .load import (
    DELETE,
    GET,
    GET_CLOSING,
    LIST,
    MIX,
    POST,
    POST_100,
    POST_10000,
    VERIFY,
    VERIFY_CLOSING,
    VERIFY_MIX,
    VERIFY_ONE,
    WRONG,
    Workload,
)
from .plan import Plan, measure, turned
from .report import Results
from .servers import (
    FALCON,
    FALCON_ON_GEVENT,
    FASTAPI,
    FASTAPI_ON_POSTGRES,
    FLASK,
    FLASK_ON_GEVENT,
    FOR_GROUPS,
    NAIVE,
    ON_POSTGRES,
    OURS,
    PATH,
    WSGI,
    PostgresSeeds,
    Server,
    Subject,
    call,
    rows,
)

TOOLS = {"wrk": "wrk", "cc": "gcc"}
"""The tools that every part needs, and their Debian packages."""

TOOLS_OF = {"slow-clients": {"slowhttptest": "slowhttptest"}}
"""Additional tools of single parts."""

ON_GEVENT = (FLASK_ON_GEVENT, FALCON_ON_GEVENT)

BYTES_AT_MOST = 60
"""The maximum size of the database file per code, in addition to the code's own text."""


def peers(plan: Plan, results: Results) -> None:
    """The service and its peers under every workload."""
    for turn in range(plan.rounds):
        with ExitStack() as stack:
            subjects = (OURS, FOR_GROUPS, FLASK, FALCON, FASTAPI, WSGI, *ON_GEVENT)
            servers = [plan.start(stack, subject, plan.stored) for subject in subjects]
            for server in servers:
                results.note(server.subject.name, "cold start, s", server.cold_start)
            for number, workload in enumerate(load.ALL):
                for server in turned(servers, turn):
                    if workload in workloads_of(server.subject):
                        measure(plan, results, server, workload, plan.stored, number)
            for server in servers:
                results.note(server.subject.name, "memory at the end (PSS), MiB", server.memory())
                results.note(server.subject.name, "memory at the end (RSS), MiB", server.resident())
    for workload in (GET, POST):
        results.ratio(workload, FOR_GROUPS, OURS, 0.95)
    for workload in (GET, LIST):
        results.ratio(workload, OURS, FLASK, 1.0)
        results.ratio(workload, OURS, FALCON, 0.65)
        results.ratio(workload, OURS, FASTAPI, 3.5)
    results.ratio(GET, OURS, FLASK_ON_GEVENT, 0.75)
    for workload in (POST, DELETE):
        results.ratio(workload, OURS, FALCON, 1.0)
        results.ratio(workload, OURS, FASTAPI, 2.5)
        results.at_most(f"{workload.title}: p99, ms", results.p99(workload, OURS), 30)
    results.ratio(POST_100, OURS, FALCON, 1.5)
    results.ratio(POST_10000, OURS, FALCON, 1.5)
    results.at_most("Cold start, s", results.noted(OURS, "cold start, s"), 0.9)
    results.at_most(
        "Memory of all processes (PSS), MiB",
        results.noted(OURS, "memory at the end (PSS), MiB"),
        160,
    )


def workloads_of(subject: Subject) -> tuple[Workload, ...]:
    """The workloads that a server is measured with."""
    if subject in ON_GEVENT:
        return (GET, LIST)
    if subject == FOR_GROUPS:
        return (GET, POST)
    return tuple(w for w in load.ALL if w.reads or not subject.reads_only)


def verification(plan: Plan, results: Results) -> None:
    """Verification, compared with operations on codes in the same round."""
    # Rows of their own: part `peers` has the same operations.
    get, post, mix = (
        w._replace(title=f"{w.title}, in part `verification`") for w in (GET, POST, MIX)
    )
    verifying = (VERIFY, VERIFY_ONE, VERIFY_MIX, WRONG, GET_CLOSING, VERIFY_CLOSING)
    for turn in range(plan.rounds):
        with ExitStack() as stack:
            server = plan.start(stack, OURS, plan.stored)
            numbered = [*enumerate((get, post, mix, *verifying))]
            for number, workload in turned(numbered, turn):
                measure(plan, results, server, workload, plan.stored, number)
    results.compare(VERIFY, get, OURS, 0.8)
    results.compare(WRONG, post, OURS, 0.7)
    results.compare(VERIFY_CLOSING, GET_CLOSING, OURS, 0.85)
    for one, other, most in ((VERIFY, get, 1.25), (VERIFY_MIX, mix, 1)):
        ratio = results.p99(one, OURS) / results.p99(other, OURS)
        results.at_most(f"{one.title}: p99 relative to {other.title}", ratio, most)


def slow_disk(plan: Plan, results: Results) -> None:
    """POST on a slow disk: every sync takes 2 ms longer."""
    workload = Workload("POST one, slow disk", "post")
    for turn in range(plan.rounds):
        with ExitStack() as stack:
            servers = [plan.start(stack, s, plan.stored, preload=plan.shim) for s in (OURS, NAIVE)]
            for server in turned(servers, turn):
                measure(plan, results, server, workload, plan.stored, 0)
    results.ratio(workload, OURS, NAIVE, 3.0)
    results.at_most(f"{workload.title}: p99, ms", results.p99(workload, OURS), 60)


def scale(plan: Plan, results: Results) -> None:
    """The service with ten thousand codes, compared with very many codes."""
    small, large = (replace(OURS, name=f"{stored:,} codes") for stored in (10_000, plan.large))
    for turn in range(plan.rounds):
        with ExitStack() as stack:
            pairs = [
                (plan.start(stack, subject, stored), stored)
                for subject, stored in ((small, 10_000), (large, plan.large))
            ]
            for server, _ in pairs:
                results.note(server.subject.name, "cold start, s", server.cold_start)
            for number, workload in enumerate((GET, LIST, POST, VERIFY, WRONG)):
                for server, stored in turned(pairs, turn):
                    measure(plan, results, server, workload, stored, number)
    for workload in (GET, LIST, POST, VERIFY, WRONG):
        results.ratio(workload, large, small, 0.85)
    starts = [results.noted(subject, "cold start, s") for subject in (large, small)]
    results.at_most(f"Extra cold start with {plan.large:,} codes, s", starts[0] - starts[1], 0.05)
    texts = [len("".join(row).encode()) for row in rows(plan.stored)]
    size = Path(plan.seeds.fresh(OURS, plan.stored)).stat().st_size
    results.at_most(
        "Database file, bytes per code beyond its text",
        (size - sum(texts)) / len(texts),
        BYTES_AT_MOST,
    )


def postgres(plan: Plan, results: Results) -> None:
    """The service and FastAPI, on the same PostgreSQL server."""
    with cluster() as server:
        seeds = PostgresSeeds(server.url)
        there = plan._replace(seeds=seeds)
        for turn in range(plan.rounds):
            with ExitStack() as stack:
                subjects = (ON_POSTGRES, FASTAPI_ON_POSTGRES)
                servers = [there.start(stack, subject, plan.stored) for subject in subjects]
                for number, workload in enumerate((GET, LIST, POST, POST_100, DELETE)):
                    for server_ in turned(servers, turn):
                        measure(there, results, server_, workload, plan.stored, number)
    for workload, least in ((GET, 3.0), (POST, 1.5), (POST_100, 3.0)):
        results.ratio(workload, ON_POSTGRES, FASTAPI_ON_POSTGRES, least)


def long_list(plan: Plan, results: Results) -> None:
    """The time and memory for a list of 10,000, compared with only parsing and inserting it."""
    with ExitStack() as stack:
        server = plan.start(stack, OURS, plan.stored)
        seed = plan.seeds.fresh(NAIVE, plan.stored)
        least = sqlite3.connect(seed, isolation_level=None)
        least.execute("PRAGMA journal_mode = WAL")
        least.execute("PRAGMA synchronous = FULL")
        measure(plan, results, server, Workload("warm-up", "get"), plan.stored, 200)
        idle = server.resident()
        pairs = [_long_lists(server, least, number) for number in range(10 * plan.rounds)]
        results.at_most(
            "POST a list of 10,000: time relative to parsing and inserting alone",
            statistics.median(ours / bare for ours, bare in pairs),
            2.0,
        )
        results.at_most("POST a list of 10,000: memory above idle, MiB", server.peak() - idle, 64)
        least.close()


def _long_lists(server: Server, least: "sqlite3.Connection", number: int) -> tuple[float, float]:
    """Seconds to POST a list of 10,000, and seconds to only parse it and insert its rows."""
    items = [{"code": f"L{number:03}-{n:05}", "description": f"Desk {n}"} for n in range(10_000)]
    body = orjson.dumps({"authCodes": items})
    owner = (f"t{number}", "g0", f"u{random.randrange(10**6)}")
    began = time.perf_counter()
    status, answer = call(server.port, "POST", PATH.format(*owner), body)
    ours = time.perf_counter() - began
    if status != 201:
        raise SystemExit(f"bench: a list of 10,000: {status} {answer[:200]!r}")
    began = time.perf_counter()
    parsed = json.loads(body)["authCodes"]
    least.execute("BEGIN IMMEDIATE")
    least.executemany(
        "INSERT INTO codes VALUES (?, ?, ?, ?, ?)",
        [(*owner, item["code"], item["description"]) for item in parsed],
    )
    least.execute("COMMIT")
    return ours, time.perf_counter() - began


PARTS: dict[str, Callable[[Plan, Results], None]] = {
    "peers": peers,
    "verification": verification,
    "rates": rates,
    "slow-disk": slow_disk,
    "scale": scale,
    "long-list": long_list,
    "long-requests": long_requests,
    "slow-clients": slow_clients,
    "postgres": postgres,
}
