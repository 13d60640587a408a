"""The results: medians, ratios and goals, as tables and a plot."""

import datetime
import platform
import statistics
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from .load import Run, Workload
from .servers import OURS, ROOT, Subject

DOCS = ROOT / "docs"


class Goal(NamedTuple):
    """A goal: its text, the target, the measured value, and whether it is met."""

    words: str
    asked: str
    found: str
    met: bool


class Results:
    """The runs, other measurements (the notes), and goals."""

    def __init__(self) -> None:
        self.runs: dict[Workload, dict[str, list[Run]]] = defaultdict(lambda: defaultdict(list))
        self.notes: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.goals: list[Goal] = []

    def add(self, workload: Workload, subject: Subject, run: Run) -> None:
        """Record a run. The n-th run of each subject belongs to the n-th round."""
        self.runs[workload][subject.name].append(run)

    def note(self, name: str, what: str, value: float) -> None:
        """Record another measurement of a server."""
        self.notes[what][name].append(value)

    def noted(self, subject: Subject, what: str) -> float:
        """The median of the recorded measurements."""
        return statistics.median(self.notes[what][subject.name])

    def p99(self, workload: Workload, subject: Subject) -> float:
        """The 99th percentile of the latency in milliseconds, as the median of all rounds."""
        return statistics.median(run.p99 for run in self.runs[workload][subject.name])

    def times(self, workload: Workload, one: str, other: str) -> float:
        """The ratio of the requests/s of `one` to those of `other`: the median over all rounds.

        Rounds with an unbalanced run are excluded, unless there are no others.
        """
        of = self.runs[workload]
        pairs = list(zip(of[one], of[other], strict=True))
        even = [(a, b) for a, b in pairs if workload.even(max(a.part, b.part))]
        return statistics.median(a.rate / b.rate for a, b in even or pairs)

    def ratio(self, workload: Workload, one: Subject, other: Subject, least: float) -> None:
        """Set the goal that `one` handles at least `least` times the requests/s of `other`."""
        found = self.times(workload, one.name, other.name)
        words = f"{workload.title}: {one.name} vs {other.name}"
        self.goals.append(Goal(words, f"≥ {least:g} x", f"{found:.2f} x", found >= least))

    def compare(self, workload: Workload, other: Workload, subject: Subject, least: float) -> None:
        """Set the goal that a server handles `least` times the requests/s of another workload."""
        pairs = zip(self.runs[workload][subject.name], self.runs[other][subject.name], strict=True)
        found = statistics.median(one.rate / two.rate for one, two in pairs)
        words = f"{workload.title} vs {other.title}"
        self.goals.append(Goal(words, f"≥ {least:g} x", f"{found:.2f} x", found >= least))

    def at_most(self, words: str, found: float, most: float) -> None:
        """Set the goal that a value is at most `most`."""
        self.goals.append(Goal(words, f"≤ {most:g}", f"{found:.3g}", found <= most))

    def markdown(self) -> str:
        """The tables of goals, runs and other measurements, as Markdown."""
        lines = ["| goal | target | measured | |", "| --- | --- | --- | --- |"]
        for goal in self.goals:
            verdict = "met" if goal.met else "**not met**"
            lines.append(f"| {goal.words} | {goal.asked} | {goal.found} | {verdict} |")
        lines += [
            "",
            "| workload | server | requests/s | p50, ms | p99, ms | busier worker "
            "| CPU, µs/request | ratio |",
            "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        ]
        for workload, subjects in self.runs.items():
            for name, runs in subjects.items():
                rate, p50, p99, part, spent = map(statistics.median, zip(*runs, strict=True))
                first = next(iter(subjects))
                times = self.times(workload, first, name)
                lines.append(
                    f"| {workload.title} | {name} | {rate:,.1f} | {p50:.2f} | {p99:.2f} "
                    f"| {part:.0%} | {spent:,.0f} | {times:.2f} |"
                )
        lines += ["", "| measurement | server | median |", "| --- | --- | ---: |"]
        for what, named in self.notes.items():
            for name, values in named.items():
                lines.append(f"| {what} | {name} | {statistics.median(values):.3g} |")
        return "\n".join(lines) + "\n"


def write(results: Results, rounds: int, seconds: int, stored: int) -> None:
    """Write the tables to docs/benchmark.md, and the plot to docs/benchmark.svg."""
    packages = ("flask", "gunicorn", "gevent", "falcon", "fastapi", "sqlalchemy", "uvicorn")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    head = (
        "# Benchmark\n\n`make bench` writes this page. "
        "[develop.md](develop.md#performance) explains how to read it.\n\n"
        f"Run on {datetime.date.today()}: {_processors()}, Python {platform.python_version()}, "
        f"{versions}. Rounds: {rounds}. Seconds per run: {seconds}. Codes stored: {stored:,}.\n\n"
        "Every value is the median of all rounds. `busier worker` is the busier worker's share of "
        "the CPU time of all workers. `ratio` is the requests/s of the first server listed for the "
        "workload, divided by those of this server: above 1, the first server is faster.\n\n"
        "Most goals compare the service with servers on gunicorn's threads, because their users "
        "start with threads. The servers on gunicorn's gevent worker show how much of a "
        "difference comes from the server, and how much from the application.\n\n"
        "![Requests per second, relative to other servers](benchmark.svg)\n\n"
    )
    (DOCS / "benchmark.md").write_text(head + results.markdown())
    _plot(results, DOCS / "benchmark.svg")


def _processors() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}"


def _plot(results: Results, path: Path) -> None:
    """Plot a bar per server and workload: the service's speed relative to it, on a log scale."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "bench", "svg.fonttype": "none", "font.size": 9})
    from matplotlib import pyplot as plt

    shown = [
        w
        for w, subjects in results.runs.items()
        if OURS.name in subjects and len(subjects) > 1 and not w.pause
    ]
    names = list(dict.fromkeys(n for w in shown for n in results.runs[w] if n != OURS.name))
    figure, axes = plt.subplots(figsize=(9, 0.7 * len(shown) + 1))
    height = 0.8 / len(names)
    for place, name in enumerate(names):
        found = [
            (i, results.times(w, OURS.name, name))
            for i, w in enumerate(shown)
            if name in results.runs[w]
        ]
        axes.barh(
            [i + place * height for i, _ in found],
            [times - 1 for _, times in found],
            height,
            left=1,
            label=f"vs {name}",
        )
    axes.set_xscale("log")
    ticks = [0.1, 0.2, 0.5, 1, 2, 5, 10]
    axes.set_xticks(ticks, [f"{tick:g} x" for tick in ticks])
    axes.minorticks_off()
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks([i + 0.4 - height / 2 for i in range(len(shown))], [w.title for w in shown])
    axes.invert_yaxis()
    axes.set_title("Requests per second of this service, relative to other servers")
    axes.legend(loc="best")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
