"""The code's promises: a format defined without any library, and any k of n fragments give the stripe back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyeclib.ec_iface import ECDriver

from node.storage.erasure import ALIGN, FRAGMENT, MAX_OBJECT, Buffer, Code, StripeLayout, Striper
from node.storage.errors import ShardError
from tests.unit.storage import field

CODES = st.sampled_from([(1, 2), (2, 3), (3, 6), (10, 30), (17, 40)])


def noise(length: int) -> bytes:
    return b"".join(sha256(f"noise {at}".encode()).digest() for at in range(-(-length // 32)))[:length]


def made(code: Code, fragments: Mapping[int, Buffer], wanted: Iterable[int]) -> dict[int, bytearray]:
    """Fragments from others."""
    size = len(next(iter(fragments.values())))
    targets = {number: bytearray(size) for number in wanted}
    code.make(fragments, targets)
    return targets


def test_parity_of_a_known_stripe() -> None:
    stripe = bytes(range(128))
    fragments = Code(2, 4).encode(stripe)
    assert fragments[0] == stripe[:64]
    assert fragments[1] == stripe[64:]
    assert (field.INVERSE[2], field.INVERSE[3]) == (0x8E, 0xF4)  # rows: 1/2, 1/3 and 1/3, 1/2
    assert bytes(fragments[2][:8]).hex() == "cbb13f453e44cab0"
    assert bytes(fragments[3][:8]).hex() == "205ad4aed5af215b"
    assert sha256(b"".join(fragments)).hexdigest() == "e1a56b3e26ee283062a4fafe841d2355d3d569f70a8d723ec39f3ea98a5cad41"


@pytest.mark.parametrize(("k", "n"), [(1, 2), (1, 255), (2, 4), (3, 6), (10, 30), (32, 40), (128, 255), (254, 255)])
def test_fragments_are_those_of_the_definition(k: int, n: int) -> None:
    stripe = noise(k * ALIGN)
    fragments = [bytes(fragment) for fragment in Code(k, n).encode(stripe)]
    assert fragments == field.encode(k, n, stripe)


@settings(max_examples=60)
@given(CODES, st.integers(1, 3000), st.randoms(use_true_random=False))
def test_any_k_fragments_restore_a_stripe_and_every_other_fragment(
    shape: tuple[int, int], length: int, random: Random
) -> None:
    k, n = shape
    code = Code(k, n)
    stripe = noise(length)
    fragments = code.encode(stripe)
    left = random.sample(range(n), k)
    some = {number: fragments[number] for number in left}
    assert code.decode(some, length) == stripe
    assert made(code, some, range(n)) == dict(enumerate(fragments))


@pytest.mark.parametrize(("k", "n"), [(3, 6), (10, 30)])
def test_fragments_are_those_of_pyeclib(k: int, n: int) -> None:
    stripe = noise(k * 4096)
    theirs = ECDriver(k=k, m=n - k, ec_type="isa_l_rs_cauchy").encode(stripe)
    assert [fragment[-4096:] for fragment in theirs] == Code(k, n).encode(stripe)


def test_fragments_are_made_in_place_and_of_whatever_buffers_there_are() -> None:
    code, stripe = Code(2, 4), noise(256)
    whole = memoryview(bytearray(4 * 128))
    whole[:256] = stripe
    parts = [whole[at : at + 128] for at in range(0, 512, 128)]
    code.make({0: parts[0].toreadonly(), 1: bytes(parts[1])}, {2: parts[2], 3: parts[3]})
    assert parts == code.encode(stripe)


def test_the_definition_alone_restores_what_the_library_encoded() -> None:
    stripe = noise(3 * ALIGN)
    fragments = [bytes(fragment) for fragment in Code(3, 6).encode(stripe)]
    assert field.decode(3, {5: fragments[5], 1: fragments[1], 3: fragments[3]}) == stripe


def test_a_full_stripe_has_fragments_of_one_mebibyte_and_survives_the_most_losses() -> None:
    stripe = noise(2**16) * 48
    code = Code(3, 6)
    fragments = code.encode(stripe)
    assert [len(fragment) for fragment in fragments] == [FRAGMENT] * 6
    assert code.decode(dict(enumerate(fragments[3:], 3)), len(stripe)) == stripe


def test_one_code_serves_full_and_last_stripes_in_turn() -> None:
    code = Code(3, 6)
    for length in (6400, 1, 6400):
        fragments = code.encode(noise(length))
        assert code.decode({5: fragments[5], 4: fragments[4], 0: fragments[0]}, length) == noise(length)


@given(st.integers(1, 254), st.integers(0, 2**36))
def test_stripes_cover_the_object_and_fragments_the_shard(k: int, length: int) -> None:
    layout = StripeLayout(k, length)
    sample = sorted({0, 1, layout.stripes // 2, layout.stripes - 2, layout.stripes - 1} & set(range(layout.stripes)))
    for index in sample:
        start, size = layout.stripe(index)
        place, fragment = layout.fragment(index)
        assert (start, place) == (index * k * FRAGMENT, index * FRAGMENT)
        assert 0 < size <= k * fragment < size + k * ALIGN
        last = index == layout.stripes - 1
        assert (start + size == length) == last
        assert (place + fragment == layout.shard_length) == last
    assert bool(layout.stripes) == bool(length) == bool(layout.shard_length)


@pytest.mark.parametrize("length", [0, 1, 2 * FRAGMENT - 1, 2 * FRAGMENT, 2 * FRAGMENT + 1, 5 * FRAGMENT])
@pytest.mark.parametrize("piece", [99_991, 2 * FRAGMENT, 5 * FRAGMENT])
def test_a_stream_is_cut_where_the_layout_says(length: int, piece: int) -> None:
    data = noise(2**16) * 80
    striper = Striper(2)
    stripes = [
        stripe for at in range(0, length, piece) for stripe in striper.update(data[at : min(length, at + piece)])
    ]
    last = striper.finish()
    stripes += [] if last is None else [last]
    layout = StripeLayout(2, length)
    cuts = [layout.stripe(index) for index in range(layout.stripes)]
    assert stripes == [data[start : start + size] for start, size in cuts]


@pytest.mark.parametrize(("k", "n"), [(0, 1), (3, 3), (4, 3), (255, 255), (100, 256), (-1, 5)])
def test_impossible_codes_are_refused(k: int, n: int) -> None:
    with pytest.raises(ValueError, match="wanted 1"):
        Code(k, n)


def test_sizes_out_of_bounds_are_refused() -> None:
    code = Code(3, 6)
    for size in (0, 3 * FRAGMENT + 1):
        with pytest.raises(ValueError, match="a stripe has"):
            code.encode(bytes(size))
        with pytest.raises(ValueError, match="a stripe has"):
            code.decode({}, size)
    with pytest.raises(ValueError, match="k is 1 to 254"):
        StripeLayout(255, 0)
    with pytest.raises(ValueError, match="an object has"):
        StripeLayout(3, MAX_OBJECT + 1)
    with pytest.raises(IndexError):
        StripeLayout(3, 0).stripe(0)


def test_too_few_or_wrong_fragments_are_refused_in_one_line() -> None:
    code = Code(3, 6)
    fragments = dict(enumerate(code.encode(noise(192))))
    two = {0: fragments[0], 5: fragments[5]}
    with pytest.raises(ShardError, match="2 shards are left and 3 are needed"):
        code.decode(two, 192)
    with pytest.raises(ShardError, match="2 shards are left and 3 are needed"):
        made(code, two, [1])
    with pytest.raises(ShardError, match="fragment 1 has 63 bytes, not 64"):
        code.decode({**two, 1: fragments[1][:63]}, 192)
    with pytest.raises(ShardError, match="no fragment 6"):
        code.decode({**two, 6: fragments[1]}, 192)
    with pytest.raises(ShardError, match="fragments 0 to 5"):
        made(code, fragments, [6])
    with pytest.raises(ShardError, match="of one size"):
        code.make(fragments, {1: bytearray(64), 2: bytearray(128)})
    with pytest.raises(ShardError, match="fragment 0 has 64 bytes, not 128"):
        code.make(fragments, {1: bytearray(128)})
