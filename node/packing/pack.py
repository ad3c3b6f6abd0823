"""Files → sealed segments → stripes → shard files with their trees.

    calling thread     files ▷ seal ▷ stripe of k MiB ▷ code
    writer threads     each its part of the shards: hash ▷ write      a few stripes behind

All of the arithmetic runs outside the interpreter's lock, in buffers that are used again and again; what is in memory
is a few stripes, whatever the size of the object. Shards are written under their numbers and get their roots as names
when all of them are durable: a folder that holds a root's name holds the whole shard.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from node.packing.errors import CancelledByUserError, ChangedError, PackingError
from node.packing.room import check_room, writing
from node.packing.scan import Found, Source
from node.storage.erasure import Code, StripeLayout
from node.storage.manifest import Manifest, Shard
from node.storage.merkle import TreeHasher, TreeLayout
from node.storage.sealing import SealLayout, SegmentSeal, wrap_key

READ = 1 << 20
WRITERS = max(1, min(4, os.cpu_count() or 1))
STRIPES, MEMORY = 4, 96 << 20
"""That are filled, or wait to be written: at most so many and so many bytes, but one in any case."""


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
    the same with `.tree`. Raises `PackingError`s (`FullError`: there is too
    little room, and nothing was written), `ValueError` for an impossible (k, n).
    """
    seal = SegmentSeal(None if keys is None else keys.key)
    sealed = SealLayout(found.length, public=keys is None)
    layout = StripeLayout(k, sealed.sealed_length)
    code = Code(k, n)
    segments = _segments(found, seal, sealed, cancelled, progress)
    shards: list[Shard] = []
    if layout.shard_length:
        check_room((folder, n * room_of(layout.shard_length)))
        with writing(folder), _Shards(folder, n, layout) as files:
            for stripe in _stripes(files, layout, segments):
                code.make(dict(enumerate(stripe[:k])), dict(enumerate(stripe[k:], k)))
                files.write(stripe)
            shards = [Shard(root) for root in files.finish()]
    else:
        for _ in segments:
            pass  # nothing to write, but the files are looked at all the same
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


def room_of(length: int) -> int:
    """Bytes that a shard of this length takes up, with its tree."""
    return length + TreeLayout(length).size


def _segments(
    found: Found, seal: SegmentSeal, layout: SealLayout, cancelled: Callable[[], bool], progress: Callable[[int], None]
) -> Iterator[bytes]:
    """All files as one stream of sealed segments."""
    done = 0
    for index, plain in enumerate(_plain(found, seal.segment)):
        yield seal.seal(index, plain, last=index == layout.segments - 1)
        done += len(plain)
        progress(done)
        if cancelled():
            raise CancelledByUserError("packing was stopped")


def _plain(found: Found, size: int) -> Iterator[memoryview]:
    """All files as one stream in pieces of `size` bytes, the last one shorter. The buffer is always the same."""
    buffer, filled = memoryview(bytearray(size)), 0
    for source in found.sources:
        descriptor = _open(source)
        try:
            source.check(descriptor)
            left = source.entry.size
            while left:
                got = _read(descriptor, buffer[filled : filled + left], source.path)
                filled, left = filled + got, left - got
                if filled == size:
                    yield buffer
                    filled = 0
            source.check(descriptor)
        finally:
            os.close(descriptor)
    if filled or not found.length:
        yield buffer[:filled]


def _open(source: Source) -> int:
    try:
        return os.open(source.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise PackingError(f"cannot read {source.path} ({error.strerror})") from None


def _read(descriptor: int, target: memoryview, path: Path) -> int:
    try:
        got = os.readv(descriptor, [target])
    except OSError as error:
        raise PackingError(f"cannot read {path} ({error.strerror})") from None
    if not got:
        raise ChangedError(f"{path} became shorter while it was read")
    return got


def _stripes(files: _Shards, layout: StripeLayout, segments: Iterator[bytes]) -> Iterator[list[memoryview]]:
    """The same bytes as stripes: n fragments of one buffer, of which the parity has yet to be made."""
    rest = memoryview(b"")
    for index in range(layout.stripes):
        (_, length), (_, size) = layout.stripe(index), layout.fragment(index)
        buffer, filled = files.buffer(), 0
        while filled < length:
            rest = rest or memoryview(next(segments))
            take = min(length - filled, len(rest))
            buffer[filled : filled + take] = rest[:take]
            filled, rest = filled + take, rest[take:]
        padding = layout.k * size - length
        buffer[length : length + padding] = bytes(padding)
        yield [buffer[at : at + size] for at in range(0, files.n * size, size)]
    for _ in segments:
        raise AssertionError("the sealed object is longer than its layout says")


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
    """All shards of an object; some stripes are written while the next one is made."""

    def __init__(self, folder: Path, n: int, layout: StripeLayout) -> None:
        self.n = n
        self._folder = folder
        self._shards: list[ShardWriter] = []
        self._threads = [ThreadPoolExecutor(1, "shards") for _ in range(min(WRITERS, n))]
        self._stripe = n * layout.fragment(0)[1]
        self._unmade = max(1, min(STRIPES, MEMORY // self._stripe))
        """Buffers that there may be besides those that are."""
        self._filling = memoryview(b"")
        self._under_way: deque[tuple[memoryview, list[Future[None]]]] = deque()
        """The oldest stripe first, each with its writers' work."""
        tree = TreeLayout(layout.shard_length)
        try:
            for number in range(n):
                self._shards.append(ShardWriter(folder, number, tree))
        except OSError:
            self._close()
            raise

    def __enter__(self) -> _Shards:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def buffer(self) -> memoryview:
        """Room for the n fragments of the next stripe. Raises what went wrong with the stripe that had it before."""
        if self._unmade:
            self._unmade -= 1
            self._filling = memoryview(bytearray(self._stripe))
        else:
            self._filling = self._wait()
        return self._filling

    def write(self, fragments: Sequence[memoryview]) -> None:
        """The n fragments of the next stripe, all of them in its `buffer`."""
        self._under_way.append(
            (self._filling, self._each(lambda number: self._shards[number].write(fragments[number])))
        )

    def finish(self) -> list[bytes]:
        """Make all durable and name them by their roots, in their order."""
        while self._under_way:
            self._wait()
        roots: dict[int, bytes] = {}

        def finish(number: int) -> None:
            roots[number] = self._shards[number].finish()

        for future in self._each(finish):
            future.result()
        for number, root in roots.items():
            self._shards[number].tree.replace(self._folder / f"{root.hex()}.tree")
            self._shards[number].path.replace(self._folder / root.hex())
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return [roots[number] for number in range(self.n)]

    def _each(self, work: Callable[[int], None]) -> list[Future[None]]:
        step = len(self._threads)

        def share(first: int) -> None:
            for number in range(first, self.n, step):
                work(number)

        return [thread.submit(share, first) for first, thread in enumerate(self._threads)]

    def _wait(self) -> memoryview:
        """Until the oldest stripe is written; returns its buffer."""
        buffer, futures = self._under_way.popleft()
        for future in futures:
            future.result()
        return buffer

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
