"""Spectral and Redocly: what the recommended rules of OpenAPI's linters say of the document."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from app import create_app
from barring.settings import Settings
from tests.callers import MODES, settings_of
from tests.service import ROOT
from tests.tools import lacking

pytestmark = pytest.mark.long

LINTERS = ROOT / "tests" / "linters"


@pytest.mark.parametrize(
    ("command", "slashes"),
    [
        (
            ("node_modules/.bin/spectral", "lint", "--ruleset=spectral.yaml", "--format=json"),
            "path-keys-no-trailing-slash",
        ),
        (("node", "redocly.js"), "no-path-trailing-slash"),
    ],
    ids=["spectral", "redocly"],
)
def test_linter_finds_only_the_trailing_slashes(
    tmp_path: Path, command: tuple[str, ...], slashes: str
) -> None:
    """In each mode the recommended rules report the slashes at the ends of paths, and no more."""
    if not (LINTERS / "node_modules").exists():
        lacking("this test needs the linters; install them with: make linters")
    files = []
    for mode in MODES:
        database_url = f"sqlite:///{tmp_path / 'codes.sqlite3'}"
        fields: dict[str, Any] = {"database_url": database_url, **settings_of(mode, tmp_path)}
        client = create_app(Settings(**fields)).test_client()
        files.append(tmp_path / f"{mode}.json")
        files[-1].write_bytes(client.get("/openapi.json").data)
    done = subprocess.run(
        [*command, *files], cwd=LINTERS, capture_output=True, text=True, timeout=120, check=False
    )
    found = json.loads(done.stdout)
    assert len(found) >= len(MODES), done.stderr
    assert [fault for fault in found if fault["code"] != slashes] == []
