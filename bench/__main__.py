"""`python -m bench` runs the benchmark, and writes docs/benchmark.md and docs/benchmark.svg."""

import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path

import click

from . import load, parts, report
from .plan import Plan
from .servers import Seeds


@click.command(help="Compare this service with its peers, in rounds that measure each server once.")
@click.option("--rounds", default=5, show_default=True, help="The number of rounds.")
@click.option("--seconds", default=3, show_default=True, help="How long each run takes.")
@click.option("--stored", default=1_000_000, show_default=True, help="How many codes are stored.")
@click.option("--large", default=10_000_000, show_default=True, help="The same, for part `scale`.")
@click.option(
    "--part",
    "chosen",
    multiple=True,
    type=click.Choice(list(parts.PARTS)),
    help="Run only this part, and only print the results. May be repeated.",
)
def main(rounds: int, seconds: int, stored: int, large: int, chosen: tuple[str, ...]) -> None:
    """Run the parts and print the results. If all parts were run, also write the report."""
    names = chosen or tuple(parts.PARTS)
    special = [tool for name in names for tool in parts.TOOLS_OF.get(name, {}).items()]
    load.require_tools(parts.TOOLS | dict(special))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="barring-bench-")))
        logs = Path(tempfile.mkdtemp(prefix="barring-bench-logs-"))
        plan = Plan(folder, Seeds(folder), logs, _shim(folder), rounds, seconds, stored, large)
        results = report.Results()
        for name in names:
            click.echo(f"{name}: ", err=True)
            parts.PARTS[name](plan, results)
    click.echo(results.markdown())
    if not chosen:
        report.write(results, rounds, seconds, stored)


def _shim(folder: Path) -> Path:
    """Compile the library that makes each sync slower."""
    library = folder / "slow_sync.so"
    source = Path(__file__).with_name("slow_sync.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"], check=True)
    return library


if __name__ == "__main__":
    main()
