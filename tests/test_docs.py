"""The documents tell of all that there is, and of nothing else; their commands and links work."""

import re
import shlex
import shutil
import stat
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import click
import pytest
from flask.testing import FlaskClient

from barring.api.codes import PREFIX
from barring.cli import main
from barring.server.refusals import _REFUSALS
from barring.settings import Settings
from tests.command import BARRING
from tests.service import ROOT, Service, environment

DOCS = ROOT / "docs"
DOCUMENTS = [*ROOT.glob("*.md"), *DOCS.glob("*.md")]
TEXTS = {str(file.relative_to(ROOT)): file.read_text() for file in DOCUMENTS}
BLOCKS = [
    pytest.param(block, id=f"{name}-{number}")
    for name, text in TEXTS.items()
    for number, block in enumerate(re.findall(r"```sh\n(.*?)```", text, re.S))
]
NOT_THE_SERVICE = {"git", "make", "pip", "pre-commit", "pytest", "python3"}
"""Programs that install or develop the service; what they do, other tests try."""


def shown_path(rule: str) -> str:
    """A route as the documents and OpenAPI write it."""
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule)


def slug(heading: str) -> str:
    """The anchor that a heading gets."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def calls(block: str) -> list[list[str]]:
    """The commands of a block, each as its words; what stands between pipes is one each."""
    found: list[list[str]] = []
    for line in block.splitlines():
        words = shlex.shlex(line, posix=True, punctuation_chars=True)
        words.whitespace_split = True
        found.append([])
        for word in words:
            if set(word) <= set("|&;"):
                found.append([])
            elif not re.match(r"[A-Z_]+=", word):
                found[-1].append(word)
    return [call for call in found if call]


def can_run(block: object) -> bool:
    """Whether a block only uses the service."""
    return all(
        Path(call[0]).name not in NOT_THE_SERVICE or call[1].startswith("docs/")
        for call in calls(str(block))
    )


def test_every_command_is_documented() -> None:
    """operate.md's table names every command, and whatever a document calls a command is one."""
    sections = re.split(r"^## ", TEXTS["docs/operate.md"], flags=re.M)
    (section_of_commands,) = [part for part in sections if part.startswith("Command line")]
    rows = re.findall(r"^\| (`.+?) \|", section_of_commands, re.M)
    named = {name for row in rows for name in re.findall(r"`([a-z-]+)", row)}
    assert main.commands.keys() <= named
    for name, text in TEXTS.items():
        for command in re.findall(r"`barring ([a-z][a-z-]*)", text):
            assert command in main.commands, f"{name}: barring {command}"


def test_every_setting_is_one() -> None:
    """Every variable that a document or a file of deploy/ names is a setting, or the tests' own."""
    known = {f"BARRING_{field.name.upper()}" for field in fields(Settings)}
    known.add("BARRING_TEST_POSTGRES_URL")
    for file in (*DOCUMENTS, *(ROOT / "deploy").iterdir()):
        if file.stem != "CHANGELOG":  # It names what was removed.
            assert set(re.findall(r"BARRING_[A-Z_]*[A-Z]", file.read_text())) <= known, file


def test_every_route_is_documented(client: FlaskClient) -> None:
    """integrate.md lists every operation, and the public paths are all explained."""
    everything = "".join(TEXTS.values())
    operations = TEXTS["docs/integrate.md"].replace("`…`", "").replace("…", shown_path(PREFIX)[:-6])
    for rule in client.application.url_map.iter_rules():
        path = shown_path(rule.rule)
        if path.startswith(shown_path(PREFIX)):
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                assert f"| `{method} {path}` |" in operations
        elif not path.startswith("/docs/"):
            assert f"`{path}`" in everything or path == "/"
    assert all(f"`{path}`" in everything for path in ("/docs/", "/metrics"))


