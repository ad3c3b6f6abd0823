"""Sealing's promises: what was sealed comes back whole, and every change, cut, move or mix is noticed."""

from __future__ import annotations

import hmac
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from node.storage.errors import SealError
from node.storage.sealing import (
    FORMAT,
    KEY_BYTES,
    TAG,
    Opener,
    Sealer,
    SealLayout,
    SegmentSeal,
    unwrap_key,
    wrap_key,
    wrapping_key,
)

SIZE = 1024
KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
PLAIN = st.one_of(
    st.binary(max_size=300),
    st.builds(lambda count, more: bytes(max(0, count * SIZE + more)), st.integers(0, 5), st.integers(-1, 1)),
)


def sealed(plain: bytes, *, key: bytes | None = KEY, piece: int = 700) -> list[bytes]:
    """The sealed segments of `plain`, fed in pieces."""
    sealer = Sealer(SegmentSeal(key, SIZE))
    segments = [segment for at in range(0, len(plain), piece) for segment in sealer.update(plain[at : at + piece])]
    return [*segments, sealer.finish()]


def opened(segments: bytes, *, key: bytes | None = KEY, piece: int = 900, size: int = SIZE) -> bytes:
    opener = Opener(SegmentSeal(key, size))
    parts = [part for at in range(0, len(segments), piece) for part in opener.update(segments[at : at + piece])]
    return b"".join((*parts, opener.finish()))


@given(PLAIN, st.integers(1, 3 * SIZE), st.integers(1, 3 * SIZE), st.sampled_from([KEY, None]))
def test_what_was_sealed_opens_whatever_the_pieces(plain: bytes, first: int, second: int, key: bytes | None) -> None:
    segments = sealed(plain, key=key, piece=first)
    layout = SealLayout(len(plain), SIZE, public=key is None)
    assert len(segments) == layout.segments
    assert layout.sealed_length == len(b"".join(segments))
    at = 0
    for index, segment in enumerate(segments):
        assert layout.sealed(index) == (at, len(segment))
        at += len(segment)
    assert opened(b"".join(segments), key=key, piece=second) == plain


def test_segments_are_those_of_the_documented_format() -> None:
    plain = bytes(SIZE) + b"end"
    associated = FORMAT + SIZE.to_bytes(4, "big")
    cipher = AESGCM(KEY)
    assert sealed(plain) == [
        cipher.encrypt(bytes(12), plain[:SIZE], associated),
        cipher.encrypt(bytes(10) + b"\1\1", b"end", associated),
    ]
    assert sealed(b"") == [cipher.encrypt(bytes(11) + b"\1", b"", associated)]


@given(st.integers(0, 4 * SIZE), st.data())
def test_a_changed_or_cut_object_does_not_open(length: int, data: st.DataObject) -> None:
    whole = b"".join(sealed(bytes(length)))
    at = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(SealError, match="does not open"):
        opened(whole[:at] + bytes((whole[at] ^ 1,)) + whole[at + 1 :])
    with pytest.raises(SealError, match="does not open"):
        opened(whole[:at])
    with pytest.raises(SealError, match="does not open"):
        opened(whole + whole[at:])


def test_segments_that_are_moved_doubled_dropped_or_mixed_do_not_open() -> None:
    first, second, third, last = sealed(bytes(3 * SIZE + 5))
    foreign = sealed(bytes(3 * SIZE + 5), key=OTHER)
    for wrong in (
        [second, first, third, last],
        [first, first, third, last],
        [first, second, last],
        [first, second, third],
        [first, second],
        [last],
        [first, foreign[1], third, last],
        [first, second, third, foreign[3]],
    ):
        with pytest.raises(SealError, match="does not open"):
            opened(b"".join(wrong))


def test_an_empty_segment_after_full_ones_is_no_end() -> None:
    full = SegmentSeal(KEY, SIZE).seal(0, bytes(SIZE), last=False)
    associated = FORMAT + SIZE.to_bytes(4, "big")
    forged = AESGCM(KEY).encrypt(bytes(10) + b"\1\1", b"", associated)
    with pytest.raises(SealError):
        opened(full + forged)


def test_the_segment_size_is_part_of_the_seal() -> None:
    with pytest.raises(SealError):
        opened(b"".join(sealed(b"short")), size=2 * SIZE)


def test_another_wallet_does_not_unwrap_the_key_and_says_so() -> None:
    mine, theirs = wrapping_key(bytes(64)), wrapping_key(bytes(63) + b"\1")
    wrapped = wrap_key(mine, KEY)
    assert unwrap_key(mine, wrapped) == KEY
    with pytest.raises(SealError, match="another wallet"):
        unwrap_key(theirs, wrapped)
    with pytest.raises(SealError, match="another wallet"):
        unwrap_key(mine, wrapped[:-1] + bytes((wrapped[-1] ^ 1,)))
    with pytest.raises(SealError, match="40 bytes"):
        unwrap_key(mine, wrapped[:-8])


def test_keys_are_derived_and_wrapped_as_the_rfcs_say() -> None:
    extracted = hmac.new(bytes(32), bytes(range(64)), sha256).digest()
    expanded = hmac.new(extracted, b"bttnode storage wrapping key 1\1", sha256).digest()
    assert wrapping_key(bytes(range(64))) == expanded
    # RFC 3394, 4.6: 256 bits of key data with a 256-bit key.
    kek, data = bytes(range(32)), bytes.fromhex("00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F")
    assert wrap_key(kek, data).hex().upper() == (
        "28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21"
    )


def test_no_key_shows_in_a_repr() -> None:
    assert KEY.hex() not in repr(SegmentSeal(KEY))
    assert repr(SegmentSeal(KEY, SIZE)) == "SegmentSeal(sealed, 1024)"
    assert repr(SegmentSeal(None, SIZE)) == "SegmentSeal(public, 1024)"


def test_sizes_out_of_bounds_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot have"):
        SegmentSeal(KEY, SIZE).seal(0, bytes(SIZE - 1), last=False)
    with pytest.raises(ValueError, match="cannot have"):
        SegmentSeal(KEY, SIZE).seal(1, b"", last=True)
    for size in (SIZE - 1, 2**24 + 1):
        with pytest.raises(ValueError, match="1 KiB to 16 MiB"):
            SegmentSeal(KEY, size)
    with pytest.raises(ValueError, match=f"{KEY_BYTES} bytes"):
        SegmentSeal(KEY[:16], SIZE)
    with pytest.raises(ValueError, match="at least 32"):
        wrapping_key(bytes(31))
    with pytest.raises(ValueError, match="at least 0"):
        SealLayout(-1)
    with pytest.raises(IndexError):
        SealLayout(SIZE, SIZE).sealed(1)
    assert SealLayout(0).sealed_length == TAG
