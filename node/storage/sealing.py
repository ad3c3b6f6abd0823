"""Sealing: hosts store bytes that say nothing, and whatever they change, cut, move or mix is noticed.

An object's plain bytes are cut into segments, and each is sealed with AES-256-GCM under the object's own random key by
the STREAM construction (Hoang, Reyhanitabar, Rogaway and Vizár 2015; as in age and Tink):

    nonce = segment number (11 bytes, big-endian) ‖ 1 for the last segment, else 0
    associated data = format name and segment size
    sealed segment = ciphertext ‖ 16-byte tag

So a segment opens only at its place: the number stops reordering and duplication, the flag stops cutting (a shorter
object would end in a segment not marked as last) and adding, the key stops mixing of objects. A key seals one object
only, hence no nonce is used twice. Every segment is full but the last, which is empty only in an object of 0 bytes.

The object's key is kept wrapped (AES key wrap, RFC 3394) by a key derived from the wallet's seed (HKDF, RFC 5869), so
the seed and the manifest are enough on another machine. A public object has no key: its segments are the plain bytes,
and only the roots of its shards protect them.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from node.storage.errors import SealError

KEY_BYTES = 32
WRAPPED_BYTES = 40
TAG = 16
SEGMENT = 2**20
MIN_SEGMENT, MAX_SEGMENT = 2**10, 2**24
FORMAT = b"bttnode sealed object 1"
_WRAPPING = b"bttnode storage wrapping key 1"
_LEAST_SECRET = 32


def wrapping_key(secret: bytes) -> bytes:
    """The 32-byte key that wraps object keys, from the wallet's seed (at least 32 bytes of full entropy)."""
    if len(secret) < _LEAST_SECRET:
        raise ValueError(f"the wallet's secret has at least {_LEAST_SECRET} bytes")
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=_WRAPPING).derive(secret)


def wrap_key(wrapping: bytes, key: bytes) -> bytes:
    """40 bytes that only `unwrap_key` with the same wrapping key opens. Deterministic."""
    _check_key(key)
    return aes_key_wrap(wrapping, key)


def unwrap_key(wrapping: bytes, wrapped: bytes) -> bytes:
    """Raises `SealError` for another wallet's key or changed bytes."""
    if len(wrapped) != WRAPPED_BYTES:
        raise SealError(f"a wrapped key has {WRAPPED_BYTES} bytes, not {len(wrapped)}")
    try:
        return aes_key_unwrap(wrapping, wrapped)
    except InvalidUnwrap:
        raise SealError("the object's key does not open: it belongs to another wallet, or is damaged") from None


def _check_key(key: bytes) -> None:
    if len(key) != KEY_BYTES:
        raise ValueError(f"an object's key has {KEY_BYTES} bytes")


