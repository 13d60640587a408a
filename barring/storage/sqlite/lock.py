"""The lock by which the processes that write to one database take turns."""

import fcntl
import os
from pathlib import Path

from barring.storage.base import StorageUnavailable

_NOW, _NEXT = 0, 1
"""The bytes of the file that the writing process locks, and the one after it."""


class ProcessLock:
    """A lock on a file. The kernel frees it when its process ends, however that happens."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None

    def acquire(self) -> None:
        """Wait in the kernel for the lock.

        Who holds _NEXT is the next to get _NOW, so that no process overtakes another that waits.
        Raises StorageUnavailable where the file cannot be opened or locked.
        """
        try:
            if self._file is None:
                self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
            for byte in (_NEXT, _NOW):
                fcntl.lockf(self._file, fcntl.LOCK_EX, 1, byte)
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _NEXT)
        except OSError as error:
            raise StorageUnavailable(f"{self.path}: {error.strerror}") from error

    def release(self) -> None:
        """Let the next process write."""
        if self._file is not None:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _NOW)
