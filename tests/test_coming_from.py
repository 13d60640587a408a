"""docs/coming-from.md is true: its commands are run, and print what it shows."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.command import BARRING
from tests.service import ROOT, environment
from tests.test_readme import commands

SHOWN = commands((ROOT / "docs" / "coming-from.md").read_text())
EXAMPLES = ROOT / "docs" / "examples" / "coming-from"


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    """The environment to run the command `barring` in a copy of the examples."""
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    command = tmp_path / "bin" / "barring"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {shlex.join(BARRING)} "$@"\n')
    command.chmod(0o700)
    path = f"{command.parent}:{os.environ['PATH']}"
    return environment(tmp_path, PATH=path, LC_ALL="C.UTF-8")


def test_commands_print_what_is_shown(tmp_path: Path, machine: dict[str, str]) -> None:
    """Run one after the other, the commands print what is shown, beside their log."""
    for command, output in SHOWN:
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=tmp_path / "examples",
            env=machine,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        errors = [line for line in done.stderr.splitlines() if not line.startswith("{")]
        printed = [*done.stdout.replace("\N{NO-BREAK SPACE}", " ").splitlines(), *errors]
        assert printed == output.splitlines(), command
        assert (done.returncode == 0) == (not errors), command


def test_every_example_is_shown() -> None:
    """The page prints each file of the examples."""
    shown = {command.removeprefix("cat ") for command, _ in SHOWN}
    assert {file.name for file in EXAMPLES.iterdir()} - shown <= {"german.csv"}
