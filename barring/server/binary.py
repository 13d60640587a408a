"""Support for the single binary: its server is a child of the launcher that unpacked it."""

import ctypes
import fcntl
import os
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1


def lock_unpacked_files() -> None:
    """Lock the folder of the unpacked files, so that programs that clean /tmp do not remove it.

    tests/test_binary.py: test_stopped_binary_cleans_up.
    """
    fcntl.flock(os.open(Path(__file__).parents[2], os.O_RDONLY), fcntl.LOCK_SH)


def stop_with_launcher() -> None:
    """Have Linux stop this process when its launcher is killed. It would keep the port otherwise.

    tests/test_binary.py: test_launcher_killed_at_any_time_leaves_nobody.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    try:
        alive = Path(f"/proc/{os.getppid()}/exe").samefile(sys.executable)
    except OSError:
        alive = not Path("/proc/self").exists()  # Without /proc there is no way to know.
    if not alive:
        raise SystemExit("barring: the launcher was killed")
