"""Lost shards → new files, from any k others.

Both ends are checked: what is read against the roots of the shards it is read from, what is written against the root
that the manifest has for it. A shard gets its root as its name when it is whole and durable, as in `pack`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from node.packing.errors import CancelledByUserError, PackingError
from node.packing.pack import READ, ShardWriter, room_of
from node.packing.room import check_room, writing
from node.packing.unpack import ShardReaders
from node.storage.erasure import Code
from node.storage.manifest import Manifest
from node.storage.merkle import TreeHasher, TreeLayout, Write


def rebuild(
    manifest: Manifest,
    shards: Mapping[int, Path],
    wanted: Sequence[int],
    folder: Path,
    *,
    cancelled: Callable[[], bool] = lambda: False,
) -> None:
    """Write the shards numbered `wanted` into `folder`, each `<root in hex>` with its `.tree`.

    `shards`: k files by number. What an interrupted call left is written over. Raises `PackingError`; `BadShardError`
    names a file that is not what its root says; `ShardError` for fewer than k.
    """
    layout, code = manifest.stripes, Code(manifest.k, manifest.n)
    with writing(folder), ExitStack() as stack:
        for number in wanted:
            _remove(folder, number)
        check_room((folder, len(wanted) * room_of(layout.shard_length)))
        readers = stack.enter_context(ShardReaders(manifest, shards))
        writers: dict[int, ShardWriter] = {}
        for number in wanted:
            writers[number] = ShardWriter(folder, number, TreeLayout(layout.shard_length))
            stack.callback(_remove, folder, number)
            stack.callback(writers[number].close)
        made = {number: memoryview(bytearray(layout.fragment(0)[1])) for number in wanted}
        for index in range(layout.stripes):
            at, size = layout.fragment(index)
            _, fragments = readers.read(at, size)
            fresh = {number: buffer[:size] for number, buffer in made.items()}
            code.make(fragments, fresh)
            for number, fragment in fresh.items():
                writers[number].write(fragment)
            if cancelled():
                raise CancelledByUserError("rebuilding was stopped")
        readers.check()
        for number, writer in writers.items():
            root = writer.finish()
            if root != manifest.shards[number].root:
                raise PackingError(f"shard {number} came out different from what was stored: the manifest is wrong")
            writer.tree.replace(folder / f"{root.hex()}.tree")
            writer.path.replace(folder / root.hex())
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, descriptor)
        os.fsync(descriptor)


def _remove(folder: Path, number: int) -> None:
    (folder / f"{number}.new").unlink(missing_ok=True)
    (folder / f"{number}.tree.new").unlink(missing_ok=True)


def adopt(shard: Path, folder: Path, root: bytes, length: int) -> None:
    """Move a downloaded shard into `folder`, on the same disk, with its tree beside it.

    Raises `PackingError` when it is not what its root says, or the disk does not take it.
    """
    tree = folder / f"{root.hex()}.tree"
    with writing(folder), ExitStack() as stack:
        stack.callback(tree.unlink, missing_ok=True)
        if _grow(shard, tree, TreeLayout(length)) != root:
            raise PackingError("a downloaded shard is not what its root says")
        shard.replace(folder / root.hex())
        stack.pop_all()


def _grow(shard: Path, tree: Path, layout: TreeLayout) -> bytes:
    """Write the tree of a shard, make both durable; returns the root, nothing for a shard of another length."""
    hasher = TreeHasher(layout)
    with shard.open("rb+") as data, tree.open("wb") as nodes:
        if os.fstat(data.fileno()).st_size != layout.length:
            return b""
        while part := data.read(READ):
            _write(nodes, hasher.update(part))
        _write(nodes, hasher.finish())
        nodes.flush()
        os.fsync(nodes.fileno())
        os.fsync(data.fileno())
    return hasher.root


def _write(nodes: BinaryIO, writes: Iterable[Write]) -> None:
    for place in writes:
        nodes.seek(place.offset)
        nodes.write(place.data)
