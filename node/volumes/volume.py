"""One volume: a folder with a marker, and for each shard its data, its tree and the record of the promise.

    VOLUME/bttnode-volume.json        marker: format, id, quota, whether it is drained
    VOLUME/shards/ab/abcd….json       record: the shard's length, and whether it is whole; written first
    VOLUME/shards/ab/abcd…            the data, under its root in hex (the name of its torrent)
    VOLUME/shards/ab/abcd….tree       the BEP 52 tree

Everything here blocks; `node.volumes.pool` calls it in threads, one at a time for each volume.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node.ports.volumes import (
    READABLE,
    BadVolumeError,
    Place,
    VolumeFaultError,
    VolumeInfo,
    VolumeState,
)
from node.storage.merkle import TreeLayout
from node.volumes.files import read_range, read_small, sync_file, sync_folder, write_whole

MARKER = "bttnode-volume.json"
SHARDS = "shards"
FORMAT = 1
MAX_SMALL = 4096
"""Bytes of a marker or a record."""
ROOT_DIGITS = 64
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_READ_ONLY = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


@dataclass(slots=True)
class _Shard:
    length: int
    whole: bool

    @property
    def need(self) -> int:
        return self.length + TreeLayout(self.length).size


@dataclass(frozen=True, slots=True)
class Marker:
    """What a volume says of itself."""

    id: str
    quota: int
    draining: bool = False

    def encode(self) -> bytes:
        return _small({"format": FORMAT, "id": self.id, "quota": self.quota, "draining": self.draining})


def read_marker(folder: Path) -> Marker | None:
    """None: the folder has no marker. Raises `BadVolumeError` for one that cannot be read."""
    try:
        found = json.loads(read_small(folder / MARKER, MAX_SMALL))
        if found["format"] != FORMAT:
            raise BadVolumeError(f"{folder / MARKER} has format {found['format']!r}; this bttnode knows {FORMAT}")
        name, quota, draining = found["id"], found["quota"], found["draining"]
    except FileNotFoundError:
        return None
    except (KeyError, TypeError, ValueError) as error:
        raise BadVolumeError(f"{folder / MARKER} is damaged ({error})") from None
    except OSError as error:
        raise BadVolumeError(f"cannot read {folder / MARKER} ({error.strerror})") from None
    if type(name) is not str or not name.isalnum() or type(quota) is not int or type(draining) is not bool:
        raise BadVolumeError(f"{folder / MARKER} is damaged (a value of the wrong kind)")
    return Marker(name, quota, draining)


def disk_free(folder: Path) -> int:
    """Bytes that the disk of a folder can still take from this user."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


