"""A TRON transaction's bytes and id are those that every other TRON program would make."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tronpy.proto import calculate_txid_from_raw_data  # type: ignore[import-untyped]  # tronpy has no annotations

from node.devnet.tron.proto import decode_transaction
from node.devnet.tron.records import Transfer, TransferAsset, TriggerContract
from tests.unit.chains.tron_stub import KEY, ME, YOU
from wallet.address import Address
from wallet.chains.base import Call, Fee, UnsignedTx
from wallet.chains.tron_raw import (
    MAX_RAW,
    MAX_SUN,
    RESULT_BYTES,
    Anchor,
    bandwidth,
    encode_raw_data,
    read_expiration,
    sign_tron,
)
from wallet.keys import PrivateKey, recover

ANCHOR = Anchor(b"\x0f\x63", bytes.fromhex("26c8e5abbe30e2a1"), 1_700_000_060_000, 1_700_000_000_123)

addresses = st.binary(min_size=20, max_size=20).map(Address)
amounts = st.integers(0, MAX_SUN)
times = st.integers(1, 2**42 - 1)
anchors = st.builds(Anchor, st.binary(min_size=2, max_size=2), st.binary(min_size=8, max_size=8), times, times)


def unsigned(call: Call, fee: Fee = Fee(0, 100), anchor: Anchor = ANCHOR, sender: Address = ME) -> UnsignedTx:  # noqa: B008 - frozen
    return UnsignedTx(call, sender, 0, fee, anchor.pack())


def transfer(amount: int = 1, trc10: int = 0) -> Call:
    return Call(YOU, b"", amount, "transfer", "send", trc10=trc10)


def contract_call(data: bytes = b"\xa9\x05\x9c\xbb", value: int = 0, trc10: int = 0) -> Call:
    return Call(YOU, data, value, "f", "f", trc10=trc10)


def tronpy_id(tx: UnsignedTx, kind: str, value: dict[str, object]) -> str:
    anchor = Anchor.unpack(tx.anchor)
    contract = {"type": kind, "parameter": {"type_url": f"type.googleapis.com/protocol.{kind}", "value": value}}
    raw: dict[str, object] = {
        "contract": [contract],
        "ref_block_bytes": anchor.ref_block_bytes.hex(),
        "ref_block_hash": anchor.ref_block_hash.hex(),
        "expiration": anchor.expiration,
        "timestamp": anchor.timestamp,
    }
    if kind == "TriggerSmartContract":
        raw["fee_limit"] = tx.fee.limit * tx.fee.price
    found: str = calculate_txid_from_raw_data(raw)
    return found


@given(addresses, addresses, amounts, anchors)
def test_a_transfers_id_is_tronpys(sender: Address, to: Address, amount: int, anchor: Anchor) -> None:
    tx = unsigned(replace(transfer(amount), to=to), anchor=anchor, sender=sender)
    value = {"owner_address": sender.tron_hex, "to_address": to.tron_hex, "amount": amount}
    assert hashlib.sha256(encode_raw_data(tx)).hexdigest() == tronpy_id(tx, "TransferContract", value)


@given(addresses, st.binary(min_size=1, max_size=300), amounts, st.integers(0, 2**40), st.booleans(), anchors)
def test_a_calls_id_is_tronpys(
    to: Address, data: bytes, value: int, energy: int, with_token: bool, anchor: Anchor
) -> None:
    token = 1_002_000 if with_token else 0
    tx = unsigned(replace(contract_call(data, value, token), to=to), Fee(energy, 420), anchor)
    said = {
        "owner_address": ME.tron_hex,
        "contract_address": to.tron_hex,
        "data": data.hex(),
        "call_value": 0 if token else value,
        "call_token_value": value if token else 0,
        "token_id": token,
    }
    assert hashlib.sha256(encode_raw_data(tx)).hexdigest() == tronpy_id(tx, "TriggerSmartContract", said)


def test_a_known_transfer_keeps_its_id() -> None:
    """Fixed once and for all: a change here would lose transactions that were signed before it."""
    found = sign_tron(unsigned(transfer(5_000_000)), KEY)
    assert found.hash.hex() == "a208321d6add2bf4eaeb426df04e2f7de441843062af1b88ed58557ced67fe32"


CALLS = {
    "transfer": (transfer(7), Transfer(ME.raw, YOU.raw, 7)),
    "TRC-10": (transfer(7, 1_002_000), TransferAsset(ME.raw, YOU.raw, 1_002_000, 7)),
    "call": (contract_call(b"abcd"), TriggerContract(ME.raw, YOU.raw, b"abcd")),
    "paying call": (contract_call(b"abcd", 9), TriggerContract(ME.raw, YOU.raw, b"abcd", value=9)),
    "TRC-10 call": (
        contract_call(b"abcd", 9, 1_002_000),
        TriggerContract(ME.raw, YOU.raw, b"abcd", token=1_002_000, token_value=9),
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_another_decoder_reads_what_was_meant(name: str) -> None:
    call, operation = CALLS[name]
    found = sign_tron(unsigned(call, Fee(1000, 420)), KEY)
    read = decode_transaction(found.raw)
    assert (read.id, read.operation) == (found.hash, operation)
    assert (read.ref_block_bytes, read.ref_block_hash) == (ANCHOR.ref_block_bytes, ANCHOR.ref_block_hash)
    assert (read.expiration, read.timestamp) == (ANCHOR.expiration, ANCHOR.timestamp)
    assert read.fee_limit == (420_000 if call.data else 0)
    assert [recover(found.hash, signature) for signature in read.signatures] == [ME]


def test_the_same_transaction_is_signed_to_the_same_bytes() -> None:
    tx = unsigned(transfer())
    assert sign_tron(tx, KEY) == sign_tron(tx, KEY)
    other = replace(ANCHOR, timestamp=ANCHOR.timestamp + 1)
    assert sign_tron(replace(tx, anchor=other.pack()), KEY).hash != sign_tron(tx, KEY).hash


@given(anchors)
def test_an_anchor_comes_back_from_its_bytes(anchor: Anchor) -> None:
    assert Anchor.unpack(anchor.pack()) == anchor
    assert read_expiration(sign_tron(unsigned(transfer(), anchor=anchor), KEY).raw) == anchor.expiration


def test_an_anchor_points_at_the_end_of_a_blocks_number_and_at_its_hash() -> None:
    """java-tron's TAPOS: bytes 6 to 8 and 8 to 16 of the block's id."""
    anchor = Anchor.at(bytes(range(32)), expiration=1, timestamp=2)
    assert (anchor.ref_block_bytes, anchor.ref_block_hash) == (bytes([6, 7]), bytes(range(8, 16)))


@pytest.mark.parametrize("call", [transfer(MAX_SUN + 1), transfer(-(2**63) - 1), transfer(MAX_SUN + 1, 1_002_000)])
def test_amounts_that_do_not_fit_are_refused_not_cut(call: Call) -> None:
    with pytest.raises(ValueError, match="out of range"):
        sign_tron(unsigned(call), KEY)


def test_what_cannot_be_signed_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot sign for"):
        sign_tron(unsigned(transfer()), PrivateKey(b"\x02" * 32))
    with pytest.raises(ValueError, match="anchor has 26 bytes, not 0"):
        sign_tron(replace(unsigned(transfer()), anchor=b""), KEY)
    with pytest.raises(ValueError, match="at most"):
        sign_tron(unsigned(contract_call(bytes(MAX_RAW))), KEY)


@pytest.mark.parametrize("raw", [b"", b"\xff", b"\x0a\x05", b"no transaction"])
def test_bytes_that_are_no_transaction_have_no_expiry(raw: bytes) -> None:
    with pytest.raises(ValueError, match="no TRON transaction"):
        read_expiration(raw)


@given(st.binary(max_size=200))
def test_any_bytes_have_an_expiry_or_are_refused(raw: bytes) -> None:
    with suppress(ValueError):
        assert read_expiration(raw) > 0


@given(st.integers(1, 2**40), st.integers(0, 3))
def test_bandwidth_is_counted_from_the_very_bytes(amount: int, kind: int) -> None:
    call = [transfer(amount), transfer(amount, 1_002_000), contract_call(b"x", amount), contract_call(b"y" * 200)][kind]
    fee = Fee(1000, 420)
    assert bandwidth(call, ME, 420_000) == len(sign_tron(unsigned(call, fee), KEY).raw) + RESULT_BYTES
