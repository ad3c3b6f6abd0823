"""Reed–Solomon: any k of n shards restore the object (Reed and Solomon 1960; Blömer et al. 1995 for the Cauchy form).

An object's bytes are cut into stripes of k x 1 MiB. A stripe is k data fragments, and the code adds n - k parity
fragments; shard i is fragment i of every stripe, one after the other. The last stripe is padded with zeros to k times a
multiple of 64 bytes, so that a small object makes small shards. The object's length and (k, n) fix every other size.

The format depends on no library: the code works byte by byte in GF(2^8) with the polynomial 0x11d. Byte b of fragment i
is, for i < k, byte b of the stripe's i-th part, and for i ≥ k

    parity[i][b] = Σ_j data[j][b] / (i ⊕ j)        sum and ⊕: exclusive or; division: in the field

Any k rows of that matrix are independent (it is the identity above a Cauchy matrix), for every n ≤ 255.

pyeclib (ISA-L) does the arithmetic. It puts a header before each fragment and wants it back to decode. The header
depends on place and size alone, so it is taken off here and, to decode, copied from the encoding of a stripe of zeros.

The code corrects losses, not changes: a fragment must have been checked against its shard's root before it comes here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyeclib.ec_iface import ECDriver, ECDriverError

from node.storage.errors import ShardError

FRAGMENT = 2**20
ALIGN = 64
MAX_SHARDS = 255
MAX_OBJECT = 2**50

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class StripeLayout:
    """Sizes of an object of `length` bytes (0 allowed: it has no stripe) with k data shards. Raises `ValueError`."""

    k: int
    length: int

    def __post_init__(self) -> None:
        if not 1 <= self.k < MAX_SHARDS:
            raise ValueError(f"k is 1 to {MAX_SHARDS - 1}, not {self.k}")
        if not 0 <= self.length <= MAX_OBJECT:
            raise ValueError(f"an object has 0 to 2^50 bytes, not {self.length}")

    @property
    def stripes(self) -> int:
        return -(-self.length // (self.k * FRAGMENT))

    def stripe(self, index: int) -> tuple[int, int]:
        """Offset and length of the object's bytes in stripe `index`, without padding. Raises `IndexError`."""
        if not 0 <= index < self.stripes:
            raise IndexError(f"stripe {index} of {self.stripes}")
        start = index * self.k * FRAGMENT
        return start, min(self.k * FRAGMENT, self.length - start)

    def fragment(self, index: int) -> tuple[int, int]:
        """Offset and length of stripe `index`'s fragment in every shard. Raises `IndexError`."""
        _, length = self.stripe(index)
        return index * FRAGMENT, _fragment_length(length, self.k)

    @property
    def shard_length(self) -> int:
        """Bytes of each of the n shards."""
        return sum(self.fragment(self.stripes - 1)) if self.stripes else 0


