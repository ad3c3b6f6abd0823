"""Signed storage terms: digests any EIP-712 implementation makes, and who may say what is paid."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_account.messages import encode_typed_data
from hypothesis import given, settings
from hypothesis import strategies as st

from node.storage.terms import PriceTable
from tests.unit.storage.samples import (
    ADDRESSES,
    AUDITOR,
    HOST,
    MARKET,
    RENTER,
    STRANGER,
    WORDS,
    contract,
)
from wallet.address import Address
from wallet.errors import BadSignatureError, ChequeError, StaleChequeError
from wallet.keys import keccak256
from wallet.storage_terms import (
    MAX_EPOCHS,
    MAX_LENGTH,
    MAX_TERM,
    NOBODY,
    Cancel,
    Market,
    Signable,
    StorageContract,
    Voucher,
    accept_voucher,
    sign,
    verify,
)

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "storage_terms.json").read_text())
STRUCTS = {
    StorageContract: "bytes32 root,uint64 length,address renter,address host,address payee,address auditor,"
    "uint64 start,uint32 epochs,uint32 epochLength,uint256 pricePerEpoch,uint256 collateral,uint256 nonce",
    Voucher: "bytes32 id,uint32 throughEpoch",
    Cancel: "bytes32 id,uint32 throughEpoch",
    PriceTable: "address host,address payee,uint256 storagePrice,uint256 uploadPrice,uint256 downloadPrice,"
    "uint32 collateralPercent,uint32 epochLength,uint32 minEpochs,uint32 maxEpochs,uint64 free,uint64 until",
}

UINT32, UINT64, UINT128 = (st.integers(1, 2**bits - 1) for bits in (32, 63, 128))
LENGTHS = st.integers(1, MAX_LENGTH)
EPOCHS, SECONDS = st.integers(1, MAX_EPOCHS), st.integers(1, MAX_TERM // MAX_EPOCHS)
CONTRACTS = st.builds(
    StorageContract, WORDS, LENGTHS, ADDRESSES, ADDRESSES, ADDRESSES, ADDRESSES, UINT64, EPOCHS, SECONDS,
    UINT128, UINT128, UINT128,
)  # fmt: skip
TABLES = st.builds(
    PriceTable, ADDRESSES, ADDRESSES, UINT128, UINT128, UINT128, UINT32, UINT32, UINT32, UINT32, UINT64, UINT64
)
MESSAGES: st.SearchStrategy[Signable] = st.one_of(
    CONTRACTS, TABLES, st.builds(Voucher, WORDS, UINT32), st.builds(Cancel, WORDS, UINT32)
)


def oracle(market: Market, message: Signable) -> bytes:
    """The digest by eth_account's general encoder."""
    members = [tuple(member.split(" ")) for member in STRUCTS[type(message)].split(",")]
    values = {}
    for _, name in members:
        value = getattr(message, re.sub("[A-Z]", lambda letter: "_" + letter[0].lower(), name))
        values[name] = value.evm if isinstance(value, Address) else value
    types = {type(message).__name__: [{"name": name, "type": kind} for kind, name in members]}
    domain = {
        "name": "bttnode StorageMarket",
        "version": "1",
        "chainId": market.chain_id & 0xFFFFFFFF,
        "verifyingContract": market.contract.evm,
    }
    signable = encode_typed_data(domain, types, values)
    return keccak256(b"\x19\x01" + signable.header + signable.body)


@given(MESSAGES, st.integers(1, 2**256 - 1), ADDRESSES)
@settings(max_examples=60, deadline=None)  # the oracle's first call imports a lot
def test_digests_are_those_of_eip_712(message: Signable, chain_id: int, market: Address) -> None:
    place = Market(chain_id, market)
    assert message.digest(place) == oracle(place, message)


READ: dict[str, Callable[[str], int | bytes | Address]] = {
    "uint": int,
    "address": Address.parse,
    "bytes": lambda text: bytes.fromhex(text[2:]),
}
"""How the vectors write a value, by the letters of its Solidity type."""


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["type"])
def test_digests_and_signatures_are_the_known_ones(case: dict[str, Any]) -> None:
    market = Market(case["chainId"], Address.parse(VECTORS["verifyingContract"]))
    kind = next(kind for kind in STRUCTS if kind.__name__ == case["type"])
    kinds = [member.split(" ")[0].rstrip("0123456789") for member in STRUCTS[kind].split(",")]
    values = [READ[name](text) for name, text in zip(kinds, case["message"].values(), strict=True)]
    message = kind(*values)
    digest = message.digest(market)
    assert digest.hex() == case["digest"]
    assert sign(market, message, RENTER).hex() == case["signature"]


