"""The documents describe everything that exists and nothing else; their commands and links work."""

import re
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import click
import pytest
from flask.testing import FlaskClient

from barring.access import Role
from barring.api.levels import LEVELS
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
            if word and set(word) <= set("|&;"):
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
    """integrate.md lists exactly the operations, and the documents name each public path."""
    everything = "".join(TEXTS.values())
    found: set[tuple[str, str]] = set()
    for rule in client.application.url_map.iter_rules():
        base, service, operation = shown_path(rule.rule).partition("/services/")
        if service:
            operation = operation.removeprefix("outgoing_call_barring")
            for method in {*(rule.methods or ())} - {"HEAD", "OPTIONS"}:
                found.add((method, operation))
        elif not base.startswith("/docs/"):
            assert f"`{base}`" in everything or base == "/"
    listed = re.findall(r"^\| `([A-Z]+) …(\S+)` \|", TEXTS["docs/integrate.md"], re.M)
    assert {*listed} == found
    assert all(f"`{path}`" in everything for path in ("/docs/", "/metrics"))


def test_every_level_and_role_is_documented() -> None:
    """integrate.md has a row for each level, with its path and least roles, and for each role."""
    text = TEXTS["docs/integrate.md"]
    for level in LEVELS:
        path = f"{shown_path(level.path)}/services/outgoing_call_barring"
        row = f"| {level.name} | `{path}` | {level.reader.title} | {level.writer.title} |"
        assert row in text
    assert re.findall(r"^\| `(\w+ \w+)` \|", text, re.M) == [role.title for role in Role]


def test_every_event_is_documented(service: Service) -> None:
    """operate.md's table lists exactly the events that the service logs."""
    section = TEXTS["docs/operate.md"].partition("## Log")[2].partition("\n## ")[0]
    listed = set(re.findall(r"^\| `([\w.]+)` \|", section, re.M))
    code = "".join(file.read_text() for file in (ROOT / "barring").rglob("*.py"))
    emitted = set(re.findall(r"\b(?:emit|_line)\(\s*\"(\w+)\"", code))
    from_libraries = {line["event"] for line in service.log()} - emitted
    assert from_libraries
    assert listed == emitted | from_libraries


def test_every_metric_is_documented(make_client: Callable[..., FlaskClient]) -> None:
    """operate.md's table lists exactly the metrics that the service shows."""
    names = re.findall(r"^# TYPE (\w+)", make_client(metrics=True).get("/metrics").text, re.M)
    assert "barring_database_errors_total" in names
    assert re.findall(r"^\| `(barring_\w+)` \|", TEXTS["docs/operate.md"], re.M) == names


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
