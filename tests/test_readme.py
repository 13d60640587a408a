"""README.md is true: its commands are run, and answer what it shows. So are docs/integrate.md's."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.service import ROOT, running

README = (ROOT / "README.md").read_text()
WITH_COMMANDS = (ROOT / "README.md", ROOT / "docs" / "integrate.md")


def commands(text: str) -> list[tuple[str, str]]:
    """Every command of a document's console blocks, with the output that it shows."""
    found: list[tuple[str, str]] = []
    for block in re.findall(r"```console\n(.*?)```", text, re.S):
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            lines = part.splitlines(keepends=True)
            length = 1
            while length < len(lines) and lines[length].startswith(">"):
                length += 1
            command = lines[0] + "".join(line[1:] for line in lines[1:length])
            found.append((command.rstrip("\n"), "".join(lines[length:])))
    return found


@pytest.mark.parametrize("document", WITH_COMMANDS, ids=lambda document: document.name)
def test_commands_answer_what_is_shown(tmp_path: Path, document: Path) -> None:
    """Run one after the other against a fresh service, the commands print what is shown."""
    shown = commands(document.read_text())
    assert shown
    with running(tmp_path) as service:
        for position, (command, output) in enumerate(shown):
            setup = [c for c, _ in shown[:position] if c.startswith("export ")]
            script = "\n".join([*setup, command]).replace("http://127.0.0.1:8000", service.url)
            done = subprocess.run(
                ["bash", "-c", script], capture_output=True, text=True, check=True, timeout=20
            )
            assert done.stdout.rstrip("\n") == output.rstrip("\n"), command


@pytest.mark.parametrize("target", [*re.findall(r"`make (\w+)`", README), "run", "test"])
def test_make_targets_exist(target: str) -> None:
    """Every make target that README names is there."""
    subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, check=True)


def test_links_lead_to_files() -> None:
    """Every link of README to a file of the project finds it."""
    for link in re.findall(r"\]\((?!http)([^)#]+)", README):
        assert (ROOT / link).is_file(), link


def test_layout_names_every_part() -> None:
    """The layout names every module and folder of the service."""
    layout = (ROOT / "docs" / "develop.md").read_text().partition("## A request")[0]
    for module in (ROOT / "barring").glob("[!_]*"):
        assert module.suffix == ".typed" or module.name in layout, module.name
