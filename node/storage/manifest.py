"""The manifest: all that is needed, with the wallet's seed, to restore an object on another machine.

An object's plain bytes are its files' bytes, one after the other in the order of their paths. The manifest names the
files, how the bytes were sealed and coded, the root of every shard, and the contracts under which hosts keep them.
Sizes that follow from others (sealed object, shards) are computed, never stored, so they cannot contradict.

Form: canonical bencoding, one encoding per manifest, so a hash over it means one thing. Version 1 has these keys:

    v 1, name, created, files [[size, folder …, file] …], folders [[folder …] …] (the empty ones), segment,
    key (40 wrapped bytes, absent for a public object), k, n, shards [[root, [[chain id, market, packed contract] …]] …]

Paths are relative to `name` and sorted; an object that is one file, or one empty folder, is an entry with an empty
path. A manifest may come from anybody: everything is bounded, and a path that could lead out of the folder restored
into, or meet another, is refused. Exported, a manifest is sealed like an object under its own key, unless the object is
public.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import pairwise
from typing import Any

from node.bencode import BencodeError, decode, encode
from node.storage.erasure import MAX_OBJECT, MAX_SHARDS, StripeLayout
from node.storage.errors import ManifestError, SealError
from node.storage.sealing import (
    MAX_SEGMENT,
    MIN_SEGMENT,
    WRAPPED_BYTES,
    Opener,
    Sealer,
    SealLayout,
    SegmentSeal,
    unwrap_key,
    wrap_key,
)
from wallet.address import Address
from wallet.errors import AddressError, ChequeError, quoted
from wallet.storage_terms import StorageContract

VERSION = 1
MAX_BYTES = 32 * 2**20
MAX_ITEMS = 1_000_000
MAX_FILES = 100_000
MAX_DEPTH = 64
MAX_NAME = 255
"""Bytes of one path component, as in common file systems."""
MAX_CONTRACTS = 16
"""Of one shard: the running one, its renewals, and those of hosts that gave it up."""
MAX_CHAIN_ID = 2**256 - 1
SEALED_MAGIC = b"bttnode manifest 1, sealed\n"
PUBLIC_MAGIC = b"bttnode manifest 1, public\n"

_KEYS = {b"v", b"name", b"created", b"files", b"folders", b"segment", b"k", b"n", b"shards"}

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file: path below the object's name, and bytes."""

    path: Path
    size: int


@dataclass(frozen=True, slots=True)
class Placed:
    """A contract that keeps a shard, and the market it is on."""

    chain_id: int
    market: Address
    terms: StorageContract


@dataclass(frozen=True, slots=True)
class Shard:
    """One of the n shards: its BEP 52 root, and the contracts it is or was kept under, oldest first."""

    root: bytes
    contracts: tuple[Placed, ...] = ()


