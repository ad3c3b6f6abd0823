"""A host's shards as the contracts see them: proofs read from the disk, and trees built beside what has arrived.

What is read is checked before it is used: a block that its root does not hold is a fault of our own disk. It is found
here, and never becomes evidence against us in somebody else's hand.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

from node.ports.volumes import Place, VolumeFaultError, Volumes
from node.storage import torrent
from node.storage.audit import Proof
from node.storage.errors import ShardError
from node.storage.merkle import TreeHasher, TreeLayout, Write, holds
from wallet.storage_terms import StorageContract

PART = 4 << 20
"""Bytes that are hashed at once: a second of a slow disk."""


class DamagedError(ShardError):
    """What lies on our disk is not what the contract is about."""


class Shards:
    """`on_damage(root, reason)` is called for each damage, after its volume is distrusted."""

    def __init__(self, volumes: Volumes) -> None:
        self._volumes = volumes
        self.on_damage: Callable[[bytes, str], object] = lambda root, reason: None

    async def prove(self, contract: StorageContract, indices: Sequence[int]) -> tuple[Proof, ...]:
        """Blocks with their paths, in this order. Raises `DamagedError`, `VolumeError`."""
        root, layout = contract.root, TreeLayout(contract.length)
        nodes = [layout.reads(index) for index in indices]
        blocks = await self._volumes.read(root, [layout.block(index) for index in indices])
        read = iter(await self._volumes.read(root, [span for spans in nodes for span in spans], tree=True))
        proofs = []
        for index, block, spans in zip(indices, blocks, nodes, strict=True):
            path = layout.path(index, [next(read) for _ in spans])
            if not holds(root, contract.length, index, block, path):
                reason = f"block {index} of shard {root.hex()[:12]} has changed on the disk"
                await self.damaged(root, reason)
                raise DamagedError(reason)
            proofs.append(Proof(block, path))
        return tuple(proofs)

    async def damaged(self, root: bytes, reason: str) -> None:
        """Distrust the volume, and tell."""
        await self._volumes.distrust(root, reason)
        self.on_damage(root, reason)

    async def finish(self, root: bytes, length: int) -> None:
        """The engine has the whole file: build its tree, compare the root, and make both durable.

        Raises `DamagedError` where the disk gives back other bytes than the engine has checked, and `VolumeError`.
        """
        place = await self._volumes.place(root)
        if place.whole:
            return
        await self._build(place, root, length)
        await self._volumes.complete(root)

    async def _build(self, place: Place, root: bytes, length: int) -> None:
        built = place.folder / f"{place.name}.building"
        try:
            try:
                found = await asyncio.to_thread(_build, place, built, length)
            except ShardError:
                found = b""
            if found != root:
                await self.damaged(root, f"shard {root.hex()[:12]} is not read as it was written")
                raise DamagedError(f"shard {root.hex()[:12]} is not what was fetched: its root is {found.hex()[:12]}")
            await self._volumes.write_tree(root, built)
        except OSError as error:
            raise VolumeFaultError(f"the tree of shard {root.hex()[:12]} cannot be built: {error.strerror}") from None
        finally:
            built.unlink(missing_ok=True)

    async def reread(self, root: bytes, length: int) -> None:
        """Read all of a shard that was damaged, and make its tree anew. Raises `DamagedError` where it still is, and
        `VolumeError`."""
        place = await self._volumes.place(root)
        await self._build(place, root, length)

    async def torrent(self, root: bytes, length: int) -> bytes:
        """The torrent of a shard that is whole, with its layer of piece hashes from the tree file."""
        span = torrent.piece_layer(length)
        layer = b"" if span is None else (await self._volumes.read(root, [span], tree=True))[0]
        return torrent.torrent(root, length, layer)


def _build(place: Place, target: Path, length: int) -> bytes:
    """Writes the tree of a shard to `target`; returns the root. Memory: one part."""
    layout = TreeLayout(length)
    hasher = TreeHasher(layout)
    # A tree that is whole is made durable with its shard; this one has no name yet that anybody looks for.
    with place.shard.open("rb") as shard, target.open("wb") as tree:
        while part := shard.read(PART):
            _write(tree, hasher.update(part))
        _write(tree, hasher.finish())
    return hasher.root


def _write(tree: BinaryIO, writes: Iterable[Write]) -> None:
    for offset, nodes in writes:
        tree.seek(offset)
        tree.write(nodes)