@given(CONTRACTS)
def test_a_contract_survives_packing(terms: StorageContract) -> None:
    assert StorageContract.unpack(terms.pack()) == terms
    assert len(terms.pack()) == 384


@given(st.binary(min_size=380, max_size=390) | st.binary(max_size=64).map(lambda some: some.ljust(384, b"\xff")))
def test_hostile_packed_contracts_raise_one_error(data: bytes) -> None:
    try:
        assert StorageContract.unpack(data).pack() == data
    except ChequeError as error:
        assert "\n" not in str(error)  # noqa: PT017 # no error is right as well


def test_a_signature_counts_for_one_market_and_one_contract() -> None:
    terms = contract()
    signature = sign(MARKET, terms, HOST)
    assert verify(MARKET, terms, signature, RENTER.address, HOST.address) == HOST.address
    for market, other in (
        (Market(1028, MARKET.contract), terms),
        (Market(1029, Address(b"\x0b" * 20)), terms),
        (MARKET, replace(terms, nonce=1)),
    ):
        with pytest.raises(BadSignatureError, match="or for another market"):
            verify(market, other, signature, HOST.address)


def test_vouchers_are_cumulative_and_signed_by_renter_or_auditor() -> None:
    terms = contract()
    contract_id = terms.digest(MARKET)
    voucher = Voucher(contract_id, 7)
    assert accept_voucher(MARKET, terms, voucher, sign(MARKET, voucher, RENTER), 0) == 7 * terms.price_per_epoch
    assert accept_voucher(MARKET, terms, voucher, sign(MARKET, voucher, AUDITOR), 5) == 2 * terms.price_per_epoch
    refused: list[tuple[Callable[[], object], type[Exception], str]] = [
        (
            lambda: accept_voucher(MARKET, terms, voucher, sign(MARKET, voucher, RENTER), 7),
            StaleChequeError,
            "7 are paid",
        ),
        (
            lambda: accept_voucher(MARKET, terms, voucher, sign(MARKET, voucher, HOST), 0),
            BadSignatureError,
            "not signed",
        ),
        (lambda: _accept(Voucher(contract_id, 31)), ChequeError, "31 epochs of a contract of 30"),
        (lambda: _accept(Voucher(b"\x33" * 32, 1)), ChequeError, "another contract"),
    ]
    for action, error, text in refused:
        with pytest.raises(error, match=text):
            action()


def _accept(voucher: Voucher) -> int:
    return accept_voucher(MARKET, contract(), voucher, sign(MARKET, voucher, RENTER), 0)


def test_without_an_auditor_only_the_renter_vouches() -> None:
    terms = contract(auditor=NOBODY)
    voucher = Voucher(terms.digest(MARKET), 1)
    for key in (AUDITOR, STRANGER):
        with pytest.raises(BadSignatureError):
            accept_voucher(MARKET, terms, voucher, sign(MARKET, voucher, key), 0)
    assert accept_voucher(MARKET, terms, voucher, sign(MARKET, voucher, RENTER), 0) == terms.price_per_epoch


def test_epochs_follow_one_another_from_the_start() -> None:
    terms = contract(epochs=3)
    assert [terms.epoch_at(terms.start + moment) for moment in (-1, 0, 86_399, 86_400, 3 * 86_400)] == [-1, 0, 0, 1, 3]
    assert terms.epoch_start(3) == terms.end
    assert [terms.provable_at(terms.epoch_start(epoch)) for epoch in (0, 1, 3, 4)] == [None, 0, 2, None]
    assert (terms.blocks, terms.escrow) == (6400, 3000)


def test_terms_that_no_market_opens_are_refused() -> None:
    terms = contract()
    cases: list[tuple[dict[str, Any], str]] = [
        ({"root": b"short"}, "32 bytes"),
        ({"length": 0}, "length"),
        ({"length": 2**50 + 1}, "length"),
        ({"epochs": 0}, "epochs"),
        ({"epochs": 257}, "epochs is 257"),
        ({"epoch_length": 2**32}, "epoch_length"),
        ({"epoch_length": 10**8}, "five years"),
        ({"price_per_epoch": 2**128}, "price_per_epoch"),
        ({"payee": NOBODY}, "pays nobody"),
        ({"collateral": -1}, "collateral"),
    ]
    for change, text in cases:
        with pytest.raises(ChequeError, match=text):
            replace(terms, **change)
    for kind in (Voucher, Cancel):
        with pytest.raises(ChequeError, match="32 bytes"):
            kind(b"", 1)
        with pytest.raises(ChequeError, match="epoch"):
            kind(bytes(32), 2**32)
