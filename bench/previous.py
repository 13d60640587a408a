"""The service, compared with the revision before it moved to gunicorn's gevent worker."""

import os
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from .load import RATES, Workload
from .plan import Plan, measure, turned
from .report import Results
from .servers import OURS, PREFIX, ROOT

REVISION = "203912b"

GET_2, GET_16, GET_128 = (Workload(f"GET one, {n} connections", "get", n) for n in (2, 16, 128))
LIST_16 = Workload("GET a list of 10, 16 connections", "list")
POST_16 = Workload("POST one, 16 connections", "post")

NOW = replace(OURS, name="this revision")


def previous(plan: Plan, results: Results) -> None:
    """Compare this revision with the previous one, in alternating runs."""
    with _checkout(plan.folder) as folder:
        before = replace(OURS, name=f"revision {REVISION}", folder=folder)
        for turn in range(plan.rounds):
            with ExitStack() as stack:
                servers = [plan.start(stack, subject, plan.stored) for subject in (NOW, before)]
                workloads = (GET_2, GET_16, GET_128, LIST_16, POST_16, *RATES)
                for number, workload in enumerate(workloads):
                    for server in turned(servers, turn):
                        measure(plan, results, server, workload, plan.stored, number)
        starts = _version_seconds([ROOT, folder], plan.folder / "pycache")
    for workload in (GET_2, GET_16, GET_128):
        results.ratio(workload, NOW, before, 0.95)
    for workload in (GET_16, LIST_16, POST_16):
        results.ratio_at_most(workload, NOW, before, "spent", 1.1)
    for workload, most in ((GET_16, 2.0), (GET_128, 1.0), *((rate, 1.6) for rate in RATES)):
        results.ratio_at_most(workload, NOW, before, "p99", most)
    for subject, seconds in zip((NOW, before), starts, strict=True):
        results.note(subject.name, "barring --version, s", seconds)
    words = f"barring --version, s: {NOW.name} vs {before.name}"
    results.times_at_most(words, starts[0] / starts[1], 1.1)


@contextmanager
def _checkout(parent: Path) -> Iterator[Path]:
    """A temporary checkout of the previous revision."""
    folder = parent / "previous"
    git = ["git", "-C", str(ROOT)]
    made = subprocess.run(
        [*git, "worktree", "add", "--quiet", "--detach", str(folder), REVISION],
        capture_output=True,
        text=True,
    )
    if made.returncode:
        raise SystemExit(f"bench: cannot check out revision {REVISION}: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run([*git, "worktree", "remove", "--force", str(folder)], check=True)


def _version_seconds(folders: list[Path], cache: Path) -> list[float]:
    """How long `barring --version` takes in each folder: the medians of ten alternating runs.

    Each of these runs finds compiled modules, even if the environment disables writing them.
    """
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(cache)
    command = [str(PREFIX / "python"), "-m", "barring", "--version"]
    found: list[list[float]] = [[] for _ in folders]
    for turn in range(11):
        for folder, seconds in turned(list(zip(folders, found, strict=True)), turn):
            began = time.perf_counter()
            subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
            seconds.append(time.perf_counter() - began)
    return [statistics.median(seconds[1:]) for seconds in found]  # The first of each compiles.