@dataclass(frozen=True, slots=True)
class SealLayout:
    """Where the segments of `length` plain bytes are in the sealed object. Raises `ValueError`."""

    length: int
    segment: int = SEGMENT
    public: bool = False

    def __post_init__(self) -> None:
        if self.length < 0:
            raise ValueError(f"an object has at least 0 bytes, not {self.length}")
        _check_segment(self.segment)

    @property
    def segments(self) -> int:
        return max(1, -(-self.length // self.segment))

    @property
    def overhead(self) -> int:
        """Bytes by which a segment grows."""
        return 0 if self.public else TAG

    @property
    def sealed_length(self) -> int:
        return self.length + self.segments * self.overhead

    def sealed(self, index: int) -> tuple[int, int]:
        """Offset and length of sealed segment `index`. Raises `IndexError`."""
        if not 0 <= index < self.segments:
            raise IndexError(f"segment {index} of {self.segments}")
        offset = index * (self.segment + self.overhead)
        return offset, min(self.segment + self.overhead, self.sealed_length - offset)


def _check_segment(size: int) -> None:
    if not MIN_SEGMENT <= size <= MAX_SEGMENT:
        raise ValueError(f"a segment has 1 KiB to 16 MiB, not {size} bytes")


class SegmentSeal:
    """Seals and opens single segments by their number; `key` None: a public object."""

    __slots__ = ("_associated", "_cipher", "segment")

    def __init__(self, key: bytes | None, segment: int = SEGMENT) -> None:
        _check_segment(segment)
        if key is not None:
            _check_key(key)
        self.segment = segment
        self._cipher = None if key is None else AESGCM(key)
        self._associated = FORMAT + segment.to_bytes(4, "big")

    @property
    def sealed_segment(self) -> int:
        """Bytes of a full sealed segment."""
        return self.segment + (TAG if self._cipher else 0)

    def seal(self, index: int, plain: bytes | memoryview, *, last: bool) -> bytes:
        """Raises `ValueError` for a size that a segment at this place cannot have."""
        if not self._fits(index, len(plain), last):
            raise ValueError(f"segment {index} cannot have {len(plain)} bytes")
        if self._cipher is None:
            return bytes(plain)
        return self._cipher.encrypt(_nonce(index, last), plain, self._associated)

    def open(self, index: int, sealed: bytes | memoryview, *, last: bool) -> bytes:
        """Raises `SealError` unless these bytes were sealed at this place of this object."""
        length = len(sealed) - (TAG if self._cipher else 0)
        if self._fits(index, length, last):
            if self._cipher is None:
                return bytes(sealed)
            try:
                return self._cipher.decrypt(_nonce(index, last), sealed, self._associated)
            except InvalidTag:
                pass  # the same fault, and the same words, as a size that cannot be
        raise SealError(f"segment {index} does not open: the object was changed, cut or mixed with another")

    def _fits(self, index: int, length: int, last: bool) -> bool:
        if not last:
            return length == self.segment
        return (0 if index == 0 else 1) <= length <= self.segment

    def __repr__(self) -> str:
        return f"SegmentSeal({'sealed' if self._cipher else 'public'}, {self.segment})"


def _nonce(index: int, last: bool) -> bytes:
    return index.to_bytes(11, "big") + bytes((last,))


class _Stream:
    """Cuts a stream into full segments and the last one. It holds back up to one segment: it may be the last."""

    def __init__(self, seal: SegmentSeal, size: int) -> None:
        self._seal = seal
        self._size = size
        self._index = 0
        self._held = bytearray()

    def _cut(self, data: bytes | memoryview) -> list[tuple[int, memoryview]]:
        """The segments that surely have a successor, with their numbers. Copies a byte at most once."""
        view = memoryview(data)
        segments = []
        while len(self._held) + len(view) > self._size:
            take = self._size - len(self._held)
            if self._held:
                self._held += view[:take]
                segment, self._held = memoryview(self._held), bytearray()
            else:
                segment = view[:take]
            segments.append((self._index, segment))
            self._index += 1
            view = view[take:]
        self._held += view
        return segments


class Sealer(_Stream):
    """Plain bytes in pieces of any size → sealed segments. `update` for each piece, `finish` once."""

    def __init__(self, seal: SegmentSeal) -> None:
        super().__init__(seal, seal.segment)

    def update(self, plain: bytes | memoryview) -> list[bytes]:
        return [self._seal.seal(index, segment, last=False) for index, segment in self._cut(plain)]

    def finish(self) -> bytes:
        return self._seal.seal(self._index, memoryview(self._held), last=True)


class Opener(_Stream):
    """Sealed bytes in pieces of any size → plain segments; the plain bytes are whole only after `finish` returned."""

    def __init__(self, seal: SegmentSeal) -> None:
        super().__init__(seal, seal.sealed_segment)

    def update(self, sealed: bytes | memoryview) -> list[bytes]:
        """Raises `SealError`."""
        return [self._seal.open(index, segment, last=False) for index, segment in self._cut(sealed)]

    def finish(self) -> bytes:
        """Raises `SealError` if the object does not end here."""
        return self._seal.open(self._index, memoryview(self._held), last=True)
