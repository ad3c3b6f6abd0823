"""All volumes of a host: which there are, and which of them a shard goes to.

The list of folders is a small file of the node's own; everything else is read off the volumes. Each volume has a thread
of its own, so that its calls come one after another, and a hung disk holds up its own shards and nothing else.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from node.ports.volumes import (
    BadVolumeError,
    NoRoomError,
    Place,
    UnknownShardError,
    UnknownVolumeError,
    VolumeBusyError,
    VolumeFaultError,
    VolumeInfo,
    choose,
)
from node.storage.merkle import TreeLayout
from node.volumes.files import read_small, write_whole
from node.volumes.volume import Marker, Volume, disk_free, read_marker

GUARD = 1 << 30
"""Bytes of each disk that shards never take."""
MAX_VOLUMES = 256
MAX_LIST = 1 << 20
DEADLINE = 60.0
"""Seconds a disk may take for one call."""

T = TypeVar("T")


class DiskVolumes:
    """The port `Volumes`. `listing`: the file that names the folders. Raises `BadVolumeError` where it is damaged."""

    def __init__(
        self,
        listing: Path,
        *,
        new_id: Callable[[], str],
        guard: int = GUARD,
        free: Callable[[Path], int] = disk_free,
        deadline: float = DEADLINE,
    ) -> None:
        self._listing = listing
        self._new_id = new_id
        self._guard = guard
        self._free = free
        self._deadline = deadline
        self._volumes: dict[str, Volume] = {}
        self._threads: dict[str, ThreadPoolExecutor] = {}
        self._placing = asyncio.Lock()
        for found in self._load():
            self._take(found)

    # --- the list ----------------------------------------------------------------------------------------------------

    def _load(self) -> list[Volume]:
        try:
            entries = json.loads(read_small(self._listing, MAX_LIST))
            return [
                Volume(
                    Path(entry["path"]),
                    Marker(entry["id"], int(entry["quota"]), bool(entry["draining"])),
                    guard=self._guard,
                    free=self._free,
                )
                for entry in entries[:MAX_VOLUMES]
            ]
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError) as error:
            raise BadVolumeError(f"{self._listing} is damaged ({error}): remove it and add the volumes again") from None

    def _save(self) -> None:
        entries = [
            {
                "path": str(volume.path),
                "id": volume.id,
                "quota": volume.marker.quota,
                "draining": volume.marker.draining,
            }
            for volume in self._volumes.values()
        ]
        write_whole(self._listing, json.dumps(entries, indent=1).encode())

    def _take(self, volume: Volume) -> None:
        self._volumes[volume.id] = volume
        self._threads[volume.id] = ThreadPoolExecutor(1, f"volume {volume.id}")

    def close(self) -> None:
        """Wait for nothing: what is durable is durable."""
        for thread in self._threads.values():
            thread.shutdown(wait=False, cancel_futures=True)

    async def volumes(self) -> Sequence[VolumeInfo]:
        return await asyncio.gather(*map(self._look, list(self._volumes.values())))

    async def add(self, path: Path, quota: int) -> VolumeInfo:
        async with self._placing:
            if len(self._volumes) >= MAX_VOLUMES:
                raise BadVolumeError(f"there are {MAX_VOLUMES} volumes already")
            known = [volume.path for volume in self._volumes.values()]
            volume = await asyncio.to_thread(self._prepare, path, quota, known)
            if volume.id in self._volumes:
                raise BadVolumeError(
                    f"{path} is a copy of {self._volumes[volume.id].path}: both call themselves {volume.id}"
                )
            self._take(volume)
            await asyncio.to_thread(self._save)
        return await self._look(volume)

    def _prepare(self, path: Path, quota: int, known: Sequence[Path]) -> Volume:
        path = path.absolute()
        if quota < 1:
            raise BadVolumeError(f"a quota of {quota} bytes holds nothing")
        if not path.is_dir():
            raise BadVolumeError(f"{path} is not a folder")
        if not os.access(path, os.W_OK):
            raise BadVolumeError(f"{path} may not be written to")
        real = path.resolve()
        for other in known:
            # One disk area, two quotas: the second would promise room that the first has given away.
            if real.is_relative_to(other.resolve()) or other.resolve().is_relative_to(real):
                raise BadVolumeError(f"{path} overlaps the volume {other}")
        marker = read_marker(path)
        if marker is None:
            left = next((entry.name for entry in path.iterdir() if entry.name != "lost+found"), None)
            if left is not None:
                raise BadVolumeError(f"{path} is not empty (it has {left!r}): choose an empty folder")
        marker = Marker(self._new_id() if marker is None else marker.id, quota)
        volume = Volume(path, marker, guard=self._guard, free=self._free)
        try:
            volume.settings(marker)
        except VolumeFaultError as error:
            raise BadVolumeError(str(error)) from None
        return volume

    async def resize(self, volume: str, quota: int) -> VolumeInfo:
        if quota < 0:
            raise BadVolumeError("a quota is not below 0")
        found = self._volume(volume)
        await self._on(found, found.settings, replace(found.marker, quota=quota))
        await asyncio.to_thread(self._save)
        return await self._look(found)

    async def drain(self, volume: str, *, on: bool = True) -> VolumeInfo:
        found = self._volume(volume)
        await self._on(found, found.settings, replace(found.marker, draining=on))
        await asyncio.to_thread(self._save)
        return await self._look(found)

    async def trust(self, volume: str) -> VolumeInfo:
        found = self._volume(volume)
        found.trust()
        return await self._look(found)

    async def distrust(self, root: bytes, reason: str) -> None:
        self._of(root).distrust(reason)

    async def remove(self, volume: str) -> None:
        async with self._placing:
            found = self._volume(volume)
            info = await self._look(found)
            if info.shards:
                raise VolumeBusyError(f"{found.path} holds {info.shards} shards")
            if found.readable:
                await self._on(found, found.erase)
            del self._volumes[volume]
            self._threads.pop(volume).shutdown(wait=False)
            await asyncio.to_thread(self._save)

    # --- shards ------------------------------------------------------------------------------------------------------

    async def reserve(self, root: bytes, length: int) -> Place:
        if len(root) != 32 or length < 1:
            raise ValueError("a shard has a root of 32 bytes and a length")
        async with self._placing:
            found = self._holder(root)
            if found is not None and (place := found.place(root)) is not None:
                if place.length != length:
                    raise VolumeFaultError(f"shard {root.hex()[:12]} has {place.length} bytes, not {length}")
                return place
            infos = await self.volumes()
            need = length + TreeLayout(length).size
            chosen = choose(infos, need)
            if chosen is None:
                most = max((info.room for info in infos), default=0)
                raise NoRoomError(f"no volume has {need} bytes left; the most that one has is {most}")
            volume = self._volumes[chosen.id]
            return await self._on(volume, volume.reserve, root, length)

    async def complete(self, root: bytes) -> Place:
        volume = self._of(root)
        return await self._on(volume, volume.complete, root)

    async def discard(self, root: bytes) -> None:
        volume = self._holder(root)
        if volume is not None:
            await self._on(volume, volume.discard, root)

    async def place(self, root: bytes) -> Place:
        volume = self._of(root)
        place = volume.place(root)
        if place is None or not volume.readable:
            raise VolumeFaultError(f"shard {root.hex()[:12]} cannot be read: {volume.reason}")
        return place

    async def shards(self) -> Sequence[tuple[bytes, Place]]:
        found = [(root, volume.place(root)) for volume in self._volumes.values() for root in volume.roots]
        return [(root, place) for root, place in found if place is not None]

    async def read(self, root: bytes, ranges: Sequence[tuple[int, int]], *, tree: bool = False) -> Sequence[bytes]:
        volume = self._of(root)
        return await self._on(volume, _read(volume, root, tree), ranges)

    async def write_tree(self, root: bytes, tree: bytes | Path) -> None:
        volume = self._of(root)
        await self._on(volume, volume.write_tree, root, tree)

    # --- helpers -----------------------------------------------------------------------------------------------------

    def _volume(self, name: str) -> Volume:
        found = self._volumes.get(name)
        if found is None:
            raise UnknownVolumeError(f"there is no volume {name!r}")
        return found

    def _holder(self, root: bytes) -> Volume | None:
        return next((volume for volume in self._volumes.values() if volume.place(root) is not None), None)

    def _of(self, root: bytes) -> Volume:
        found = self._holder(root)
        if found is None:
            raise UnknownShardError(f"no volume holds shard {root.hex()[:12]}")
        return found

    async def _look(self, volume: Volume) -> VolumeInfo:
        try:
            await self._on(volume, volume.look)
        except VolumeFaultError as error:
            volume.unanswered(str(error))
        return volume.info()

    async def _on(self, volume: Volume, work: Callable[..., T], *arguments: object) -> T:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._deadline):
                return await loop.run_in_executor(self._threads[volume.id], work, *arguments)
        except TimeoutError:
            raise VolumeFaultError(f"the disk of {volume.path} has not answered for {self._deadline:g} s") from None


def _read(volume: Volume, root: bytes, tree: bool) -> Callable[[Sequence[tuple[int, int]]], list[bytes]]:
    return lambda ranges: volume.read(root, ranges, tree=tree)
