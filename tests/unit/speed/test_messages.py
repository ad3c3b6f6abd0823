"""The wire format's promises: what we encode we decode, and no bytes at all break the decoder."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.bencode import encode
from node.speed.errors import MessageError, StopCode
from node.speed.messages import (
    MAX_MESSAGE,
    Ask,
    Bid,
    ChequeMessage,
    Clear,
    Hello,
    Message,
    Net,
    RailOffer,
    Receipt,
    Stop,
    decode_message,
    encode_message,
)
from wallet.address import Address

ADDRESSES = st.binary(min_size=20, max_size=20).map(Address)
SIGNATURES = st.binary(min_size=65, max_size=65)
AMOUNTS = st.integers(0, 2**256 - 1)
SIZES = st.integers(0, 2**63 - 1)
RAILS = st.sampled_from(["eip155:199", "eip155:1029", "tron:0x2b6653dc"])

MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(
        Ask,
        payee=ADDRESSES,
        nonce=st.binary(min_size=32, max_size=32),
        rails=st.lists(st.builds(RailOffer, RAILS, ADDRESSES), max_size=16).map(tuple),
        reserve=AMOUNTS,
        credit=SIZES,
        quantum=st.integers(1, 2**63 - 1),
        until=SIZES,
    ),
    st.builds(Bid, RAILS, ADDRESSES, AMOUNTS, SIZES, SIZES, st.none() | AMOUNTS, SIGNATURES),
    st.builds(Clear, AMOUNTS, SIZES, SIZES),
    st.builds(ChequeMessage, RAILS, ADDRESSES, AMOUNTS, SIGNATURES),
    st.builds(Receipt, RAILS, AMOUNTS, SIGNATURES | st.just(b""), SIZES, SIZES, AMOUNTS, SIZES),
    st.builds(Stop, st.sampled_from(StopCode), st.text("abc xyz,.:", max_size=200)),
    st.builds(Net, RAILS, AMOUNTS, SIZES, SIZES),
)


@given(MESSAGES)
def test_every_message_survives_the_wire(message: Message) -> None:
    data = encode_message(message)
    assert len(data) <= MAX_MESSAGE
    assert decode_message(data) == message


@given(st.builds(Hello, SIZES, st.lists(RAILS, max_size=16).map(tuple)))
def test_the_handshake_survives_the_wire(hello: Hello) -> None:
    assert Hello.decode(hello.encode()) == hello


@given(st.binary(max_size=400))
def test_arbitrary_bytes_decode_or_fault_and_nothing_else(data: bytes) -> None:
    with suppress(MessageError):
        decode_message(data)


@given(MESSAGES, st.data())
def test_a_damaged_message_decodes_or_faults_and_nothing_else(message: Message, data: st.DataObject) -> None:
    wire = bytearray(encode_message(message))
    for _ in range(data.draw(st.integers(1, 4))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    truncated = bytes(wire[: data.draw(st.integers(0, len(wire)))])
    with suppress(MessageError):
        decode_message(truncated)


WIRE = st.recursive(
    st.integers(-(2**70), 2**70) | st.binary(max_size=80),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.binary(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@given(MESSAGES, st.data())
def test_a_wrong_value_under_a_known_key_decodes_or_faults(message: Message, data: st.DataObject) -> None:
    body = {b"t": message.type, **message.body()}
    body[data.draw(st.sampled_from(sorted(body)))] = data.draw(WIRE)
    with suppress(MessageError):
        decode_message(encode(body))


def test_unknown_types_and_keys_are_ignored_for_later_versions() -> None:
    assert decode_message(encode({b"t": b"hologram", b"x": 1})) is None
    clear = Clear(1, 2, 3)
    assert decode_message(encode({b"t": b"clear", b"zzz": [1, 2], **clear.body()})) == clear


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "bencoded"),
        (b"le", "not a dictionary"),
        (b"de", "no type"),
        (encode({b"t": b"clear", b"price": -1, b"rate": 0, b"round": 0}), "price"),
        (encode({b"t": b"clear", b"price": 2**256, b"rate": 0, b"round": 0}), "out of range"),
        (encode({b"t": b"clear", b"price": 1, b"rate": 2**63, b"round": 0}), "rate"),
        (encode({b"t": b"cheque", b"rail": b"x", b"payer": b"short", b"cum": 1, b"sig": bytes(65)}), "payer"),
        (encode({b"t": b"stop", b"code": 0, b"text": b"x" * 201}), "text"),
        (b"d1:t5:clear" + b"l" * 100 + b"e" * 101, "bencoded"),
        (b"d" + b"1:a" * 40_000, "bencoded"),
    ],
)
def test_a_malformed_message_is_named(data: bytes, reason: str) -> None:
    with pytest.raises(MessageError, match=reason):
        decode_message(data)