@dataclass(frozen=True, slots=True)
class Manifest:
    """See the module. `key`: the object's wrapped key, None for a public object; `created`: Unix seconds.

    Raises `ManifestError` with the first thing that is wrong.
    """

    name: str
    files: tuple[FileEntry, ...]
    folders: tuple[Path, ...]
    segment: int
    key: bytes | None
    k: int
    n: int
    shards: tuple[Shard, ...]
    created: int

    def __post_init__(self) -> None:
        _check_name(self.name)
        _check_paths(self.files, self.folders)
        if not 1 <= self.k < self.n <= MAX_SHARDS:
            raise ManifestError(f"a code of {self.k} of {self.n} is not possible")
        if not MIN_SEGMENT <= self.segment <= MAX_SEGMENT:
            raise ManifestError(f"segments of {self.segment} bytes are not possible")
        if self.key is not None and len(self.key) != WRAPPED_BYTES:
            raise ManifestError(f"a wrapped key has {WRAPPED_BYTES} bytes, not {len(self.key)}")
        if not 0 <= self.created < 2**63:
            raise ManifestError("its date is out of range")
        if self.seal.sealed_length > MAX_OBJECT:
            raise ManifestError("the object is larger than 2^50 bytes")
        self._check_shards()

    def _check_shards(self) -> None:
        length = self.shard_length
        if len(self.shards) != (self.n if length else 0):
            raise ManifestError(f"{len(self.shards)} shards in a code of {self.n}")
        for number, shard in enumerate(self.shards):
            if len(shard.root) != 32:
                raise ManifestError(f"shard {number}: a root has 32 bytes, not {len(shard.root)}")
            if len(shard.contracts) > MAX_CONTRACTS:
                raise ManifestError(f"shard {number}: {len(shard.contracts)} contracts, at most {MAX_CONTRACTS}")
            for placed in shard.contracts:
                if not 0 <= placed.chain_id <= MAX_CHAIN_ID:
                    raise ManifestError(f"shard {number}: chain id {placed.chain_id} is out of range")
                if (placed.terms.root, placed.terms.length) != (shard.root, length):
                    raise ManifestError(f"shard {number}: a contract is about other bytes")

    @property
    def length(self) -> int:
        """Plain bytes of all files."""
        return sum(entry.size for entry in self.files)

    @property
    def seal(self) -> SealLayout:
        return SealLayout(self.length, self.segment, public=self.key is None)

    @property
    def stripes(self) -> StripeLayout:
        return StripeLayout(self.k, self.seal.sealed_length)

    @property
    def shard_length(self) -> int:
        """Bytes of each shard; 0 only for a public object without bytes, which has no shards."""
        return self.stripes.shard_length

    @property
    def id(self) -> bytes:
        """32 bytes that name the object: contracts may come and go, the id stays."""
        bare = replace(self, shards=tuple(Shard(shard.root) for shard in self.shards))
        return sha256(bare.encode()).digest()

    def offsets(self) -> Iterator[tuple[FileEntry, int]]:
        """Every file and where its bytes begin in the object."""
        at = 0
        for entry in self.files:
            yield entry, at
            at += entry.size

    def encode(self) -> bytes:
        """Canonical bytes. Raises `ManifestError` when they are too many to be read back."""
        body = {
            "v": VERSION,
            "name": self.name,
            "created": self.created,
            "files": [[entry.size, *entry.path] for entry in self.files],
            "folders": self.folders,
            "segment": self.segment,
            "k": self.k,
            "n": self.n,
            "shards": [
                [shard.root, [[each.chain_id, bytes(each.market), each.terms.pack()] for each in shard.contracts]]
                for shard in self.shards
            ],
        }
        data = encode(body if self.key is None else body | {"key": self.key})
        if len(data) > MAX_BYTES:
            raise ManifestError(f"the manifest would have {len(data)} bytes: store fewer files at once")
        return data

    @classmethod
    def decode(cls, data: bytes) -> Manifest:
        """Raises `ManifestError`, and nothing else, for any bytes."""
        try:
            body = decode(data, max_bytes=MAX_BYTES, max_items=MAX_ITEMS, max_depth=6)
        except BencodeError as error:
            raise ManifestError(f"not a manifest: {error}") from error
        if not isinstance(body, dict) or not isinstance(body.get(b"v"), int):
            raise ManifestError("not a manifest")
        if body[b"v"] != VERSION:
            raise ManifestError(f"a manifest of version {body[b'v']}: this program knows version {VERSION}, update it")
        if body.keys() | {b"key"} != _KEYS | {b"key"}:
            raise ManifestError("not a manifest: keys are missing or unknown")
        return cls(
            name=_text(body[b"name"]),
            files=tuple(_file(item) for item in _list(body[b"files"], MAX_FILES)),
            folders=tuple(_path(item) for item in _list(body[b"folders"], MAX_FILES)),
            segment=_int(body[b"segment"]),
            key=_bytes(body[b"key"]) if b"key" in body else None,
            k=_int(body[b"k"]),
            n=_int(body[b"n"]),
            shards=tuple(_shard(item) for item in _list(body[b"shards"], MAX_SHARDS)),
            created=_int(body[b"created"]),
        )


def export(manifest: Manifest, key: bytes, wrapping: bytes) -> bytes:
    """The file a person keeps: sealed under `key` (32 fresh random bytes), or in the clear for a public object."""
    data = manifest.encode()
    if manifest.key is None:
        return PUBLIC_MAGIC + data
    sealer = Sealer(SegmentSeal(key))
    return b"".join((SEALED_MAGIC, wrap_key(wrapping, key), *sealer.update(data), sealer.finish()))


def is_public(data: bytes) -> bool:
    """Whether an exported manifest can be read without the wallet. Raises `ManifestError` when it is none."""
    if data.startswith(PUBLIC_MAGIC):
        return True
    if data.startswith(SEALED_MAGIC):
        return False
    raise ManifestError("not a manifest file")


