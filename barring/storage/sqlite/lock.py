"""The lock that lets one process at a time write to a database."""

import fcntl
import os
from pathlib import Path

from barring.files import adopt
from barring.storage.base import StorageUnavailable

_WRITING, _NEXT = 0, 1
"""The byte of the file that the writing process locks, and the byte that the next one locks."""


class ProcessLock:
    """A lock on a file. The kernel releases it when the process ends, even by a crash."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None

    def acquire(self) -> None:
        """Wait in the kernel for the lock.

        A process waits for _NEXT first, so that no process overtakes another one.
        Raises StorageUnavailable if the file cannot be opened or locked.
        """
        try:
            if self._file is None:
                self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
                if os.fstat(self._file).st_uid == os.geteuid():
                    adopt(self._file, self.path.parent)
            for byte in (_NEXT, _WRITING):
                fcntl.lockf(self._file, fcntl.LOCK_EX, 1, byte)
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _NEXT)
        except OSError as error:
            raise StorageUnavailable(f"{self.path}: {error.strerror}") from error

    def release(self) -> None:
        """Let the next process write, if this one holds the lock."""
        if self._file is not None:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _WRITING)
