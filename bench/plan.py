"""The options of a benchmark run, and functions that all parts share."""

import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, TypeVar

from . import load
from .load import GET, Run, Workload
from .report import Results
from .servers import PostgresSeeds, Seeds, Server, Subject, running

Thing = TypeVar("Thing")


class Plan(NamedTuple):
    """The options of a benchmark run."""

    folder: Path
    """For temporary files."""
    seeds: Seeds | PostgresSeeds
    logs: Path
    shim: Path
    rounds: int
    seconds: int
    stored: int
    large: int

    def start(self, stack: ExitStack, subject: Subject, stored: int, **how: Path) -> Server:
        """Start a server with its own copy of the codes. It runs until the stack is closed."""
        database = "" if subject.reads_only else self.seeds.fresh(subject, stored)
        server = stack.enter_context(running(subject, database, self.logs, **how))
        load.check(server)
        load.run(server, GET, stored, 1, 0)  # A server that has just started is slower.
        return server


def turned(things: Sequence[Thing], turn: int) -> Iterable[Thing]:
    """Rotate the order by one place per round."""
    start = turn % len(things)
    return [*things[start:], *things[:start]]


def measure(
    plan: Plan, results: Results, server: Server, workload: Workload, stored: int, number: int
) -> None:
    """Run a workload, and record the result."""
    run = load.run_evenly(server, workload, stored, plan.seconds, number)
    keep(results, server, workload, run)


def keep(results: Results, server: Server, workload: Workload, run: Run) -> None:
    """Record a run, and print it."""
    results.add(workload, server.subject, run)
    sys.stderr.write(
        f"{workload.title:34} {server.subject.name:22} {run.rate:9.1f}/s  "
        f"p50 {run.p50:8.2f} ms  p99 {run.p99:8.2f} ms  busier worker {run.part:4.0%}  "
        f"processor {run.spent:6.0f} us\n"
    )
