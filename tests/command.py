"""Runs the command line, as its users do."""

import json
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

from tests.service import ROOT, environment

BARRING = (sys.executable, "-m", "barring")


def barring(
    folder: Path, *arguments: str, stdin: str = "", **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run `barring` on the database of the service that `running` starts in `folder`."""
    return subprocess.run(
        [*BARRING, *arguments],
        cwd=ROOT,
        env=environment(folder, **settings),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def succeed(
    folder: Path,
    *arguments: str,
    stdin: str = "",
    events: Collection[str] = ("audit", "database_created"),
    **settings: str,
) -> str:
    """The output of a command that must succeed; on standard error are these events at most."""
    done = barring(folder, *arguments, stdin=stdin, **settings)
    assert done.returncode == 0, done.stderr
    assert {line["event"] for line in logged(done)} <= {*events}
    return done.stdout


def failure(
    folder: Path,
    *arguments: str,
    status: int = 1,
    stdin: str = "",
    events: Collection[str] = ("database_created",),
    **settings: str,
) -> str:
    """The one line on standard error, these events aside, of a command that must do nothing."""
    done = barring(folder, *arguments, stdin=stdin, **settings)
    lines = done.stderr.splitlines()
    errors = [line for line in lines if not any(event in line for event in events)]
    assert (done.returncode, done.stdout, len(errors)) == (status, "", 1), done.stderr
    assert errors[0].startswith("barring: ")
    return errors[0]


def logged(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """The lines of the log that a command wrote to standard error."""
    return [json.loads(line) for line in done.stderr.splitlines()]
