"""The compiled function and the one in Python are the same function."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.storage._digests import digests
from node.storage.digests import plain
from node.storage.merkle import BLOCK

SIZES = st.one_of(st.integers(0, 400), st.sampled_from([BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 5 * BLOCK + 7]))


@given(st.randoms(use_true_random=False), SIZES, st.one_of(st.integers(1, 200), st.sampled_from([64, 128, BLOCK])))
def test_every_piece_has_its_digest(random: Random, length: int, piece: int) -> None:
    data = random.randbytes(length)
    assert digests(data, piece) == digests(memoryview(bytearray(data)), piece) == plain(data, piece)


def test_a_digest_is_sha_256() -> None:
    assert plain(b"abcd", 3) == sha256(b"abc").digest() + sha256(b"d").digest()


@pytest.mark.parametrize("hashing", [digests, plain])
def test_a_piece_of_no_bytes_is_refused(hashing: Callable[[bytes, int], bytes]) -> None:
    with pytest.raises(ValueError, match="at least 1 byte"):
        hashing(b"x", 0)
