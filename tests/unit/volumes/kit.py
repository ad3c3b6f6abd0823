"""Volumes for tests: small guards, disks that say how full they are."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from node.ports.volumes import Place
from node.volumes import DiskVolumes

MIB = 1 << 20
_numbers = itertools.count()


def plenty(_: Path) -> int:
    """What is free on the real disk changes while a test looks at it."""
    return 1 << 40


def open_volumes(
    home: Path, *, free: Callable[[Path], int] = plenty, guard: int = 0, deadline: float = 30.0
) -> DiskVolumes:
    return DiskVolumes(
        home / "volumes.json", new_id=lambda: f"v{next(_numbers)}", guard=guard, free=free, deadline=deadline
    )


def root_of(number: int) -> bytes:
    return hashlib.sha256(number.to_bytes(8)).digest()


async def fill(volumes: DiskVolumes, place: Place) -> None:
    """The shard arrives whole."""
    place.shard.write_bytes(hashlib.shake_128(place.name.encode()).digest(place.length))
    await volumes.write_tree(bytes.fromhex(place.name), b"tree")
    await volumes.complete(bytes.fromhex(place.name))


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@contextmanager
def refusing(disk: Path, code: int) -> Iterator[None]:
    """The disk takes no change: every write and deletion fails with this `errno`. Reading goes on."""
    unlink = Path.unlink

    def refuse(path: Path, *_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code), str(path))

    def unlink_elsewhere(path: Path, missing_ok: bool = False) -> None:
        if path.is_relative_to(disk):
            refuse(path)
        unlink(path, missing_ok)

    with patch("node.volumes.volume.write_whole", refuse), patch.object(Path, "unlink", unlink_elsewhere):
        yield


def unplug(disk: Path) -> None:
    """What is left of a disk that is gone is its mount point."""
    disk.rename(disk.with_name("away"))
    disk.mkdir()


def plug_in(disk: Path) -> None:
    disk.rmdir()
    disk.with_name("away").rename(disk)
