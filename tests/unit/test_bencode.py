"""Bencoding: what goes in comes out, one way only, and nothing untrusted does harm."""

from __future__ import annotations

import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.bencode import MAX_INTEGER, BencodeError, decode, encode

VALUES = st.recursive(
    st.integers(-MAX_INTEGER, MAX_INTEGER) | st.binary(max_size=60),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.binary(max_size=10), inner, max_size=5),
    max_leaves=20,
)


@given(VALUES)
def test_every_value_survives(value: object) -> None:
    assert decode(encode(value), max_depth=32) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_a_canonical_value_or_an_error(data: bytes) -> None:
    with suppress(BencodeError):
        assert encode(decode(data)) == data


@given(VALUES, st.data())
def test_a_damaged_encoding_is_another_value_or_an_error(value: object, draw: st.DataObject) -> None:
    data = bytearray(encode(value))
    at = draw.draw(st.integers(0, len(data) - 1), "at")
    data[at : at + draw.draw(st.integers(0, 2), "removed")] = draw.draw(st.binary(max_size=3), "inserted")
    with suppress(BencodeError):
        assert encode(decode(bytes(data), max_depth=32)) == data


@given(VALUES)
def test_a_cut_encoding_is_an_error(value: object) -> None:
    data = encode(value)
    for end in range(len(data)):
        with pytest.raises(BencodeError):
            decode(data[:end], max_depth=32)


@pytest.mark.parametrize(
    "data",
    [
        *[b"", b"i", b"i-0e", b"i01e", b"ie", b"i1", b"5:ab", b"01:a", b"l", b"d", b"di1ei2ee", b"d1:b0:1:a0:e"],
        *[b"d1:a0:1:a0:e", b"i1ei2e", b"x", b"l" * 1000, b"i" + b"9" * 100 + b"e", b"9" * 100 + b":", b"d1:ae"],
    ],
)
def test_what_is_not_canonical_is_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(BencodeError) as refused:
        decode(data)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("data", "limits"),
    [
        (b"lllleeee", {"max_depth": 4}),
        (b"d1:ad1:ad1:ai0eeee", {"max_depth": 4}),
        (b"l0:0:0:e", {"max_items": 4}),
        (b"d1:ai1e1:bi2ee", {"max_items": 3}),
        (b"i12345e", {"max_bytes": 7}),
    ],
)
def test_a_limit_is_the_last_size_that_is_taken(data: bytes, limits: dict[str, int]) -> None:
    assert encode(decode(data, **limits)) == data
    with pytest.raises(BencodeError):
        decode(data, **{name: limit - 1 for name, limit in limits.items()})


@pytest.mark.parametrize(
    "bomb",
    [
        pytest.param(b"l" * (1 << 20), id="nested lists"),
        pytest.param(b"d0:" * (1 << 18), id="nested dictionaries"),
        pytest.param(b"l" + b"le" * (1 << 18), id="empty lists"),
        pytest.param(b"l" + b"i0e" * (1 << 18), id="numbers"),
        pytest.param(b"9" * (1 << 20), id="endless length"),
        pytest.param(b"i" + b"9" * (1 << 19), id="endless number"),
        pytest.param(b"999999999999:a", id="promised string"),
    ],
)
def test_a_bomb_costs_little(bomb: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(BencodeError):
            decode(bomb, max_items=1000)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_work_is_bounded() -> None:
    for data, limits in (
        (b"l" * 40 + b"e" * 40, {"max_depth": 16}),
        (b"l" + b"0:" * 100 + b"e", {"max_items": 50}),
        (b"100:" + bytes(100), {"max_bytes": 50}),
    ):
        with pytest.raises(BencodeError):
            decode(data, **limits)


@pytest.mark.parametrize("value", [True, None, 1.5, {1: 2}, object()])
def test_what_has_no_encoding_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError):
        encode(value)
