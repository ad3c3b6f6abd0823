"""The sealed label that hosts keep beside a shard: what restores a lost machine from the wallet's seed alone.

Theory. A person who loses the machine and the manifest file still has the seed, and the chain still names every
contract of the wallet, with its host and the shard's root. What is missing is the manifest; so it goes where the shards
are, as a label on every box. It says nothing to the host but its size, and the host need not be trusted about it:

* It is compressed, coded P of n with the shards' own code (`erasure`), and the contract about shard i keeps piece i. P
  is the least number for which a piece fits into `MAX_LABEL`: for nearly all objects 1, so that any host brings all of
  it, and never more than k, so that the hosts which restore an object restore its manifest.
* A piece is sealed with AES-256-GCM under a key of its own, derived (HKDF, RFC 5869) from the wallet's wrapping key and
  a fresh salt, and bound to its contract and its number. Another wallet's, another contract's or another number's piece
  does not open. A host can withhold its piece or show an old one; the highest number that is whole among n hosts wins.

    sealed piece = salt (32) ‖ AES-256-GCM(bencoded piece)
    piece        = object, shard, P, n, length, SHA-256 of the plain label, its part of the compressed one
    plain label  = bencoded settings of the object and its manifest, without contracts: those are on the chain

Public objects' labels are sealed too: their content is for everybody, not the settings of their owner.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from node.bencode import BencodeError, decode, encode
from node.storage.erasure import ALIGN, MAX_SHARDS, Code
from node.storage.errors import LabelError, ShardError, StorageError
from node.storage.manifest import MAX_BYTES, Manifest
from wallet.address import Address

VERSION = 1
MAX_LABEL = 2**19
"""Bytes of one sealed piece, and so what a host keeps with one contract."""
MAX_PIECE = MAX_LABEL - 16 * ALIGN
"""Bytes of a part of the compressed label, a whole fragment: the rest is for the frame around it."""
MAX_NUMBER = 2**53 - 1
SALT = 32
OBJECT_ID = 8
_INFO = b"bttnode storage label 1"
_NONCE = bytes(12)
"""Each piece has a key of its own."""
_PLAIN_ROOM = 4096
"""Bytes of a plain label besides its manifest, at most."""
_LEVEL = 6


@dataclass(frozen=True, slots=True)
class Label:
    """What is to be known of an object again. `object`: its id, 16 hex digits; `seconds`, `until`, `max_price`,
    `auditor`, `renew`: as the user wants it kept (`node.ports.renting.StoredObject`); `forgotten`: the user wants it no
    more; `manifest`: encoded, without contracts."""

    object: str
    created: int
    seconds: int
    until: int
    max_price: int
    auditor: Address
    renew: bool
    forgotten: bool
    manifest: bytes = field(repr=False)

    def encode(self) -> bytes:
        """Canonical bytes."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return encode(
            values
            | {
                "v": VERSION,
                "object": bytes.fromhex(self.object),
                "auditor": bytes(self.auditor),
                "renew": int(self.renew),
                "forgotten": int(self.forgotten),
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> Label:
        """Raises `LabelError`, and nothing else, for any bytes."""
        body = _body(data, MAX_BYTES + _PLAIN_ROOM, {each.name for each in fields(cls)})
        return cls(
            object=_bytes(body, "object", OBJECT_ID).hex(),
            created=_number(body, "created", 2**63 - 1),
            seconds=_number(body, "seconds", 2**63 - 1),
            until=_number(body, "until", 2**63 - 1),
            max_price=_number(body, "max_price", 2**256 - 1),
            auditor=Address(_bytes(body, "auditor", 20)),
            renew=bool(_number(body, "renew", 1)),
            forgotten=bool(_number(body, "forgotten", 1)),
            manifest=_bytes(body, "manifest"),
        )

    @property
    def digest(self) -> bytes:
        """32 bytes: two labels that say the same have the same."""
        return sha256(self.encode()).digest()


@dataclass(frozen=True, slots=True)
class Piece:
    """One host's part of a label: any `parts` of `n` with equal `object`, `length` and `digest` make it whole."""

    object: str
    shard: int
    parts: int
    n: int
    length: int
    digest: bytes
    data: bytes = field(repr=False)

    @property
    def group(self) -> tuple[str, int, int, int, bytes]:
        """Equal for the pieces of one label."""
        return self.object, self.parts, self.n, self.length, self.digest


# --- making -----------------------------------------------------------------------------------------------------------


def cut(label: Label, k: int, n: int, shards: Iterable[int]) -> dict[int, Piece]:
    """The pieces for these shards of an object coded k of n. Raises `LabelError` where k of them could not hold it."""
    plain = label.encode()
    packed = zlib.compress(plain, _LEVEL)
    parts = max(1, -(-len(packed) // MAX_PIECE))
    if parts > k:
        raise LabelError(
            f"its manifest has {len(packed)} bytes packed, and {k} hosts keep at most {k * MAX_PIECE} of it",
        )
    fragments = Code(parts, n).encode(packed)
    digest = sha256(plain).digest()
    return {
        number: Piece(label.object, number, parts, n, len(packed), digest, bytes(fragments[number]))
        for number in shards
    }


def seal(piece: Piece, contract: bytes, number: int, wrapping: bytes, salt: bytes) -> bytes:
    """What the host of `contract` keeps. `salt`: 32 fresh random bytes; `wrapping`: of `sealing.wrapping_key`."""
    if len(salt) != SALT:
        raise ValueError(f"a salt has {SALT} bytes")
    plain = encode(
        {
            "v": VERSION,
            "object": bytes.fromhex(piece.object),
            "shard": piece.shard,
            "parts": piece.parts,
            "n": piece.n,
            "length": piece.length,
            "digest": piece.digest,
            "data": piece.data,
        }
    )
    return salt + _cipher(wrapping, salt).encrypt(_NONCE, plain, _associated(contract, number))


# --- reading ----------------------------------------------------------------------------------------------------------


def open_piece(data: bytes, contract: bytes, number: int, wrapping: bytes) -> Piece:
    """Raises `LabelError`, and nothing else, for what this wallet has not sealed for this contract and number."""
    if not SALT < len(data) <= MAX_LABEL or not 0 <= number <= MAX_NUMBER:
        raise LabelError("not a label")
    try:
        plain = _cipher(wrapping, data[:SALT]).decrypt(_NONCE, data[SALT:], _associated(contract, number))
    except InvalidTag:
        raise LabelError("the label does not open: it was changed, or is another wallet's or contract's") from None
    body = _body(plain, MAX_LABEL, {each.name for each in fields(Piece)})
    parts, n = _number(body, "parts", MAX_SHARDS), _number(body, "n", MAX_SHARDS)
    if not 1 <= parts < n:
        raise LabelError(f"a label in {parts} parts of {n} is not possible")
    return Piece(
        object=_bytes(body, "object", OBJECT_ID).hex(),
        shard=_number(body, "shard", n - 1),
        parts=parts,
        n=n,
        length=_number(body, "length", parts * MAX_PIECE, least=1),
        digest=_bytes(body, "digest", 32),
        data=_bytes(body, "data"),
    )


def join(pieces: Iterable[Piece]) -> Label:
    """The label of pieces of one group. Raises `LabelError` for too few, or for what they do not make."""
    found = list(pieces)
    if not found or len({piece.group for piece in found}) != 1:
        raise LabelError("these are not the pieces of one label")
    first = found[0]
    by_shard: Mapping[int, bytes] = {piece.shard: piece.data for piece in found}
    if len(by_shard) < first.parts:
        raise LabelError(f"{len(by_shard)} of the {first.parts} pieces that it takes are there")
    try:
        plain = _unpacked(Code(first.parts, first.n).decode(by_shard, first.length))
    except (ShardError, ValueError, zlib.error) as error:
        raise LabelError(f"the label cannot be put together: {error}") from error
    if sha256(plain).digest() != first.digest:
        raise LabelError("the label is not the one that was cut")
    label = Label.decode(plain)
    if label.object != first.object:
        raise LabelError("the label is another object's than its pieces say")
    return label


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest label of an object that is whole, its number and its manifest."""

    label: Label
    number: int
    manifest: Manifest


def newest(pieces: Iterable[tuple[int, Piece]]) -> Newest:
    """Of one object's pieces, with their numbers. Raises `LabelError` where none is whole, saying how near it came."""
    # What says the same may have come to its hosts under several numbers.
    groups: defaultdict[Any, list[tuple[int, Piece]]] = defaultdict(list)
    for number, piece in pieces:
        groups[piece.group].append((number, piece))
    fault = LabelError("no host has shown its label")
    for group in sorted(groups.values(), key=_highest, reverse=True):
        number = _highest(group)
        try:
            label = join(piece for _, piece in group)
            return Newest(label, number, Manifest.decode(label.manifest))
        except StorageError as error:
            fault = LabelError(str(error))
    raise fault


def _highest(group: Iterable[tuple[int, Piece]]) -> int:
    return max(number for number, _ in group)


def _unpacked(packed: bytes) -> bytes:
    """Bounded: what a label cannot be is not unpacked."""
    unpacker = zlib.decompressobj()
    plain = unpacker.decompress(packed, MAX_BYTES + _PLAIN_ROOM)
    if not unpacker.eof or unpacker.unused_data:
        raise LabelError("it is longer than any label, or cut")
    return plain


def _cipher(wrapping: bytes, salt: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), 32, salt=salt, info=_INFO).derive(wrapping))


def _associated(contract: bytes, number: int) -> bytes:
    return contract + number.to_bytes(8, "big")


def _body(data: bytes, most: int, names: set[str]) -> dict[bytes, Any]:
    try:
        body = decode(data, max_bytes=most, max_depth=2, max_items=32)
    except BencodeError as error:
        raise LabelError(f"not a label: {error}") from error
    if not isinstance(body, dict) or not isinstance(body.get(b"v"), int):
        raise LabelError("not a label")
    if body[b"v"] != VERSION:
        raise LabelError(f"a label of version {body[b'v']}: this program knows version {VERSION}, update it")
    if body.keys() != {b"v", *(name.encode() for name in names)}:
        raise LabelError("not a label: keys are missing or unknown")
    return body


def _number(body: Mapping[bytes, Any], name: str, most: int, *, least: int = 0) -> int:
    value = body[name.encode()]
    if not isinstance(value, int) or not least <= value <= most:
        raise LabelError(f"not a label: {name} is out of range")
    return value


def _bytes(body: Mapping[bytes, Any], name: str, size: int | None = None) -> bytes:
    value = body[name.encode()]
    if not isinstance(value, bytes) or (size is not None and len(value) != size):
        raise LabelError(f"not a label: {name} is missing")
    return value
