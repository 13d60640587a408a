"""File systems that a test mounts for itself: small ones, read-only ones, ones that lose power.

Mounting takes Linux and root; elsewhere the test is skipped with the reason, or in CI fails.
"""

import fcntl
import os
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.tools import lacking, needs

SHUTDOWN = 0x8004587D
"""FS_IOC_SHUTDOWN, that is _IOR('X', 125, __u32)."""
WITHOUT_FLUSH = 2
"""EXT4_GOING_FLAGS_NOLOGFLUSH: what is not on the disk by now is lost, the journal included."""


@contextmanager
def small(folder: Path, mebibytes: int = 4) -> Iterator[Path]:
    """A file system in memory of this size, at `folder`."""
    folder.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        _unmount(folder)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Make what is in `folder` read-only, to root too."""
    _mount("--bind", str(folder), str(folder))
    try:
        _mount("-o", "remount,ro,bind", str(folder))
        yield
    finally:
        _unmount(folder)


class Disk:
    """An ext4 file system in a file, mounted at `folder`."""

    def __init__(self, folder: Path, mebibytes: int) -> None:
        self.folder = folder
        self.image = folder.with_suffix(".image")
        self.image.touch()
        os.truncate(self.image, mebibytes << 20)
        mkfs = needs("mkfs.ext4", "/usr/sbin/mkfs.ext4", "/sbin/mkfs.ext4")
        subprocess.run([mkfs, "-q", "-F", str(self.image)], check=True)
        folder.mkdir()

    def mount(self) -> None:
        """Mount it. After a power cut ext4 replays its journal, as at a boot."""
        _mount("-o", "loop", str(self.image), str(self.folder))

    def cut_power(self) -> None:
        """Let nothing more reach the disk, and lose what is only in memory."""
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, SHUTDOWN, struct.pack("I", WITHOUT_FLUSH))
        except OSError as error:
            lacking(f"this test needs FS_IOC_SHUTDOWN: {error}")
        finally:
            os.close(descriptor)

    def protect(self) -> None:
        """Make it read-only for those who use it too, as ext4 does after an error."""
        _mount("-o", "remount,abort", str(self.folder))

    def boot(self) -> None:
        """Mount it anew. Its users must have ended."""
        _unmount(self.folder)
        self.mount()


@contextmanager
def disk(folder: Path, mebibytes: int = 32) -> Iterator[Disk]:
    """A new, mounted disk."""
    made = Disk(folder, mebibytes)
    made.mount()
    try:
        yield made
    finally:
        _unmount(folder)
        made.image.unlink()


def _mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True)
    if done.returncode:
        lacking(f"this test needs to mount: {done.stderr.strip() or arguments}")


def _unmount(folder: Path, seconds: float = 10) -> None:
    """Unmount, once its last user has ended; a loop device goes with it."""
    deadline = time.monotonic() + seconds
    while subprocess.run(["umount", str(folder)], capture_output=True).returncode:
        if time.monotonic() > deadline:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
            raise AssertionError(f"{folder} is still in use")
        time.sleep(0.02)