def test_every_error_is_documented(client: FlaskClient) -> None:
    """integrate.md explains each status that an answer can have."""
    document = client.get("/openapi.json").json
    assert document
    statuses = {name.removeprefix("Error") for name in document["components"]["responses"]}
    section = TEXTS["docs/integrate.md"].partition("## Errors")[2]
    assert statuses | {"405"} <= set(re.findall(r"^\| (\d+) \|", section, re.M))
    assert {str(status) for status, *_ in _REFUSALS.values()} <= set(re.findall(r"\d{3}", section))


@pytest.mark.parametrize("name", TEXTS)
def test_links_lead_somewhere(name: str) -> None:
    """Every link within the project finds its file, and in it the heading that it names."""
    for link in re.findall(r"\]\((?!\w+:)([^)]+)\)", TEXTS[name]):
        path, _, anchor = link.partition("#")
        file = (ROOT / name).parent / path if path else ROOT / name
        assert file.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(), re.M)
            assert anchor in map(slug, headings), link


@pytest.mark.parametrize("name", TEXTS)
def test_files_that_are_named_exist(name: str) -> None:
    """A path of the project that stands in a document is there."""
    folders = "barring|deploy|docs|schemas|tests|access|storage"
    for path in re.findall(rf"`((?:{folders})/[\w./-]*)`", TEXTS[name]):
        assert (ROOT / path).exists() or (ROOT / "barring" / path).exists(), path


def test_every_test_file_has_its_room() -> None:
    """develop.md lists every test file beside the part of the service that it tests."""
    section = TEXTS["docs/develop.md"].partition("## Tests")[2].partition("\n## ")[0]
    files = {file.stem for file in (ROOT / "tests").glob("test_*.py")}
    assert set(re.findall(r"\btest_\w+", section)) == files


@pytest.mark.parametrize("target", re.findall(r"`make ([\w-]+)`", "".join(TEXTS.values())))
def test_make_targets_exist(target: str) -> None:
    """Every make target that a document names is there."""
    subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, check=True)


@pytest.mark.parametrize("block", BLOCKS)
def test_options_exist(block: str) -> None:
    """Every command of a shell block is one, and so is every option that it is given."""
    for program, *words in calls(block):
        name = Path(program).name
        assert name == "barring" or name in NOT_THE_SERVICE or shutil.which(name), program
        if name == "barring":
            command: click.Command = main.commands[words[0]]
            known = {option for parameter in command.params for option in parameter.opts}
            assert {word for word in words if word.startswith("--")} <= known
        elif name == "make":
            test_make_targets_exist(words[0])


@pytest.fixture
def machine(tmp_path: Path, service: Service) -> dict[str, str]:
    """A folder with the command `barring` and a database, and the environment to work there."""
    command = tmp_path / "bin" / "barring"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {shlex.join(BARRING)} "$@"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "backups").mkdir()
    for folder in ("docs", "data"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    inherited = environment(tmp_path)
    path = f"{command.parent}:{Path(sys.executable).parent}:{inherited['PATH']}"
    prepared = inherited | {"PATH": path}
    add = [str(command), "add", "a", "b", "c", "1234"]
    subprocess.run(add, env=prepared, capture_output=True, check=True)
    return prepared


@pytest.mark.parametrize("block", [b for b in BLOCKS if can_run(b.values[0])])
def test_commands_run(
    block: str, machine: dict[str, str], tmp_path: Path, service: Service
) -> None:
    """The commands of a shell block run, one after the other, and none of them fails."""
    lines = [line for line in block.splitlines() if not line.startswith("barring serve")]
    script = "\n".join(["set -e -o pipefail", *lines])
    script = script.replace("/var/backups", str(tmp_path / "backups"))
    script = script.replace("http://127.0.0.1:8000", service.url)
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=machine, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_python_runs(service: Service, tmp_path: Path) -> None:
    """The client in Python does what it says, and prints the code that is left."""
    (program,) = re.findall(r"```python\n(.*?)```", TEXTS["docs/integrate.md"], re.S)
    program = program.replace("http://127.0.0.1:8000", service.url).replace("acme", tmp_path.name)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("4711 Night shift\n", "")
