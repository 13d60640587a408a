"""Runs the command line, as its users do."""

import subprocess
import sys
from pathlib import Path

from tests.service import ROOT, environment


def barring(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `barring` on the database of the service that `running` starts in `folder`."""
    return subprocess.run(
        [sys.executable, "-m", "barring", *arguments],
        cwd=ROOT,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
