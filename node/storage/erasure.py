"""Reed–Solomon: any k of n shards restore the object (Reed and Solomon 1960; Blömer et al. 1995 for the Cauchy form).

An object's bytes are cut into stripes of k x 1 MiB. A stripe is k data fragments, and the code adds n - k parity
fragments; shard i is fragment i of every stripe, one after the other. The last stripe is padded with zeros to k times a
multiple of 64 bytes, so that a small object makes small shards. The object's length and (k, n) fix every other size.

The format depends on no library: the code works byte by byte in GF(2^8) with the polynomial 0x11d. Byte b of fragment i
is, for i < k, byte b of the stripe's i-th part, and for i ≥ k

    parity[i][b] = Σ_j data[j][b] / (i ⊕ j)        sum and ⊕: exclusive or; division: in the field

Any k rows of that matrix are independent (it is the identity above a Cauchy matrix), for every n ≤ 255.

`node.storage.isal` does the arithmetic. Whatever is wanted (parity, lost data, any lost fragment) is a sum of k others,
each times a factor: the wanted rows times the inverse of the rows at hand.

The code corrects losses, not changes: a fragment must have been checked against its shard's root before it comes here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from node.storage.errors import ShardError
from node.storage.isal import Combination, cauchy, inverse

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
        return index * FRAGMENT, fragment_length(length, self.k)

    @property
    def shard_length(self) -> int:
        """Bytes of each of the n shards."""
        return sum(self.fragment(self.stripes - 1)) if self.stripes else 0


def fragment_length(length: int, k: int) -> int:
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
    """One (k, n) code. Raises `ValueError` unless 1 ≤ k < n ≤ 255."""

    def __init__(self, k: int, n: int) -> None:
        if not 1 <= k < n <= MAX_SHARDS:
            raise ValueError(f"erasure code {k} of {n}: wanted 1 ≤ k < n ≤ {MAX_SHARDS}")
        self.k = k
        self.n = n
        self._rows = cauchy(k, n)
        self._last: tuple[object, Combination] | None = None
        """What was made from what the last time: an object is always the same case."""

    def encode(self, stripe: Buffer) -> list[memoryview]:
        """The n fragments of a stripe of 1 to k MiB, which is padded here if it is the last one.

        Raises `ValueError` for other lengths.
        """
        if not 1 <= len(stripe) <= self.k * FRAGMENT:
            raise ValueError(f"a stripe has 1 to {self.k * FRAGMENT} bytes, not {len(stripe)}")
        length = fragment_length(len(stripe), self.k)
        made = memoryview(bytearray(self.n * length))
        made[: len(stripe)] = stripe
        fragments = [made[at : at + length] for at in range(0, len(made), length)]
        self.make(dict(enumerate(fragments[: self.k])), dict(enumerate(fragments[self.k :], self.k)))
        return fragments

    def decode(self, fragments: Mapping[int, Buffer], length: int) -> bytes:
        """The `length` bytes of a stripe from any k of its fragments, by their numbers.

        Raises `ShardError` for fewer than k, or fragments of another size; `ValueError` for a length no stripe has.
        """
        if not 1 <= length <= self.k * FRAGMENT:
            raise ValueError(f"a stripe has 1 to {self.k * FRAGMENT} bytes, not {length}")
        size = fragment_length(length, self.k)
        self._check(fragments, size)
        lost = {number: bytearray(size) for number in range(self.k) if number not in fragments}
        self.make(fragments, lost)
        every = {**fragments, **lost}
        return b"".join(every[number] for number in range(self.k))[:length]

    def make(self, fragments: Mapping[int, Buffer], wanted: Mapping[int, bytearray | memoryview]) -> None:
        """Write the fragments numbered `wanted` into these buffers, from any k others; all have one size.

        Of more than k those with the lowest numbers are taken. Raises `ShardError` for fewer than k, numbers that the
        code does not have, or several sizes. Lets the interpreter's lock go while it works.
        """
        sizes = {len(buffer) for buffer in wanted.values()}
        if not sizes:
            return
        self._check(fragments, sizes.pop())
        if sizes or not all(0 <= number < self.n for number in wanted):
            raise ShardError(f"a code of {self.n} has fragments 0 to {self.n - 1}, of one size")
        chosen = sorted(fragments)[: self.k]
        combination = self._combination(tuple(chosen), tuple(wanted))
        combination.into(list(wanted.values()), [fragments[number] for number in chosen])

    def _check(self, fragments: Mapping[int, Buffer], size: int) -> None:
        for number, fragment in fragments.items():
            if not 0 <= number < self.n:
                raise ShardError(f"a code of {self.n} has no fragment {number}")
            if len(fragment) != size:
                raise ShardError(f"fragment {number} has {len(fragment)} bytes, not {size}")
        if len(fragments) < self.k:
            raise ShardError(f"{len(fragments)} shards are left and {self.k} are needed")

    def _combination(self, chosen: tuple[int, ...], wanted: tuple[int, ...]) -> Combination:
        """From the fragments `chosen` to those `wanted`: wanted rows x (chosen rows)⁻¹."""
        last = self._last
        if last is not None and last[0] == (chosen, wanted):
            return last[1]
        rows = Combination([self._rows[number] for number in wanted])
        if chosen != tuple(range(self.k)):
            products = [bytearray(self.k) for _ in wanted]
            rows.into(products, inverse([self._rows[number] for number in chosen]))
            rows = Combination([bytes(product) for product in products])
        self._last = ((chosen, wanted), rows)
        return rows