def read(data: bytes, wrapping: bytes) -> Manifest:
    """What `export` wrote. Raises `ManifestError`; for another wallet's or a changed file with `SealError` as cause.

    `wrapping` is not used for a public object: pass b"" when there is no wallet.
    """
    if is_public(data):
        return Manifest.decode(data[len(PUBLIC_MAGIC) :])
    start = len(SEALED_MAGIC) + WRAPPED_BYTES
    try:
        opener = Opener(SegmentSeal(unwrap_key(wrapping, data[len(SEALED_MAGIC) : start])))
        plain = b"".join((*opener.update(memoryview(data)[start:]), opener.finish()))
    except SealError as error:
        raise ManifestError(f"the manifest does not open: {error}") from error
    manifest = Manifest.decode(plain)
    if manifest.key is None:
        raise ManifestError("a sealed manifest of a public object: it was not made by this program")
    return manifest


def _check_name(name: str) -> None:
    """A path component that is one name on every file system, and no way out of its folder."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise ManifestError(f"the name {ascii(name)[:60]} is not text (UTF-8): rename the file") from None
    if not 0 < size <= MAX_NAME:
        raise ManifestError(f"a file name has 1 to {MAX_NAME} bytes, not {size}: rename {quoted(name)}")
    if name in (".", "..") or any(char in "/\\" or char < " " or char == "\x7f" for char in name):
        raise ManifestError(f"the name {quoted(name)} is not allowed: no '.', '..', slashes or control characters")


def path_key(path: Path) -> tuple[bytes, ...]:
    """What `files` and `folders` are sorted by: the bytes of each name.

    Raises `ManifestError` for a path that is nested too deeply, or has a name that no manifest may have.
    """
    if len(path) > MAX_DEPTH:
        raise ManifestError(f"folders are nested more than {MAX_DEPTH} deep")
    for name in path:
        _check_name(name)
    return tuple(name.encode() for name in path)


def _check_paths(files: tuple[FileEntry, ...], folders: tuple[Path, ...]) -> None:
    if not files and not folders:
        raise ManifestError("the manifest names neither a file nor a folder")
    if max(len(files), len(folders)) > MAX_FILES:
        raise ManifestError(f"more than {MAX_FILES} files or empty folders: store a folder inside this one instead")
    if any(not 0 <= entry.size <= MAX_OBJECT for entry in files):
        raise ManifestError("a file's size is out of range")
    named = [path_key(entry.path) for entry in files]
    empty = [path_key(path) for path in folders]
    if any(a >= b for paths in (named, empty) for a, b in pairwise(paths)):
        raise ManifestError("paths are not sorted, or one is there twice")
    # Sorted, whatever lies below a path comes right after it.
    for above, below in pairwise(sorted(named + empty)):
        if below[: len(above)] == above:
            where = b"/".join(above).decode() or "the object"
            raise ManifestError(f"{quoted(where)} is a file or an empty folder, and there is something below it")


def _int(value: Any) -> int:
    if not isinstance(value, int):
        raise ManifestError("not a manifest: a number is missing")
    return value


def _bytes(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise ManifestError("not a manifest: a string is missing")
    return value


def _text(value: Any) -> str:
    try:
        return _bytes(value).decode()
    except UnicodeDecodeError:
        raise ManifestError("a name is not UTF-8") from None


def _list(value: Any, most: int, least: int = 0) -> list[Any]:
    if not isinstance(value, list) or not least <= len(value) <= most:
        raise ManifestError(f"not a manifest: a list of {least} to {most} items is missing")
    return value


def _path(value: Any) -> Path:
    return tuple(_text(name) for name in _list(value, MAX_DEPTH))


def _file(value: Any) -> FileEntry:
    size, *path = _list(value, MAX_DEPTH + 1, 1)
    return FileEntry(_path(path), _int(size))


def _shard(value: Any) -> Shard:
    root, contracts = _list(value, 2, 2)
    return Shard(_bytes(root), tuple(_placed(item) for item in _list(contracts, MAX_CONTRACTS)))


def _placed(value: Any) -> Placed:
    chain_id, market, terms = _list(value, 3, 3)
    try:
        return Placed(_int(chain_id), Address(_bytes(market)), StorageContract.unpack(_bytes(terms)))
    except (AddressError, ChequeError) as error:
        raise ManifestError(f"a contract in the manifest is wrong: {error}") from error
