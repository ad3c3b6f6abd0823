"""Room on disks, asked for before it is used: what would stop half-way does not begin.

Nothing is reserved, so a disk may still fill up meanwhile; then `writing` says so in the same words.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from node.packing.errors import FullError, PackingError

MARGIN = 64 << 20
"""Bytes left over for everybody else on the disk, the node's own records among them."""
_FULL = (errno.ENOSPC, errno.EDQUOT)


def check_room(*needs: tuple[Path, int]) -> None:
    """For each folder, existing or not yet, the bytes that will be written there; they may share disks.

    Raises `FullError`, `PackingError` for a folder that cannot be looked at.
    """
    disks: dict[int, tuple[Path, int]] = {}
    for folder, size in needs:
        with writing(folder):
            there = _nearest(folder)
            disk = there.stat().st_dev
        first, total = disks.get(disk, (there, 0))
        disks[disk] = (first, total + size)
    for there, size in disks.values():
        with writing(there):
            free = disk_free(there)
        if size and size + MARGIN > free:
            raise FullError(f"{_size(size + MARGIN)} are needed on the disk of {there}, and {_size(free)} are free")


def disk_free(folder: Path) -> int:
    """Bytes that the disk of a folder can still take from this user."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """What the system refuses, as a `PackingError`."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise FullError(f"the disk of {folder} is full ({error.strerror})") from None
        raise PackingError(f"cannot write {error.filename or folder} ({error.strerror})") from None


def _nearest(folder: Path) -> Path:
    """The folder itself, or the first one above it that there is."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def _size(count: int) -> str:
    """Rounded up to a tenth, in units that keep the number short."""
    for power, unit in ((30, "GiB"), (20, "MiB")):
        if count >= 1 << power:
            tenths = -(-count * 10 >> power)
            return f"{tenths // 10}.{tenths % 10} {unit}"
    return f"{-(-count >> 10)} KiB"