def _fragment_length(length: int, k: int) -> int:
    """Of a stripe with `length` bytes: its share of them, rounded up to `ALIGN`."""
    return -(-length // (k * ALIGN)) * ALIGN


class Striper:
    """Cuts a stream of any pieces into stripes of k MiB and a shorter last one. Memory: one stripe."""

    def __init__(self, k: int) -> None:
        self._size = k * FRAGMENT
        self._held = bytearray()

    def update(self, data: Buffer) -> list[bytearray]:
        """The stripes that these bytes complete."""
        view = memoryview(data)
        stripes = []
        while view:
            take = self._size - len(self._held)
            self._held += view[:take]
            view = view[take:]
            if len(self._held) == self._size:
                stripes.append(self._held)
                self._held = bytearray()
        return stripes

    def finish(self) -> bytearray | None:
        """The last stripe, if it is not a full one that `update` gave."""
        return self._held or None


class Code:
    """One (k, n) code. Raises `ValueError` unless 1 ≤ k < n ≤ 255. Holds one stripe of memory while it works."""

    def __init__(self, k: int, n: int) -> None:
        if not 1 <= k < n <= MAX_SHARDS:
            raise ValueError(f"erasure code {k} of {n}: wanted 1 ≤ k < n ≤ {MAX_SHARDS}")
        self.k = k
        self.n = n
        self._driver = ECDriver(k=k, m=n - k, ec_type="isa_l_rs_cauchy")
        self._headers: tuple[int, list[bytes]] = (0, [])
        """Of the fragment length that was decoded last: an object has two at most."""

    def encode(self, stripe: Buffer) -> list[memoryview]:
        """The n fragments of a stripe of 1 to k MiB, which is padded here if it is the last one.

        Raises `ValueError` for other lengths.
        """
        if not 1 <= len(stripe) <= self.k * FRAGMENT:
            raise ValueError(f"a stripe has 1 to {self.k * FRAGMENT} bytes, not {len(stripe)}")
        length = _fragment_length(len(stripe), self.k)
        framed = self._driver.encode(bytes(stripe).ljust(self.k * length, b"\0"))
        return [memoryview(fragment)[len(fragment) - length :] for fragment in framed]

    def decode(self, fragments: Mapping[int, Buffer], length: int) -> bytes:
        """The `length` bytes of a stripe from any k of its fragments, by their numbers.

        Raises `ShardError` for fewer than k, or fragments of another size; `ValueError` for a length no stripe has.
        """
        if not 1 <= length <= self.k * FRAGMENT:
            raise ValueError(f"a stripe has 1 to {self.k * FRAGMENT} bytes, not {length}")
        size = _fragment_length(length, self.k)
        chosen = self._choose(fragments, size)
        if all(number < self.k for number in chosen):
            return b"".join(fragments[number] for number in chosen)[:length]
        try:
            return self._driver.decode(self._framed(fragments, chosen, size))[:length]
        except ECDriverError as error:
            raise ShardError(f"the stripe cannot be decoded: {error}") from error

    def rebuild(self, fragments: Mapping[int, Buffer], wanted: Sequence[int]) -> dict[int, bytes]:
        """The fragments numbered `wanted` of a stripe, from any k others of equal size. Raises `ShardError`."""
        size = len(next(iter(fragments.values()), b""))
        if not 0 < size <= FRAGMENT or size % ALIGN:
            raise ShardError(f"a fragment has 64 to {FRAGMENT} bytes in steps of 64, not {size}")
        if not all(0 <= number < self.n for number in wanted):
            raise ShardError(f"a code of {self.n} has fragments 0 to {self.n - 1}")
        chosen = self._choose(fragments, size)
        missing = [number for number in wanted if number not in fragments]
        rebuilt = {number: bytes(fragments[number]) for number in wanted if number in fragments}
        if missing:
            framed = self._framed(fragments, chosen, size)
            try:
                made = self._driver.reconstruct(framed, missing)
            except ECDriverError as error:
                raise ShardError(f"the fragments cannot be rebuilt: {error}") from error
            rebuilt |= {number: fragment[-size:] for number, fragment in zip(missing, made, strict=True)}
        return rebuilt

    def _choose(self, fragments: Mapping[int, Buffer], size: int) -> list[int]:
        """The k lowest numbers: data fragments first, as they need no arithmetic."""
        for number, fragment in fragments.items():
            if not 0 <= number < self.n:
                raise ShardError(f"a code of {self.n} has no fragment {number}")
            if len(fragment) != size:
                raise ShardError(f"fragment {number} has {len(fragment)} bytes, not {size}")
        if len(fragments) < self.k:
            raise ShardError(f"{len(fragments)} shards are left and {self.k} are needed")
        return sorted(fragments)[: self.k]

    def _framed(self, fragments: Mapping[int, Buffer], chosen: list[int], size: int) -> list[bytes]:
        if self._headers[0] != size:
            zeros = self._driver.encode(bytes(self.k * size))
            self._headers = (size, [fragment[:-size] for fragment in zeros])
        headers = self._headers[1]
        return [headers[number] + bytes(fragments[number]) for number in chosen]
