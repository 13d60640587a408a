"""The wheel: what `pip install` makes of it in a clean environment, far from the checkout."""

import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from barring import __version__
from tests.service import ROOT, codes_path, environment, running

pytestmark = pytest.mark.long

SOURCES = ("app.py", "wsgi.py", "pyproject.toml", "README.md", "LICENSE", "barring", "schemas")


def pip(python: str | Path, *arguments: str | Path) -> None:
    """Run pip, and show what it says if it fails."""
    command = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    pip(sys.executable, "wheel", "--no-deps", "--wheel-dir", folder, source)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def commands(wheel: Path) -> Path:
    """The folder of the commands of an environment with the locked dependencies and the wheel."""
    folder = wheel.parent / "environment"
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    pip(python, "install", "--require-hashes", "-r", ROOT / "requirements.txt")
    pip(python, "install", "--no-deps", wheel)
    pip(python, "check")
    return folder / "bin"


def barring(commands: Path, folder: Path, *arguments: str, text: str = "") -> str:
    """What the installed `barring` prints on the database in a folder, where it runs."""
    return subprocess.run(
        [commands / "barring", *arguments],
        cwd=folder,
        env=environment(folder),
        input=text,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout


def test_wheel_holds_the_service_and_nothing_else(wheel: Path) -> None:
    """Every module and file of the service is in it, none of the tests, and the version is one."""
    assert wheel.name == f"barring-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        about = f"barring-{__version__}.dist-info"
        license_text = archive.read(f"{about}/licenses/LICENSE").decode()
        metadata = archive.read(f"{about}/METADATA").decode()
    sources = [ROOT / "app.py", ROOT / "wsgi.py"]
    sources += [*(ROOT / "barring").rglob("*.*"), *(ROOT / "schemas").rglob("*.*")]
    assert held == {str(s.relative_to(ROOT)) for s in sources if s.parent.name != "__pycache__"}
    assert {"barring/py.typed", "schemas/py.typed"} <= held
    assert license_text == (ROOT / "LICENSE").read_text()
    assert "\nLicense-Expression: Apache-2.0\n" in metadata
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" not in project["project"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "barring.__version__"}


def test_installed_command_works(commands: Path, tmp_path: Path) -> None:
    """It tells its version, imports and exports, and keeps nothing in the environment."""
    assert barring(commands, tmp_path, "--version") == f"barring, version {__version__}\n"
    header = "tenant,group,user,code,description,class_of_service"
    rows = f"{header}\nacme,sales,anna,4711,Night shift,national\n"
    barring(commands, tmp_path, "import", "-", text=rows)
    assert barring(commands, tmp_path, "export").splitlines() == rows.splitlines()
    packages = next(commands.parent.glob("lib/python*/site-packages"))
    places = subprocess.run(
        [commands / "python", "-c", "import app, wsgi; print(app.__file__, wsgi.__file__)"],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert places.split() == [str(packages / "app.py"), str(packages / "wsgi.py")]
    assert not list(commands.parent.rglob("*.sqlite3*"))


def test_installed_command_serves(commands: Path, tmp_path: Path) -> None:
    """`barring serve` answers, and shows its page with all the files that it names."""
    command = [str(commands / "barring"), "serve"]
    with running(tmp_path, command=command) as service, service.client() as client:
        assert client.post(codes_path(), json={"code": "4711"}).status_code == 201
        assert client.get(f"{codes_path()}4711/").json() == {"code": "4711", "description": ""}
        for file in re.findall(r'(?:src|href)="(/[^"]+)"', client.get("/docs/").text):
            assert client.get(file).status_code == 200
    assert service.process.returncode == 0
