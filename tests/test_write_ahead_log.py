"""SQLite's write-ahead log while another process reads for long."""

import re
import subprocess
from contextlib import closing
from pathlib import Path

import httpx
import pysqlite3
import pytest

from barring.storage.sqlite.file import SMALL
from tests.command import BARRING
from tests.service import ROOT, codes_path, environment, running
from tests.test_health import metrics

LOWERED = """
from barring.storage.sqlite import file

file.LONG_LOG = 20 * 1024 * 1024
from wsgi import app
"""
"""The service, which reports a log of 20 MiB."""


def write_list(client: httpx.Client, number: int) -> None:
    """Create 10,000 codes with long descriptions for an owner: about 1 MB."""
    codes = [{"code": f"{code:05}", "description": "x" * 80} for code in range(10_000)]
    answer = client.post(codes_path(user=f"user{number}"), json={"authCodes": codes})
    assert answer.status_code == 201


def begin_read(reader: pysqlite3.Connection) -> None:
    """Begin a transaction that reads."""
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM lockouts").fetchone()


@pytest.mark.long
def test_paused_export_is_reported_and_its_log_is_shortened(tmp_path: Path) -> None:
    """The metric shows the size, one line names the reader, and once it ends the log shrinks."""
    (tmp_path / "lowered.py").write_text(LOWERED)
    options = ("--pythonpath", str(tmp_path))
    settings = {"BARRING_METRICS": "true", "BARRING_WORKERS": "2"}
    with running(tmp_path, *options, application="lowered:app", **settings) as service:
        log = Path(f"{service.database}-wal")
        reader = pysqlite3.connect(service.database, isolation_level=None)
        with closing(reader), service.client() as client:
            write_list(client, 0)
            begin_read(reader)
            write_list(client, 1)
            export = subprocess.Popen(
                [*BARRING, "export"], cwd=ROOT, env=environment(tmp_path), stdout=subprocess.PIPE
            )
            assert export.stdout
            assert export.stdout.read(1)
            # A later read, which SQLite enters before that of the export.
            reader.execute("ROLLBACK")
            write_list(client, 2)
            begin_read(reader)
            for number in range(3, 30):
                with service.client() as another:
                    write_list(another, number)
                if log.stat().st_size < 19 << 20:
                    assert not service.logged(event="warning")
            assert metrics(service)[("barring_wal_bytes",)] == log.stat().st_size > 20 << 20
            (warning,) = service.logged(event="warning")
            assert re.search(rf"{log}: grows until process {export.pid} ", warning["message"])
            reader.execute("ROLLBACK")
            export.communicate()
            for number in range(2):
                client.post(codes_path(user="last"), json={"code": f"0{number}"})
            assert log.stat().st_size <= SMALL
            assert metrics(service)[("barring_wal_bytes",)] == log.stat().st_size
        assert len(service.logged(event="warning")) == 1


def test_big_write_alone_is_not_reported(tmp_path: Path) -> None:
    """A log that is long because of one write, and not of a read, is not reported."""
    (tmp_path / "lowered.py").write_text(LOWERED.replace("20 *", ""))
    options = ("--pythonpath", str(tmp_path))
    with running(tmp_path, *options, application="lowered:app") as service:
        with service.client() as client:
            write_list(client, 0)
        assert Path(f"{service.database}-wal").stat().st_size > 1 << 20
        assert not service.logged(event="warning")
