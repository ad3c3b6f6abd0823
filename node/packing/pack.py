"""Files → sealed segments → stripes → shard files with their trees.

    calling thread     files ▷ seal ▷ stripe of k MiB ▷ code
    writer threads     each its part of the shards: hash ▷ write      one stripe behind

The arithmetic runs in libraries that let other threads work meanwhile; what is in memory is a few stripes, whatever the
size of the object. Shards are written under their numbers and get their roots as names when all of them are durable: a
folder that holds a root's name holds the whole shard.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from node.packing.errors import CancelledByUserError, PackingError
from node.packing.scan import Found
from node.storage.erasure import FRAGMENT, Code, StripeLayout
from node.storage.manifest import Manifest, Shard
from node.storage.merkle import TreeHasher, TreeLayout
from node.storage.sealing import Sealer, SealLayout, SegmentSeal, wrap_key

READ = 1 << 20
WRITERS = max(1, min(4, os.cpu_count() or 1))


@dataclass(frozen=True, slots=True)
class Keys:
    """An object's fresh random key and the wallet's key that wraps it."""

    key: bytes
    wrapping: bytes

    def __repr__(self) -> str:
        return "Keys(…)"


def pack(
    found: Found,
    folder: Path,
    *,
    k: int,
    n: int,
    keys: Keys | None,
    created: int,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Callable[[int], None] = lambda _: None,
) -> Manifest:
    """Write the n shards of what was found into an empty folder; returns the manifest, without contracts.

    `keys` None: a public object. `progress` hears the plain bytes done so far. Each shard is `<root in hex>`, its tree
    the same with `.tree`. Raises `PackingError`s, `ValueError` for an impossible (k, n).
    """
    seal = SegmentSeal(None if keys is None else keys.key)
    sealed = SealLayout(found.length, public=keys is None)
    layout = StripeLayout(k, sealed.sealed_length)
    code = Code(k, n)
    shards: list[Shard] = []
    try:
        if layout.shard_length:
            with _Shards(folder, n, layout.shard_length) as files:
                for stripe in _stripes(_segments(found, seal, cancelled, progress), k * FRAGMENT):
                    files.write(code.encode(stripe))
                shards = [Shard(root) for root in files.finish()]
    except OSError as error:
        raise PackingError(f"cannot write {error.filename or folder} ({error.strerror})") from None
    return Manifest(
        name=found.name,
        files=tuple(source.entry for source in found.sources),
        folders=found.folders,
        segment=seal.segment,
        key=None if keys is None else wrap_key(keys.wrapping, keys.key),
        k=k,
        n=n,
        shards=tuple(shards),
        created=created,
    )


def _segments(
    found: Found, seal: SegmentSeal, cancelled: Callable[[], bool], progress: Callable[[int], None]
) -> Iterator[bytes]:
    """All files as one stream of sealed segments."""
    sealer, done = Sealer(seal), 0
    for source in found.sources:
        try:
            descriptor = os.open(source.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise PackingError(f"cannot read {source.path} ({error.strerror})") from None
        try:
            source.check(descriptor)
            while part := _read(descriptor, source.path):
                yield from sealer.update(part)
                done += len(part)
                progress(done)
                if cancelled():
                    raise CancelledByUserError("packing was stopped")
            source.check(descriptor)
        finally:
            os.close(descriptor)
    yield sealer.finish()


def _read(descriptor: int, path: Path) -> bytes:
    try:
        return os.read(descriptor, READ)
    except OSError as error:
        raise PackingError(f"cannot read {path} ({error.strerror})") from None


def _stripes(parts: Iterator[bytes], size: int) -> Iterator[bytearray]:
    """The same bytes in portions of `size`, the last one shorter."""
    held = bytearray()
    for part in parts:
        view = memoryview(part)
        while view:
            take = min(size - len(held), len(view))
            held += view[:take]
            view = view[take:]
            if len(held) == size:
                yield held
                held = bytearray()
    if held:
        yield held


class ShardWriter:
    """One shard file with its tree, being written."""

    def __init__(self, folder: Path, number: int, layout: TreeLayout) -> None:
        self.path = folder / f"{number}.new"
        self.tree = folder / f"{number}.tree.new"
        self._hasher = TreeHasher(layout)
        self._data = _create(self.path)
        self._nodes = _create(self.tree)

    def write(self, fragment: memoryview) -> None:
        for place in self._hasher.update(fragment):
            _write_at(self._nodes, place.data, place.offset)
        rest = fragment
        while rest:
            rest = rest[os.write(self._data, rest) :]

    def finish(self) -> bytes:
        for place in self._hasher.finish():
            _write_at(self._nodes, place.data, place.offset)
        os.fsync(self._data)
        os.fsync(self._nodes)
        return self._hasher.root

    def close(self) -> None:
        os.close(self._data)
        os.close(self._nodes)


class _Shards:
    """All shards of an object; a stripe is written while the next one is made."""

    def __init__(self, folder: Path, n: int, length: int) -> None:
        self._folder = folder
        self._shards: list[ShardWriter] = []
        self._threads = [ThreadPoolExecutor(1, "shards") for _ in range(min(WRITERS, n))]
        self._under_way: list[Future[object]] = []
        layout = TreeLayout(length)
        try:
            for number in range(n):
                self._shards.append(ShardWriter(folder, number, layout))
        except OSError:
            self._close()
            raise

    def __enter__(self) -> _Shards:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def write(self, fragments: Sequence[memoryview]) -> None:
        """The fragments of the next stripe. Raises what went wrong with the stripe before."""
        self._wait()
        self._each(lambda number: self._shards[number].write(fragments[number]))

    def finish(self) -> list[bytes]:
        """Make all durable and name them by their roots, in their order."""
        self._wait()
        roots: dict[int, bytes] = {}

        def finish(number: int) -> None:
            roots[number] = self._shards[number].finish()

        self._each(finish)
        self._wait()
        for number, root in roots.items():
            self._shards[number].tree.replace(self._folder / f"{root.hex()}.tree")
            self._shards[number].path.replace(self._folder / root.hex())
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return [roots[number] for number in range(len(self._shards))]

    def _each(self, work: Callable[[int], None]) -> None:
        step = len(self._threads)

        def share(first: int) -> None:
            for number in range(first, len(self._shards), step):
                work(number)

        self._under_way = [thread.submit(share, first) for first, thread in enumerate(self._threads)]

    def _wait(self) -> None:
        under_way, self._under_way = self._under_way, []
        for future in under_way:
            future.result()

    def _close(self) -> None:
        for thread in self._threads:
            thread.shutdown(wait=True, cancel_futures=True)
        for shard in self._shards:
            shard.close()
            # Those that were finished have other names by now.
            shard.path.unlink(missing_ok=True)
            shard.tree.unlink(missing_ok=True)


def _create(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)


def _write_at(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(descriptor, view, offset)
        view, offset = view[done:], offset + done
