"""The settings: listed once, read from the environment, checked at startup, documented."""

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from barring.settings import Settings, SettingsError, variable
from tests.service import ROOT, environment, running

DEFAULTS = {variable(field.name): str(field.default) for field in fields(Settings)} | {
    "BARRING_METRICS": "false",
    "BARRING_DATABASE_URL": "sqlite:///data/barring.sqlite3",
}
"""The default of each variable, as the documentation shows it."""


def test_defaults_are_sensible() -> None:
    """Without any variable the service listens on loopback and keeps its data beside itself."""
    settings = Settings.from_environment({})
    assert settings == Settings()
    assert settings.bind == "127.0.0.1:8000"
    assert settings.database_url == f"sqlite:///{ROOT / 'data' / 'barring.sqlite3'}"
    assert settings.max_body_bytes == 16 * 1024 * 1024


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BARRING_BIND", "0.0.0.0:80"),
        ("BARRING_BIND", "[::1]:8000"),
        ("BARRING_BIND", "unix:/run/barring.sock"),
        ("BARRING_WORKERS", "4"),
        ("BARRING_MAX_BODY_BYTES", "2048"),
        ("BARRING_CODE_PATTERN", "[0-9]+"),
        ("BARRING_DATABASE_URL", "sqlite:///x.sqlite3"),
    ],
)
def test_variable_sets_its_field(name: str, value: str) -> None:
    """Each variable sets the field of its name."""
    settings = Settings.from_environment({name: value, "PATH": "/bin", "BARRING_OTHER": "x"})
    field = name.removeprefix("BARRING_").lower()
    assert str(getattr(settings, field)) == value


WRONG = [
    ("BARRING_BIND", "8000"),
    ("BARRING_BIND", "localhost:"),
    ("BARRING_BIND", "localhost:99999"),
    ("BARRING_BIND", "unix:"),
    ("BARRING_BIND", "::1:8000"),
    ("BARRING_BIND", "[::1]"),
    ("BARRING_URL_PREFIX", "barring"),
    ("BARRING_URL_PREFIX", "/barring/"),
    ("BARRING_URL_PREFIX", "/"),
    ("BARRING_URL_PREFIX", "/a//b"),
    ("BARRING_URL_PREFIX", "/../b"),
    ("BARRING_URL_PREFIX", "/a b"),
    ("BARRING_URL_PREFIX", "/docs/x"),
    ("BARRING_DATABASE_URL", "sqlite:///x?mode=ro"),
    ("BARRING_CODE_PATTERN", ""),
    ("BARRING_WORKERS", "0"),
    ("BARRING_WORKERS", "two"),
    ("BARRING_WORKERS", ""),
    ("BARRING_MAX_BODY_BYTES", "10"),
    ("BARRING_AUTH", "none"),
    ("BARRING_DATABASE_URL", "mysql://x/y"),
    ("BARRING_DATABASE_URL", "sqlite://"),
    ("BARRING_CODE_PATTERN", "["),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_wrong_value_is_refused_by_name(name: str, value: str) -> None:
    """A wrong value raises an error of one line that names its variable."""
    with pytest.raises(SettingsError, match=name) as caught:
        Settings.from_environment({name: value})
    assert "\n" not in str(caught.value)


def failed_start(folder: Path, **settings: str) -> str:
    """What the server says on standard error when it must not start."""
    done = subprocess.run(
        [sys.executable, "-m", "gunicorn", "wsgi:app"],
        cwd=ROOT,
        env=environment(folder, **settings),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode != 0
    return done.stderr


@pytest.mark.parametrize(("name", "value"), [("BARRING_WORKERS", "0"), WRONG[-1]])
def test_wrong_value_stops_the_server_with_one_line(tmp_path: Path, name: str, value: str) -> None:
    """The server does not start, and standard error is one line that names the variable."""
    assert re.fullmatch(rf"barring: {name}: .+\n", failed_start(tmp_path, **{name: value}))


def test_unusable_database_stops_the_server_with_one_line(tmp_path: Path) -> None:
    """The server does not start on a file that is no database, and leaves it as it is."""
    file = tmp_path / "codes.sqlite3"
    file.write_bytes(b"not a database" * 100)
    assert re.fullmatch(r"barring: .*codes\.sqlite3: .+\n", failed_start(tmp_path))
    assert file.read_bytes() == b"not a database" * 100


def test_every_setting_is_documented() -> None:
    """The table of settings names every variable with its default and its help, and no other."""
    page = (ROOT / "docs" / "settings.md").read_text()
    rows = re.findall(r"^\| `(BARRING_\w+)` \| (?:`([^|`]+)`|none) \| (.+) \|$", page, re.M)
    assert [(name, default) for name, default, _ in rows] == list(DEFAULTS.items())
    for field, (_, _, text) in zip(fields(Settings), rows, strict=True):
        assert text.replace("`", "").startswith(field.metadata["help"])


def test_secrets_are_masked_wherever_settings_are_shown() -> None:
    """A setting marked as secret is shown nowhere, and one that is called a secret is marked."""
    secret = {field.name for field in fields(Settings) if field.metadata["secret"]}
    assert secret
    for field in fields(Settings):
        if re.search("secret|password|token", field.name) and not field.name.endswith("_file"):
            assert field.name in secret, field.name
    settings = Settings(**dict.fromkeys(secret, "c4n4ry"))  # type: ignore[arg-type]
    assert {settings.shown()[variable(name)] for name in secret} == {"(set)"}
    assert "c4n4ry" not in f"{settings.shown()} {settings}"


def test_options_override_variables() -> None:
    """An option that is given replaces its variable, a wrong one too; the others stay in force."""
    environ = {"BARRING_WORKERS": "none", "BARRING_BIND": "[::1]:80", "BARRING_METRICS": "true"}
    options = {"workers": "4", "bind": "unix:x", "metrics": None}
    settings = Settings.from_environment(environ, options)
    assert settings == Settings(workers=4, bind="unix:x", metrics=True)
    with pytest.raises(SettingsError, match="BARRING_WORKERS: "):
        Settings.from_environment({}, {"workers": "0"})


def test_unknown_setting_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    """A misspelt variable changes nothing, and the log says so."""
    assert Settings.from_environment({"BARRING_AUTHZ": "gateway"}) == Settings()
    assert "BARRING_AUTHZ: there is no such setting" in capfd.readouterr().err


def test_only_settings_reads_the_environment() -> None:
    """No other module of the service looks at the environment."""
    places = ["*.py", "barring/**/*.py", "schemas/**/*.py"]
    modules = [module for place in places for module in ROOT.glob(place)]
    readers = [m.name for m in modules if re.search(r"os\.environ|getenv", m.read_text())]
    assert readers == ["settings.py"]


def test_removed_setting_is_told_of_once(tmp_path: Path) -> None:
    """For a setting that was removed, one line of the log says that it is ignored."""
    with running(tmp_path, BARRING_THREADS="8") as service:
        (line,) = service.logged(event="warning")
    assert line["message"] == "BARRING_THREADS: there is no such setting; it is ignored"
