"""The volumes port: folders of the user's disks that hold shards for others.

Theory. A volume is self-describing. Each shard lies beside a record of what was promised for it, written before its
first byte, so that what a volume holds and what room is spoken for can be read off the disk alone: after a crash, after
a database was restored, on another machine. A marker file with the volume's id tells a volume from the empty folder
that an unplugged disk leaves behind; nothing is ever written into the latter.

Room is the smaller of what the quota leaves and what the disk leaves beyond a guard that is never used. Both count
shards that are promised and not here yet.

A volume that cannot be trusted takes no new shards, and says why: `READ_ONLY`, `MISSING` (no marker where it was),
`SICK` (a read or write failed). Shards that can be read are still served from the first, and from one that is drained.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol


class VolumeError(Exception):
    """A fault on this machine; nothing was changed. `str()` is one line, `hint` what the user can do."""

    hint = "bttnode host volumes shows all volumes and their state"


class BadVolumeError(VolumeError):
    """The folder cannot become a volume, or its settings make no sense."""

    hint = "choose an existing folder that bttnode may write to, and a quota that fits its disk"


class UnknownVolumeError(VolumeError):
    """No volume has this id."""


class UnknownShardError(VolumeError):
    """No volume holds a shard with this root."""

    hint = "the shard was never taken or has been removed"


class NoRoomError(VolumeError):
    """No volume has room for so many bytes."""

    hint = "add a volume or raise a quota: bttnode host volume --help"


class VolumeBusyError(VolumeError):
    """It still holds shards."""

    hint = "drain it first; its shards leave as their contracts end or move"


class VolumeFaultError(VolumeError):
    """The disk failed. The volume is marked and takes no more shards."""

    hint = "check the disk and its mount, then: bttnode host volume check"


class VolumeState(StrEnum):
    """Whether a volume takes shards, and if not, why."""

    ONLINE = "online"
    READ_ONLY = "read-only"
    DRAINING = "draining"
    MISSING = "missing"
    SICK = "sick"


READABLE = frozenset({VolumeState.ONLINE, VolumeState.READ_ONLY, VolumeState.DRAINING})
"""States in which shards are served."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeInfo:
    """A snapshot; sizes in bytes.

    `used`: of shards that are whole, with their trees. `reserved`: promised to shards that are not. `on_disk`: what the
    disk could still take; `unwritten`: the part of `reserved` that it has not taken yet. `guard`: never used.
    """

    id: str
    path: Path
    quota: int
    used: int
    reserved: int
    unwritten: int
    on_disk: int
    guard: int
    shards: int
    state: VolumeState
    reason: str = ""

    @property
    def room(self) -> int:
        """What new shards may take."""
        if self.state is not VolumeState.ONLINE:
            return 0
        return max(0, min(self.quota - self.used - self.reserved, self.on_disk - self.unwritten - self.guard))


def choose(volumes: Iterable[VolumeInfo], need: int) -> VolumeInfo | None:
    """The volume for a shard of `need` bytes: of those with room, the one with the most, so that disks fill evenly."""
    fitting = [volume for volume in volumes if volume.room >= need]
    return max(fitting, key=lambda volume: (volume.room, volume.id), default=None)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a shard lies: `folder / name` is the file, `tree` its hash tree."""

    volume: str
    folder: Path
    name: str
    length: int
    whole: bool

    @property
    def shard(self) -> Path:
        return self.folder / self.name

    @property
    def tree(self) -> Path:
        return self.folder / f"{self.name}.tree"


class Volumes(Protocol):
    """All volumes of a host. Roots are 32 bytes. Calls that change something return when the change is durable."""

    async def volumes(self) -> Sequence[VolumeInfo]:
        """All volumes as they are now: each is looked at, also whether it can be written to."""

    async def add(self, path: Path, quota: int) -> VolumeInfo:
        """Make a folder a volume, or take one back that was removed. Raises `BadVolumeError`."""

    async def resize(self, volume: str, quota: int) -> VolumeInfo:
        """A smaller quota than what is used takes no shard away; nothing new comes until it fits."""

    async def drain(self, volume: str, *, on: bool = True) -> VolumeInfo:
        """Take nothing new; or (`on` False) take shards again."""

    async def trust(self, volume: str) -> VolumeInfo:
        """The user has seen to a sick volume: take it at its word again."""

    async def distrust(self, root: bytes, reason: str) -> None:
        """The volume of this shard gave back wrong data: it is sick until the user says otherwise."""

    async def remove(self, volume: str) -> None:
        """Forget an empty volume; the folder stays, without our files. Raises `VolumeBusyError`."""

    async def reserve(self, root: bytes, length: int) -> Place:
        """Room for a shard and its tree, kept until `complete` or `discard`; the same again for a root that has some.

        Raises `NoRoomError`.
        """

    async def complete(self, root: bytes) -> Place:
        """The shard and its tree are whole and durable now. Raises `VolumeFaultError` unless both are on the disk."""

    async def discard(self, root: bytes) -> None:
        """Delete a shard with all that belongs to it; nothing happens where there is none."""

    async def place(self, root: bytes) -> Place:
        """Raises `UnknownShardError`, or `VolumeFaultError` where its volume cannot be read."""

    async def shards(self) -> Sequence[tuple[bytes, Place]]:
        """All of them, those of missing volumes left out."""

    async def read(self, root: bytes, ranges: Sequence[tuple[int, int]], *, tree: bool = False) -> Sequence[bytes]:
        """(offset, length) ranges of a shard or its tree, each in full or `VolumeFaultError`."""

    async def write_tree(self, root: bytes, tree: bytes | Path) -> None:
        """Put the tree beside its shard: bytes, or a file on the same disk that is moved there."""
