"""The command line where a COMMIT breaks: nobody can know whether the change happened."""

import resource
import signal
import subprocess
from pathlib import Path

import psycopg
import pytest

from tests.command import BARRING, failure, succeed
from tests.service import ROOT, environment
from tests.waiting import await_that

ANNA = ("acme", "sales", "anna")
UNKNOWN = "; the change may or may not have happened; check before you retry"
FILE = "tenant,group,user,code\nacme,sales,anna,*02*\n"
SLEEPING = """
    SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND query = 'COMMIT' AND wait_event = 'PgSleep'"""


def at_commit(url: str, action: str) -> None:
    """Let the server do this in each COMMIT of a change to the codes."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN PERFORM {action}; RETURN NULL; END $$"
        )
        connection.execute(
            "CREATE CONSTRAINT TRIGGER act AFTER INSERT OR UPDATE OR DELETE ON authorization_codes"
            " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION act()"
        )


@pytest.mark.parametrize(
    "command",
    [
        ["add", *ANNA, "*02*"],
        ["describe", *ANNA, "01", "--description", "new"],
        ["remove", *ANNA, "01"],
        ["import", "-"],
    ],
)
def test_server_that_ends_in_a_commit_leaves_doubt(
    tmp_path: Path, postgres: str, command: list[str]
) -> None:
    """Where PostgreSQL ends the session in a COMMIT, one line says what to do."""
    succeed(tmp_path, "add", *ANNA, "01", BARRING_DATABASE_URL=postgres)
    at_commit(postgres, "pg_terminate_backend(pg_backend_pid())")
    line = failure(tmp_path, *command, stdin=FILE, BARRING_DATABASE_URL=postgres)
    assert line.endswith(UNKNOWN)
    assert "*02*" not in line


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", [["add", *ANNA, "*02*"], ["import", "-"]])
def test_command_that_is_interrupted_in_a_commit_leaves_doubt(
    tmp_path: Path, postgres: str, command: list[str], sent: signal.Signals
) -> None:
    """Ctrl-C and SIGTERM in a COMMIT end a command as a broken COMMIT does."""
    succeed(tmp_path, "add", *ANNA, "01", BARRING_DATABASE_URL=postgres)
    at_commit(postgres, "pg_sleep(4)")
    with (
        subprocess.Popen(
            [*BARRING, *command],
            cwd=ROOT,
            env=environment(tmp_path, BARRING_DATABASE_URL=postgres),
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
        psycopg.connect(postgres, autocommit=True) as connection,
    ):
        assert process.stdin
        process.stdin.write(FILE)
        process.stdin.close()
        await_that(lambda: connection.execute(SLEEPING).rowcount == 1)
        process.send_signal(sent)
        assert process.stderr
        line = process.stderr.read()
        assert process.wait(timeout=20) == 1
    assert line.startswith("barring: ")
    assert line.endswith(f"{UNKNOWN}\n")
    assert line.count("\n") == 1


def test_file_that_cannot_grow_in_a_commit_leaves_doubt(tmp_path: Path) -> None:
    """Where SQLite cannot write what it commits, one line says what to do."""
    codes = [f"{number:04}" for number in range(1500)]
    rows = "".join(f"acme,sales,anna,{code}\n" for code in codes)
    succeed(tmp_path, "import", "-", stdin=f"tenant,group,user,code\n{rows}")
    done = subprocess.run(
        [*BARRING, "remove", *ANNA, *codes],
        cwd=ROOT,
        env=environment(tmp_path),
        # More than SQLite's index of its log needs, and less than this change.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith(f"{UNKNOWN}\n")
    assert done.stderr.count("\n") == 1
