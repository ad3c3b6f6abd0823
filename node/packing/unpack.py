"""Any k shard files → the files that were stored, checked from end to end.

Shards are hashed while they are read, so that what is restored is what the manifest's roots say, also for a public
object; a sealed one is checked segment by segment besides. Files are written beside their final place and get their
names when everything is right: what bears the name is whole, and nothing that was there is overwritten.
"""

from __future__ import annotations

import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from node.packing.errors import CancelledByUserError, OccupiedError
from node.packing.room import check_room, writing
from node.storage.erasure import FRAGMENT, Code
from node.storage.errors import SealError, ShardError
from node.storage.manifest import Manifest
from node.storage.merkle import TreeHasher
from node.storage.sealing import Opener, SegmentSeal, unwrap_key

MANY_FILES = 256
"""From here on one sync of the whole system takes less time than one for each file."""
MEMORY = 96 << 20
"""Bytes of the stripes that are read; a stripe larger than half of this is alone."""
READERS = max(1, min(4, os.cpu_count() or 1))


class BadShardError(ShardError):
    """A shard file is not what its root says; `number` tells which."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(text)
        self.number = number


def unpack(
    manifest: Manifest,
    shards: Mapping[int, Path],
    out: Path,
    *,
    wrapping: bytes = b"",
    cancelled: Callable[[], bool] = lambda: False,
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Restore to `out`, which must not exist; its parent must. `shards`: files by number, k of them are used.

    `progress` hears the plain bytes done. Raises `OccupiedError`, `PackingError` (`FullError`: there is too little
    room, and nothing was written); `BadShardError` names a shard to be replaced before trying again; `SealError` for
    another wallet's manifest.
    """
    if os.path.lexists(out):
        raise OccupiedError(f"{out} exists")
    key = None if manifest.key is None else unwrap_key(wrapping, manifest.key)
    chosen = sorted(shards)[: manifest.k]
    if manifest.shards and len(chosen) < manifest.k:
        raise ShardError(f"{len(chosen)} shards are left and {manifest.k} are needed")
    partial = out.with_name(f".{out.name}.restoring")
    with writing(out.parent), ExitStack() as stack:
        _remove(partial)
        check_room((out.parent, manifest.length))
        stack.callback(_remove, partial)
        opener = Opener(SegmentSeal(key, manifest.segment))
        try:
            with _Files(manifest, partial) as files:
                done = 0
                for stripe in _stripes(manifest, {number: shards[number] for number in chosen}):
                    for plain in opener.update(stripe):
                        files.write(plain)
                        done += len(plain)
                    progress(done)
                    if cancelled():
                        raise CancelledByUserError("restoring was stopped")
                files.write(opener.finish())
                files.finish()
        except SealError:
            # Some shard is not what it was; its own hash tells which, as soon as all of it has been read.
            _find_damage(manifest, {number: shards[number] for number in chosen})
            raise
        # Not `replace`: that would put a file in the place of another that came in between.
        if os.path.lexists(out):
            raise OccupiedError(f"{out} exists")
        partial.rename(out)
        progress(manifest.length)


def _find_damage(manifest: Manifest, shards: Mapping[int, Path]) -> None:
    """Raises `BadShardError` for a shard that is not what its root says."""
    layout = manifest.stripes
    with ShardReaders(manifest, shards) as readers:
        for index in range(layout.stripes):
            readers.read(*layout.fragment(index))
        readers.check()


def _remove(partial: Path) -> None:
    """What an earlier attempt left."""
    if partial.is_dir() and not partial.is_symlink():
        shutil.rmtree(partial)
    else:
        partial.unlink(missing_ok=True)


def _stripes(manifest: Manifest, shards: Mapping[int, Path]) -> Iterator[memoryview]:
    """The sealed object, stripe by stripe; the last one comes when all roots are right."""
    layout = manifest.stripes
    if not layout.shard_length:
        return
    code = Code(manifest.k, manifest.n)
    with ShardReaders(manifest, shards) as readers:
        for index in range(layout.stripes):
            (_, length), (at, size) = layout.stripe(index), layout.fragment(index)
            stripe, fragments = readers.read(at, size)
            lost = [number for number in range(manifest.k) if number not in fragments]
            code.make(fragments, {number: stripe[number * size : (number + 1) * size] for number in lost})
            if index == layout.stripes - 1:
                readers.check()
            yield stripe[:length]


