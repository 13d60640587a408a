"""Atomic writes of files that only their owner may read."""

import errno
import glob
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(target: Path, *, adopted: bool = False) -> Iterator[Path]:
    """A new file with mode 0600, which is synced and replaces `target` at the end.

    With `adopted`, `adopt` is called for it. If `target` is a link, the file that it points to is
    replaced. Raises OSError for a directory or a device.
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
        if adopted:
            adopt(descriptor, target.parent)
        yield partial
        os.fsync(descriptor)
        partial.replace(target)
        sync_directory(target.parent)
    finally:
        os.close(descriptor)
        for leftover in target.parent.glob(f"{glob.escape(partial.name)}*"):
            leftover.unlink()


def adopt(descriptor: int, folder: Path) -> None:
    """Let only its owner use an open file. As root, give it to the owner of its folder.

    Otherwise the service could not write what a command of root has created. If a group may write
    in the folder, the file is for that group, too.
    """
    status = folder.stat()
    with suppress(OSError):  # Such as of a user, or in a container, without the right.
        os.fchmod(descriptor, 0o660 if os.geteuid() == 0 and status.st_mode & 0o020 else 0o600)
        os.fchown(descriptor, status.st_uid, status.st_gid)


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
