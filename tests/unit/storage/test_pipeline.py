"""The cores together: an object becomes shards, all that may be lost is lost, and it comes back byte for byte."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from node.storage.erasure import Code, StripeLayout, Striper
from node.storage.errors import SealError
from node.storage.merkle import TreeHasher, root_of
from node.storage.sealing import Opener, Sealer, SealLayout, SegmentSeal

KEY = bytes(range(32))
MIB = 2**20


def noise(length: int) -> bytes:
    return Random(length).randbytes(length)


def sealed(plain: bytes, key: bytes | None) -> bytes:
    sealer = Sealer(SegmentSeal(key))
    return b"".join((*sealer.update(plain), sealer.finish()))


def opened(data: Iterator[bytes], key: bytes | None) -> bytes:
    opener = Opener(SegmentSeal(key))
    parts = [part for piece in data for part in opener.update(piece)]
    return b"".join((*parts, opener.finish()))


def shards_of(data: bytes, code: Code) -> tuple[list[bytes], list[bytes]]:
    """Shards and their roots, stripe by stripe."""
    shards = [bytearray() for _ in range(code.n)]
    hashers = [TreeHasher() for _ in range(code.n)]
    striper = Striper(code.k)
    pieces = (data[at : at + 700_000] for at in range(0, len(data), 700_000))
    stripes = [stripe for piece in pieces for stripe in striper.update(piece)]
    last = striper.finish()
    for stripe in stripes if last is None else [*stripes, last]:
        for shard, hasher, fragment in zip(shards, hashers, code.encode(stripe), strict=True):
            shard += fragment
            hasher.update(fragment)
    for hasher in hashers:
        hasher.finish()
    return [bytes(shard) for shard in shards], [hasher.root for hasher in hashers]


def stripes_from(shards: dict[int, bytes], length: int, code: Code) -> Iterator[bytes]:
    layout = StripeLayout(code.k, length)
    for index in range(layout.stripes):
        at, size = layout.fragment(index)
        fragments = {number: shard[at : at + size] for number, shard in shards.items()}
        yield code.decode(fragments, layout.stripe(index)[1])


@pytest.mark.parametrize("key", [KEY, None], ids=["sealed", "public"])
@pytest.mark.parametrize("length", [0, 1, 2**14 - 1, 2**14, 2**14 + 1, MIB - 1, MIB, MIB + 1, 3 * MIB, 7 * MIB + 5])
def test_what_was_stored_is_restored_from_the_fewest_shards(length: int, key: bytes | None) -> None:
    plain = noise(length)
    code = Code(3, 6)
    data = sealed(plain, key)
    layout = SealLayout(length, public=key is None)
    assert len(data) == layout.sealed_length
    if not data:
        return  # a public object without bytes has no shards
    shards, roots = shards_of(data, code)
    assert {len(shard) for shard in shards} == {StripeLayout(3, len(data)).shard_length}
    left = Random(length).sample(range(6), 3)
    kept = {number: shards[number] for number in left}
    assert all(root_of(shard) == roots[number] for number, shard in kept.items())
    assert opened(stripes_from(kept, len(data), code), key) == plain


def test_a_shard_that_was_not_checked_against_its_root_cannot_pass_the_seal() -> None:
    code = Code(3, 6)
    data = sealed(noise(2 * MIB), KEY)
    shards, roots = shards_of(data, code)
    spoiled = bytes((shards[5][0] ^ 1,)) + shards[5][1:]
    assert root_of(spoiled) != roots[5]
    with pytest.raises(SealError):
        opened(stripes_from({0: shards[0], 1: shards[1], 5: spoiled}, len(data), code), KEY)


def test_a_rebuilt_shard_is_the_lost_one() -> None:
    code = Code(3, 6)
    data = sealed(noise(4 * MIB), KEY)
    shards, roots = shards_of(data, code)
    layout = StripeLayout(3, len(data))
    rebuilt = bytearray()
    for index in range(layout.stripes):
        at, size = layout.fragment(index)
        fragment = bytearray(size)
        code.make({number: shards[number][at : at + size] for number in (1, 3, 5)}, {4: fragment})
        rebuilt += fragment
    assert root_of(bytes(rebuilt)) == roots[4]
