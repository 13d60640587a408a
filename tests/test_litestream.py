"""Continuous streaming with Litestream: the shipped configuration, and a restore from it."""

import subprocess
import time
from pathlib import Path

import pytest

from tests.command import barring
from tests.service import ROOT, codes_path, running
from tests.tools import needs

pytestmark = pytest.mark.long


def restored(litestream: str, config: Path, folder: Path, database: Path) -> Path | None:
    """A database restored from the replica as it is now, or None before there is one."""
    output = folder / f"restored-{time.monotonic_ns()}"
    done = subprocess.run(
        [litestream, "restore", "-config", str(config), "-o", str(output), str(database)],
        capture_output=True,
        check=False,
    )
    return output if done.returncode == 0 else None


def test_streamed_codes_are_restored(tmp_path: Path) -> None:
    """What was acknowledged reaches the replica, and comes back by `barring restore`."""
    litestream = needs("litestream", str(ROOT / ".venv" / "bin" / "litestream"))
    away = tmp_path / "away"
    away.mkdir()
    config = tmp_path / "litestream.yml"
    with running(tmp_path) as service, service.client() as client:
        shipped = (ROOT / "deploy" / "litestream.yml").read_text()
        moved = shipped.replace("/var/lib/barring/barring.sqlite3", str(service.database))
        config.write_text(moved.replace("/var/backups/barring", str(tmp_path / "replica")))
        stream = subprocess.Popen(
            [litestream, "replicate", "-config", str(config)], stdout=subprocess.DEVNULL
        )
        try:
            for number in range(50):
                answer = client.post(codes_path(), json={"code": f"{number:04}"})
                assert answer.status_code == 201
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                found = restored(litestream, config, tmp_path, service.database)
                if found and not barring(away, "restore", "--force", str(found)).returncode:
                    shown = barring(away, "check").stdout
                    if "codes      50\n" in shown:
                        return
                time.sleep(0.3)
        finally:
            stream.terminate()
            stream.wait(timeout=20)
    raise AssertionError("the 50 codes did not come back within 30 seconds")
