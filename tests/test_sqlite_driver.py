"""Python's own sqlite3 in place of pysqlite3, which has no wheel for some processors."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from barring.storage.sqlite.driver import safe_version
from tests.command import failure, succeed
from tests.service import ROOT, codes_path, running
from tests.tools import lacking

MISSING = "raise ImportError('there is no wheel for this processor')\n"
TOO_OLD = "from sqlite3 import *\nsqlite_version, sqlite_version_info = '3.46.1', (3, 46, 1)\n"
"""What stands in for pysqlite3: nothing, and what its source makes of the system's SQLite."""


def stand_in(folder: Path, content: str) -> dict[str, Any]:
    """The variables with which Python imports this in place of pysqlite3."""
    package = folder / "stand-in" / "pysqlite3"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(content)
    (package / "dbapi2.py").write_text("from sqlite3.dbapi2 import *\n")
    return {"PYTHONPATH": str(package.parent)}


@pytest.fixture
def new_sqlite() -> dict[str, Any]:
    """The variables with which Python's own sqlite3 uses the SQLite within pysqlite3's wheel."""
    found = find_spec("pysqlite3._sqlite3")
    assert found
    assert found.origin
    variables = {"LD_PRELOAD": found.origin}
    program = "import sqlite3; print(sqlite3.sqlite_version)"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=variables, capture_output=True, text=True)
    if not safe_version(tuple(map(int, done.stdout.split(".")))):
        lacking(f"this test needs an SQLite that can be preloaded: {done.stdout}{done.stderr}")
    return variables


@pytest.mark.long
@pytest.mark.parametrize("content", [MISSING, TOO_OLD])
def test_own_sqlite3_serves_where_it_is_new_enough(
    tmp_path: Path, new_sqlite: dict[str, Any], content: str
) -> None:
    """Without a usable pysqlite3, the service and its commands work with Python's own sqlite3."""
    settings = {**new_sqlite, **stand_in(tmp_path, content)}
    with running(tmp_path, **settings) as service, service.client() as client:
        codes = {"authCodes": [{"code": f"{n:04}", "description": "é"} for n in range(1500)]}
        assert client.post(codes_path(), json=codes).status_code == 201
        assert client.post(codes_path(), json={"code": "0007"}).status_code == 400
        assert client.get(codes_path()).json() == codes
        assert client.get("/health/ready").status_code == 200
        succeed(tmp_path, "backup", str(tmp_path / "backup"), **settings)
    succeed(tmp_path, "restore", "--force", str(tmp_path / "backup"), **settings)
    succeed(tmp_path, "remove", "footenant", "foogroup", "foouser", "0007", **settings)
    succeed(tmp_path, "vacuum", **settings)
    assert "1499" in succeed(tmp_path, "check", **settings)


def test_old_sqlite_is_refused_with_a_way_out(tmp_path: Path) -> None:
    """Where no SQLite is new enough, the error names the section that says what to build."""
    settings = stand_in(tmp_path, TOO_OLD)
    own = tmp_path / "stand-in" / "sitecustomize.py"
    own.write_text("import sqlite3\nsqlite3.sqlite_version_info = (3, 46, 1)\n")
    message = failure(tmp_path, "add", "acme", "sales", "anna", "4711", **settings)
    found = re.search("install pysqlite3 .* as docs/operate.md says under (.+)$", message)
    assert found
    assert f"\n**{found[1]}" in (ROOT / "docs" / "operate.md").read_text()
    assert not (tmp_path / "codes.sqlite3").exists()
