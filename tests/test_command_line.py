"""The command line: the server's options, help, and how errors are told."""

import json
import signal
import socket
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from barring import __version__
from barring.cli import main
from barring.domain import AuthorizationCode as Code
from barring.settings import Settings
from barring.storage.sqlite.engine import SQLiteStorage
from tests.command import BARRING, failure, succeed
from tests.service import ROOT, codes_path, environment, running
from tests.storage_contract import OWNER

ANNA = ("acme", "sales", "anna")
SECRET = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize("stream", ["<&-", ">&-", "2>&-"])
def test_closed_stream_is_refused(tmp_path: Path, stream: str) -> None:
    """Without a standard stream nothing is done: a database could be opened in its place."""
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {stream}', "sh", *BARRING, "add", *ANNA, "4711"],
        cwd=ROOT,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    line = "barring: a standard stream is closed; redirect it to /dev/null\n"
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == ("" if stream == "2>&-" else line)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["taken", "unix:/nowhere/socket"])
def test_address_that_cannot_be_had_is_told(tmp_path: Path, place: str) -> None:
    """Where another listens already, or no socket can be made, one line says so and what to set."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        bind = f"127.0.0.1:{other.getsockname()[1]}" if place == "taken" else place
        events = ("database_created", "Starting gunicorn")
        message = failure(tmp_path, "serve", events=events, BARRING_BIND=bind)
    assert message.startswith(f"barring: BARRING_BIND: {bind}: ")
    assert message.endswith("; set another address")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["lost"], 2, "No such command 'lost'."),
        (["--lost"], 2, "No such option '--lost'. (see --help)"),
        (["list", "acme"], 2, "Missing argument 'GROUP'."),
        (["list", *ANNA, "more\nlines"], 2, "unexpected extra argument (more lines)"),
        (["remove", *ANNA], 2, "Missing argument 'CODES...'."),
        (["import", "nowhere"], 2, "'nowhere': No such file or directory"),
        (["import", "/"], 2, "'/': Is a directory"),
        (["list", "\udcff", "b", "c"], 1, "encoding"),
        (["show", *ANNA, "\udcff"], 1, "encoding"),
        (["add", *ANNA, "12", "\udcff"], 1, "encoding"),
    ],
)
def test_errors_are_one_line(
    tmp_path: Path, arguments: list[str], status: int, message: str
) -> None:
    """A mistake in a command is one line on standard error that says what it was."""
    succeed(tmp_path, "add", *ANNA, "01")
    assert message in failure(tmp_path, *arguments, status=status)


@pytest.mark.parametrize(
    ("variable", "value"),
    [("WORKERS", "many"), ("DATABASE_URL", "mysql://x"), ("CODE_PATTERN", "["), ("AUTH", "none")],
)
def test_wrong_setting_is_named(tmp_path: Path, variable: str, value: str) -> None:
    """Every command says which variable of the environment is wrong, in one line."""
    for command in (["check-config"], ["serve"], ["list", *ANNA]):
        setting: dict[str, Any] = {f"BARRING_{variable}": value}
        assert f"BARRING_{variable}: " in failure(tmp_path, *command, **setting)


def test_interrupted_command_says_so(tmp_path: Path) -> None:
    """Ctrl-C ends a command in one line, and leaves nothing half done."""
    with subprocess.Popen(
        [*BARRING, "import", "-"],
        cwd=ROOT,
        env=environment(tmp_path),
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(b"tenant,group,user,code\na,b,c,01\n" * 10_000)
        process.stdin.flush()
        process.stderr.readline()  # The database is created.
        process.send_signal(signal.SIGINT)
        assert process.stderr.read().strip() == b"barring: interrupted"
        assert process.wait(timeout=20) == 1
    assert SQLiteStorage(str(tmp_path / "codes.sqlite3")).count() == 0


@pytest.mark.parametrize("arguments", [["--version"], ["serve"]])
def test_interrupted_import_prints_nothing(tmp_path: Path, arguments: list[str]) -> None:
    """Ctrl-C while Python still imports a command's modules ends it without a traceback."""
    slow = "import signal\nprint('importing', flush=True)\nsignal.pause()\n"
    (tmp_path / "orjson.py").write_text(slow)
    with subprocess.Popen(
        [*BARRING, *arguments],
        cwd=ROOT,
        env=environment(tmp_path, PYTHONPATH=str(tmp_path)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"importing\n"
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == b""
        assert process.wait(timeout=20) == -signal.SIGINT


@pytest.mark.parametrize("command", sorted(main.commands))
def test_every_command_explains_itself(tmp_path: Path, command: str) -> None:
    """Each command says in --help what it does, and shows it."""
    text = succeed(tmp_path, command, "--help")
    assert text.startswith(f"Usage: barring {command} ")
    _, _, examples = text.partition("Example")
    assert f"barring {command}" in examples.partition("Options:")[0]
    assert succeed(tmp_path, command, "-h") == text


def test_barring_explains_itself(tmp_path: Path) -> None:
    """Without arguments barring lists its commands; --version tells the one version."""
    text = succeed(tmp_path)
    assert text == succeed(tmp_path, "--help")
    assert all(f"\n  {name} " in text for name in main.commands)
    assert succeed(tmp_path, "--version") == f"barring, version {__version__}\n"


def test_check_config_masks_secrets(tmp_path: Path) -> None:
    """The settings in force are shown, the defaults among them; a secret is only said to be set."""
    gateway = {"BARRING_AUTH": "gateway", "BARRING_GATEWAY_SECRET": SECRET}
    text = succeed(tmp_path, "check-config", BARRING_WORKERS="4", **gateway)
    shown = {name: value for name, *value in map(str.split, text.splitlines())}
    assert list(shown) == [f"BARRING_{field.name.upper()}" for field in fields(Settings)]
    assert (shown["BARRING_WORKERS"], shown["BARRING_METRICS"]) == (["4"], ["False"])
    assert shown["BARRING_GATEWAY_SECRET"] == ["(set)"]
    assert SECRET not in text
    values = json.loads(succeed(tmp_path, "check-config", "--json", **gateway))
    assert values["BARRING_GATEWAY_SECRET"] == "(set)"
    assert values["BARRING_WORKERS"] == 2
    values = json.loads(succeed(tmp_path, "check-config", "--json"))
    assert values["BARRING_GATEWAY_SECRET"] == ""


def test_check_config_asks_the_mode(tmp_path: Path) -> None:
    """A mode that lacks its secret or key is told before the service is started."""
    assert "BARRING_GATEWAY_SECRET" in failure(tmp_path, "check-config", BARRING_AUTH="gateway")
    assert "BARRING_JWT_" in failure(tmp_path, "check-config", BARRING_AUTH="jwt")
    short: dict[str, Any] = {"BARRING_AUTH": "gateway", "BARRING_GATEWAY_SECRET": "hunter2"}
    assert "hunter2" not in failure(tmp_path, "check-config", **short)


def test_check_config_checks_the_certificate(tmp_path: Path) -> None:
    """A certificate that cannot be used is named before the service is started."""
    assert "BARRING_TLS_CERT_FILE" in failure(
        tmp_path, "check-config", BARRING_TLS_CERT_FILE=str(tmp_path / "nowhere")
    )


def test_serve_options_go_before_the_environment(tmp_path: Path) -> None:
    """Each option of `serve` overrides its variable, also after a reload; the others stay."""
    options = ["--bind", "127.0.0.1:0", "--workers", "1", "--code-pattern", "[0-9]+"]
    settings = {
        "BARRING_BIND": "nonsense",
        "BARRING_WORKERS": "3",
        "BARRING_MAX_BODY_BYTES": "1024",
    }
    command = [*BARRING, "serve", *options]
    settings["PYTHONPATH"] = str(ROOT)  # A command is started away from the checkout.
    with running(tmp_path, command=command, **settings) as service, service.client() as client:
        assert client.post(codes_path(), json={"code": "ab"}).status_code == 400
        assert client.post(codes_path(), json={"code": "12"}).status_code == 201
        assert client.post(codes_path(), json={"code": "3" * 2000}).status_code == 413
        service.process.send_signal(signal.SIGHUP)
        service.await_log("Worker exiting")
        workers = [line for line in service.log() if "Booting worker" in line.get("message", "")]
        assert len(workers) == 2  # One before the reload and one after it.
        with service.client() as another:
            assert another.post(codes_path(), json={"code": "ab"}).status_code == 400
    assert SQLiteStorage(str(service.database)).list(
        OWNER._replace(tenant="footenant", group="foogroup", user="foouser")
    ) == [Code("12", "")]


def test_serve_mirrors_every_setting(tmp_path: Path) -> None:
    """Each setting but the secrets, which others could read, is an option with its help."""
    text = " ".join(succeed(tmp_path, "serve", "--help").split())
    for field in fields(Settings):
        option = f"--{field.name.replace('_', '-')} VALUE {field.metadata['help']}. [BARRING_"
        assert (option in text) is not field.metadata["secret"], option
    assert "[BARRING_WORKERS; default: 2]" in text
    assert "[BARRING_JWT_ISSUER; default: none]" in text
    assert "BARRING_WORKERS: " in failure(tmp_path, "serve", "--workers", "0")
    assert "secret" in failure(tmp_path, "serve", "--auth", "gateway")


@pytest.mark.parametrize("command", ["list acme sales anna", "check", "import -", "--version"])
def test_commands_import_no_server(tmp_path: Path, command: str) -> None:
    """A command on the database imports neither the web framework nor the server."""
    assert imported(tmp_path, command) & {"flask", "gunicorn", "gevent"} == set()


def test_check_config_imports_no_server(tmp_path: Path) -> None:
    """`check-config` creates the mode, which imports Flask, and no server."""
    assert imported(tmp_path, "check-config --json") & {"gunicorn", "gevent"} == set()


def imported(folder: Path, command: str) -> set[str]:
    """The modules that a command imports."""
    script = (
        "import atexit, sys\n"
        "atexit.register(lambda: print(*sys.modules))\n"
        "from barring.__main__ import run\n"
        "run()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *command.split()],
        cwd=ROOT,
        env=environment(folder),
        input="",
        capture_output=True,
        text=True,
        check=False,
    )
    modules = set(done.stdout.splitlines()[-1].split())
    assert "barring.cli.common" in modules, done.stderr
    return modules
