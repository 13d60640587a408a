"""The lock files: every dependency pinned with hashes, and no word of where it came from."""

import re
import tomllib

import pytest

from tests.service import ROOT

FILES = ["requirements.txt", "requirements-dev.txt"]


def locked(name: str) -> dict[str, str]:
    """The pinned version of every package in a lock file."""
    return dict(re.findall(r"^([\w.-]+)==([^ ;\\]+)", (ROOT / name).read_text(), re.M))


@pytest.mark.parametrize("name", FILES)
def test_everything_is_pinned_with_hashes(name: str) -> None:
    """Each entry is one exact version, followed by its hashes; there are no other lines."""
    text = re.sub(r"\\\n", "", (ROOT / name).read_text())
    entries = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert entries
    for entry in entries:
        assert re.fullmatch(r"\S+==\S+ (; .+?)?( *--hash=sha256:[0-9a-f]{64})+ *", entry), entry


@pytest.mark.parametrize("name", FILES)
def test_no_index_is_named(name: str) -> None:
    """A lock file works with any package index."""
    assert not re.search(r"https?:|--index|--find-links|--extra", (ROOT / name).read_text())


def test_locks_hold_what_the_project_asks_for() -> None:
    """Each dependency is locked, the runtime's at one version in both files."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    runtime, development = (locked(name) for name in FILES)
    asked = [re.split(r"[<>=[]", entry)[0] for entry in project["project"]["dependencies"]]
    assert set(asked) <= runtime.keys()
    assert runtime.items() <= development.items()
    tools = [re.split(r"[<>=[]", entry)[0] for entry in project["dependency-groups"]["dev"]]
    assert set(tools) <= development.keys() - runtime.keys()
