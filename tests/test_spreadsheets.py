"""An export in LibreOffice: it runs nothing of it, and what it saves imports back to the same."""

import re
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from barring.domain import AuthorizationCode as Code
from barring.domain import Owner
from barring.storage.sqlite.engine import SQLiteStorage
from tests.command import failure, succeed
from tests.tools import needs

ROWS = [
    ("=1+1", "+49301234", "-1+1", "-01", "=1+2", "@SUM(1)"),
    ("@SUM(1)", "'=1+3", "''=1+4", "0815", "'x", "''=1+5"),
    ("acme", "sales", "anna", "01", "x;=1+6;y", "\t=1+7"),
    ("acme", "sales", "anna", "02", "x\t=1+8\ty", "x,=1+9,y"),
    ("acme", "sales", "anna", "03", '"=1+10', '";=1+11;"'),
    ("acme", "sales", "bert", "4711", '=HYPERLINK("http://127.0.0.1:9/"&D1)', "x;'=1+12;y"),
]
COMMA, TAB, ALL = "44", "9", "44/59/9"
"""Delimiters as LibreOffice numbers them. It proposes all: comma, semicolon and tab."""


def converted(
    folder: Path, delimiters: str, *files: Path, columns: str = "", target: str = "fods"
) -> list[str]:
    """What LibreOffice makes of the files, opened with these delimiters, as UTF-8."""
    command = [needs("soffice"), f"-env:UserInstallation=file://{folder}/profile", "--headless"]
    command += [f"--infilter=CSV:{delimiters},34,76,1,{columns}", "--convert-to", target]
    out = folder / "converted"
    subprocess.run(
        [*command, "--outdir", out, *files], check=True, capture_output=True, timeout=120
    )
    ending = target.partition(":")[0]
    return [(out / file.with_suffix(f".{ending}").name).read_text() for file in files]


@pytest.fixture
def storage(tmp_path: Path) -> SQLiteStorage:
    """A database in which every text could be a formula, alone or behind a delimiter."""
    storage = SQLiteStorage(str(tmp_path / "codes.sqlite3"))
    storage.prepare()
    for row in ROWS:
        storage.add(Owner(*row[:3]), [Code(*row[3:])])
    storage.close()
    return storage


def test_no_cell_is_a_formula(tmp_path: Path, storage: SQLiteStorage) -> None:
    """LibreOffice runs no text of an export or of --errors, not even behind other delimiters."""
    comma, tab, errors = (tmp_path / name for name in ("comma.csv", "tab.tsv", "errors.csv"))
    for file in (comma, tab):
        succeed(tmp_path, "export", str(file))
    assert "6 rows" in failure(tmp_path, "import", "--errors", str(errors), str(comma))
    control = tmp_path / "control.csv"
    control.write_text("=1+1,x;=1+2,y\t=1+3\n")
    formulas = {}
    for delimiters, files in ((COMMA, [comma, errors]), (TAB, [tab]), (ALL, [comma, errors, tab])):
        *opened, run = converted(tmp_path, delimiters, *files, control)
        formulas[delimiters] = run.count("table:formula=")
        for content in opened:
            assert "@SUM(1)" in content
            assert re.findall(r'table:formula="[^"]*"', content) == []
    # It does run those that no export has written.
    assert formulas == {COMMA: 1, TAB: 2, ALL: 3}


def test_saved_export_imports_back(tmp_path: Path, storage: SQLiteStorage) -> None:
    """Opened with all columns as text and saved again, an export is the same codes."""
    export = tmp_path / "codes.csv"
    succeed(tmp_path, "export", str(export))
    text = "/".join(f"{column}/2" for column in range(1, 7))
    target = "csv:Text - txt - csv (StarCalc):44,34,76,1"
    (saved,) = converted(tmp_path, COMMA, export, columns=text, target=target)
    other = tmp_path / "other"
    other.mkdir()
    assert succeed(other, "import", "-", stdin=saved) == "6 codes stored\n"
    with closing(SQLiteStorage(str(other / "codes.sqlite3"))) as imported:
        assert list(imported.export()) == ROWS