class ShardReaders:
    """k shards that are read, and what their bytes hash to, a stripe while the next one is read (if memory allows)."""

    def __init__(self, manifest: Manifest, shards: Mapping[int, Path]) -> None:
        self._k = manifest.k
        self._roots = {number: manifest.shards[number].root for number in shards}
        self._hashers = {number: TreeHasher() for number in shards}
        self._threads = ThreadPoolExecutor(READERS, "unpack")
        self._closing = ExitStack()
        self._files: dict[int, int] = {}
        with ExitStack() as opened:
            for number, path in shards.items():
                with _reading(number, path):
                    self._files[number] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                    opened.callback(os.close, self._files[number])
                    if (size := os.fstat(self._files[number]).st_size) != manifest.shard_length:
                        raise BadShardError(number, f"shard {number} has {size} bytes, not {manifest.shard_length}")
            self._closing = opened.pop_all()
        parity = sum(number >= manifest.k for number in shards)
        room = (manifest.k + parity) * min(FRAGMENT, manifest.shard_length)
        self._buffers = deque(memoryview(bytearray(room)) for _ in range(2 if 2 * room <= MEMORY else 1))
        self._hashing: list[Future[object]] = []

    def __enter__(self) -> ShardReaders:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._closing.close()

    def read(self, offset: int, length: int) -> tuple[memoryview, dict[int, memoryview]]:
        """The fragments there, and room for the stripe: data fragments lie in it at their places.

        They are hashed while the caller goes on with them, and are valid until the next call.
        """
        if len(self._buffers) == 1:
            self._join()
        self._buffers.rotate()
        buffer = self._buffers[0]
        free = iter(range(self._k * length, len(buffer), length))
        fragments: dict[int, memoryview] = {}
        for number, descriptor in self._files.items():
            at = number * length if number < self._k else next(free)
            fragment = buffer[at : at + length]
            with _reading(number, f"shard {number}"):
                got = os.preadv(descriptor, [fragment], offset)
            if got != length:
                raise BadShardError(number, f"shard {number} ends at byte {offset + got}")
            fragments[number] = fragment
        self._join()  # a shard's bytes are hashed in their order
        for number, fragment in fragments.items():
            self._hashing.append(self._threads.submit(self._hashers[number].update, fragment))
        return buffer[: self._k * length], fragments

    def check(self) -> None:
        """All has been read. Raises `BadShardError`."""
        self._join()
        for number, hasher in self._hashers.items():
            hasher.finish()
            if hasher.root != self._roots[number]:
                raise BadShardError(number, f"shard {number} is damaged: its bytes are not those that were stored")

    def _join(self) -> None:
        hashing, self._hashing = self._hashing, []
        for future in hashing:
            future.result()


@contextmanager
def _reading(number: int, what: object) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BadShardError(number, f"cannot read {what} ({error.strerror})") from None


class _Files:
    """The files of a manifest, filled one after the other from one stream."""

    def __init__(self, manifest: Manifest, base: Path) -> None:
        self._waiting = iter(manifest.files)
        self._manifest = manifest
        self._base = base
        self._file = -1
        self._left = 0
        self._made: set[Path] = set()
        self._many = len(manifest.files) > MANY_FILES

    def __enter__(self) -> _Files:
        for folder in self._manifest.folders:
            self._base.joinpath(*folder).mkdir(parents=True)
        self._next()
        return self

    def __exit__(self, *_: object) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def write(self, plain: bytes) -> None:
        view = memoryview(plain)
        while view:
            done = os.write(self._file, view[: self._left])
            view, self._left = view[done:], self._left - done
            if not self._left:
                self._next()

    def finish(self) -> None:
        """Make all of it durable: what bears the name must be whole after a power cut, too."""
        if self._many:
            os.sync()
            return
        for folder in self._made:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _next(self) -> None:
        """Close the file that is full and open the next one that is not empty; empty ones are made in passing."""
        while True:
            if self._file >= 0:
                if not self._many:
                    os.fsync(self._file)
                os.close(self._file)
                self._file = -1
            entry = next(self._waiting, None)
            if entry is None:
                return
            path = self._base.joinpath(*entry.path)
            if path.parent not in self._made and entry.path:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._made.add(path.parent)
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            self._left = entry.size
            if self._left:
                return
