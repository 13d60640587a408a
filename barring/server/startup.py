"""What happens before the server listens."""

import errno
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from gunicorn import systemd

from barring import logs

RETRY_SECONDS = 5
"""How long the workers of a killed server may still hold its address.

tests/faults/test_kills.py: test_workers_end_without_their_master.
"""


def before_listening(server: Any) -> None:
    """gunicorn's hook `on_starting`."""
    logs.never_wait()
    if server.master_pid or systemd.listen_fds(unset_environment=False):
        return  # The listening socket is inherited.
    for address in server.cfg.address:
        check_address(address, server.cfg.bind[0])


def check_address(address: tuple[str, int] | str, bind: str) -> None:
    """Exit with one line if the server cannot listen at an address. gunicorn would write a dozen.

    `bind` is the address as the operator wrote it.
    """
    deadline = time.monotonic() + RETRY_SECONDS
    while True:
        try:
            return _try_to_bind(address)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                sys.exit(f"barring: BARRING_BIND: {bind}: {error.strerror}; set another")
        time.sleep(0.2)


def _try_to_bind(address: tuple[str, int] | str) -> None:
    if isinstance(address, str):
        return tempfile.TemporaryFile(dir=Path(address).parent).close()
    with socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        trial.bind(address)
