"""Atomic writes of files that only their owner may read."""

import errno
import glob
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A new file with mode 0600, which is synced and replaces `target` at the end.

    If `target` is a link, the file that it points to is replaced. Raises OSError for a directory or
    a device.
    """
    target = target.resolve()
    if target.exists() and not target.is_file():
        raise OSError(errno.EINVAL, "is not a regular file", str(target))
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target)) from None
    partial = Path(name)
    try:
        yield partial
        os.fsync(descriptor)
        partial.replace(target)
        sync_directory(target.parent)
    finally:
        os.close(descriptor)
        for leftover in target.parent.glob(f"{glob.escape(partial.name)}*"):
            leftover.unlink()


@contextmanager
def directory(path: Path) -> Iterator[int]:
    """An open descriptor of a directory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def sync_directory(path: Path) -> None:
    """Sync a directory, so that its entries survive a power failure."""
    with directory(path) as descriptor:
        os.fsync(descriptor)