class Volume:
    """An open volume. Methods raise `VolumeFaultError` where the disk fails, and remember it as the state."""

    def __init__(self, path: Path, marker: Marker, *, guard: int, free: Callable[[Path], int] = disk_free) -> None:
        self.path = path
        self.marker = marker
        self._guard = guard
        self._free = free
        self._on_disk = 0
        self._shards: dict[bytes, _Shard] = {}
        self._known = False
        """Whether the shards have been read off the disk since it was last there."""
        self._state = VolumeState.MISSING
        self._reason = "not looked at yet"
        self._distrust = ""
        """Why the data cannot be trusted, though the disk may answer; the user says when it can again."""

    @property
    def id(self) -> str:
        return self.marker.id

    @property
    def readable(self) -> bool:
        return self._state in READABLE

    @property
    def reason(self) -> str:
        return self._reason

    @property
    def roots(self) -> Sequence[bytes]:
        return list(self._shards)

    def info(self) -> VolumeInfo:
        """As last seen."""
        whole = [shard.need for shard in self._shards.values() if shard.whole]
        promised = [shard.need for shard in self._shards.values() if not shard.whole]
        state = self._state
        if state is VolumeState.ONLINE and self.marker.draining:
            state = VolumeState.DRAINING
        return VolumeInfo(
            id=self.id,
            path=self.path,
            quota=self.marker.quota,
            used=sum(whole),
            reserved=sum(promised),
            unwritten=self._unwritten() if state in READABLE else 0,
            on_disk=self._on_disk,
            guard=self._guard,
            shards=len(self._shards),
            state=state,
            reason=self._reason,
        )

    # --- state -------------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Is it there, can it be written to? Never raises: what is wrong becomes the state."""
        try:
            marker = read_marker(self.path)
        except BadVolumeError as error:
            self._set(VolumeState.SICK, str(error))
            return
        if marker is None or marker.id != self.id:
            self._known = False
            self._set(VolumeState.MISSING, f"no volume {self.id} at {self.path}: is its disk mounted?")
            return
        try:
            if not self._known:
                self._shards = dict(self._scan())
                self._known = True
            self._on_disk = self._free(self.path)
        except OSError as error:
            self._set(VolumeState.SICK, f"cannot read {self.path} ({error.strerror})")
            return
        try:
            probe = self.path / f".{MARKER}.probe"
            write_whole(probe, b"can be written")
            probe.unlink()
        except OSError as error:
            if error.errno in _FULL:
                self._on_disk = 0
                self._set(VolumeState.ONLINE, f"the disk of {self.path} is full")
            elif error.errno in _READ_ONLY:
                self._set(VolumeState.READ_ONLY, f"{self.path} cannot be written to ({error.strerror})")
            else:
                self._set(VolumeState.SICK, f"cannot write to {self.path} ({error.strerror})")
            return
        self._set(VolumeState.ONLINE, "")

    def unanswered(self, reason: str) -> None:
        """The disk hangs; a look that it answers brings it back."""
        self._set(VolumeState.SICK, reason)

    def distrust(self, reason: str) -> None:
        """Its data cannot be trusted, whatever the next look finds."""
        self._distrust = reason
        self._set(VolumeState.SICK, reason)

    def trust(self) -> None:
        """The user has seen to it."""
        self._distrust = ""

    def _set(self, state: VolumeState, reason: str) -> None:
        if self._distrust and state is not VolumeState.MISSING:
            state, reason = VolumeState.SICK, self._distrust
        self._state, self._reason = state, reason

    @contextmanager
    def _disk(self, doing: str, *, reading: bool = False) -> Iterator[None]:
        try:
            yield
        except (OSError, EOFError, ValueError) as error:
            text = f"cannot {doing} ({getattr(error, 'strerror', None) or error})"
            code = error.errno if isinstance(error, OSError) else None
            if code in _READ_ONLY and not reading:
                # What it holds is as good as before.
                self._set(VolumeState.READ_ONLY, f"{self.path} cannot be written to ({os.strerror(code)})")
            elif code not in _FULL:
                self._blame(text)
            raise VolumeFaultError(text) from None

    def _blame(self, text: str) -> None:
        """A call failed: a disk that is gone comes back as it was, one that fails is not trusted again by itself."""
        try:
            there = (self.path / MARKER).exists()
        except OSError:
            there = True
        if there:
            self.distrust(text)
        else:
            self._known = False
            self._set(VolumeState.MISSING, f"no volume {self.id} at {self.path}: is its disk mounted?")

    # --- shards ------------------------------------------------------------------------------------------------------

    def place(self, root: bytes) -> Place | None:
        shard = self._shards.get(root)
        if shard is None:
            return None
        return Place(self.id, self._folder(root), root.hex(), shard.length, shard.whole)

    def reserve(self, root: bytes, length: int) -> Place:
        with self._disk(f"reserve room on {self.path}"):
            folder = self._folder(root)
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            sync_folder(folder.parent)
            self._record(root, _Shard(length, whole=False))
        return Place(self.id, folder, root.hex(), length, whole=False)

    def complete(self, root: bytes) -> Place:
        shard = self._shards[root]
        place = Place(self.id, self._folder(root), root.hex(), shard.length, whole=True)
        with self._disk(f"keep shard {root.hex()[:12]}"):
            if (size := place.shard.stat().st_size) != shard.length:
                raise ValueError(f"it has {size} bytes and should have {shard.length}")
            sync_file(place.shard)
            sync_file(place.tree)
            sync_folder(place.folder)
            self._record(root, _Shard(shard.length, whole=True))
        return place

    def discard(self, root: bytes) -> None:
        with self._disk(f"delete shard {root.hex()[:12]}"):
            record = self._record_path(root)
            # The record goes last: while anything of the shard is there, it counts.
            for path in (record.with_suffix(""), record.with_suffix(".tree"), record):
                path.unlink(missing_ok=True)
            sync_folder(record.parent)
        self._shards.pop(root, None)

    def read(self, root: bytes, ranges: Sequence[tuple[int, int]], *, tree: bool) -> list[bytes]:
        path = self._record_path(root).with_suffix(".tree" if tree else "")
        with self._disk(f"read {path}", reading=True):
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                return [read_range(descriptor, offset, length) for offset, length in ranges]
            finally:
                os.close(descriptor)

    def write_tree(self, root: bytes, tree: bytes | Path) -> None:
        path = self._record_path(root).with_suffix(".tree")
        with self._disk(f"write {path}"):
            if isinstance(tree, bytes):
                write_whole(path, tree)
            else:
                sync_file(tree)
                tree.replace(path)
                sync_folder(path.parent)

    def settings(self, marker: Marker) -> None:
        """Change the quota, or drain."""
        with self._disk(f"write {self.path / MARKER}"):
            write_whole(self.path / MARKER, marker.encode())
        self.marker = marker

    def erase(self) -> None:
        """Take our files away from an empty volume."""
        with self._disk(f"remove {self.path / MARKER}"):
            shutil.rmtree(self.path / SHARDS, ignore_errors=True)
            (self.path / MARKER).unlink(missing_ok=True)
            sync_folder(self.path)

    # --- on disk -----------------------------------------------------------------------------------------------------

    def _folder(self, root: bytes) -> Path:
        return self.path / SHARDS / root.hex()[:2]

    def _record_path(self, root: bytes) -> Path:
        return self._folder(root) / f"{root.hex()}.json"

    def _record(self, root: bytes, shard: _Shard) -> None:
        write_whole(self._record_path(root), _small({"length": shard.length, "whole": shard.whole}))
        self._shards[root] = shard

    def _scan(self) -> Iterator[tuple[bytes, _Shard]]:
        for record in sorted((self.path / SHARDS).glob("??/*.json")):
            name = record.stem
            try:
                if len(name) != ROOT_DIGITS or record.parent.name != name[:2]:
                    continue
                found = json.loads(read_small(record, MAX_SMALL))
                length, whole = found["length"], found["whole"]
                if type(length) is not int or length < 1 or type(whole) is not bool:
                    continue
                yield bytes.fromhex(name), _Shard(length, whole)
            except (ValueError, KeyError, TypeError):
                continue  # A record that we did not write: nothing of ours, and never deleted.

    def _unwritten(self) -> int:
        """What the disk has not given yet to shards that are promised: files may be sparse, so blocks are counted."""
        total = 0
        for root, shard in self._shards.items():
            if not shard.whole:
                try:
                    there = self._record_path(root).with_suffix("").stat().st_blocks * 512
                except OSError:
                    there = 0
                total += max(0, shard.need - there)
        return total


def _small(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True).encode() + b"\n"
