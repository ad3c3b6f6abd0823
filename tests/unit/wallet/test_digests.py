"""Typed digests, checked against eth_account's general encoder."""

from __future__ import annotations

import pytest
from eth_account.messages import encode_typed_data
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.wallet.strategies import addresses, uint256
from tests.unit.wallet.support import load
from wallet.address import Address
from wallet.amount import MAX_AMOUNT
from wallet.digests import (
    BTFS_CHEQUE_TYPE,
    BTFS_TOKEN_CHEQUE_TYPE,
    CHEQUE_TYPE,
    domain_separator,
    mask_chain_id,
    word,
)


def test_type_hashes_are_the_known_ones() -> None:
    assert "0x" + CHEQUE_TYPE.hex() == load("vault_cheque")["typehash"]
    btfs = load("btfs_cheque")["typehash"]
    assert "0x" + BTFS_CHEQUE_TYPE.hex() == btfs["Cheque"]
    assert "0x" + BTFS_TOKEN_CHEQUE_TYPE.hex() == btfs["MultiTokenCheque"]


@given(st.text(max_size=20), st.text(max_size=5), uint256, st.none() | addresses)
@settings(max_examples=40, deadline=None)  # the oracle's first call imports a lot
def test_domain_separators_are_those_of_eip_712(
    name: str, version: str, chain_id: int, contract: Address | None
) -> None:
    domain: dict[str, object] = {"name": name, "version": version, "chainId": chain_id}
    if contract is not None:
        domain["verifyingContract"] = contract.evm
    oracle = encode_typed_data(domain, {"Nothing": []}, {}).header
    assert domain_separator(name, version, chain_id, contract) == oracle


@given(uint256)
def test_a_number_is_one_big_endian_word(value: int) -> None:
    assert int.from_bytes(word(value), "big") == value
    assert len(word(value)) == 32


def test_an_address_stands_at_the_end_of_its_word() -> None:
    assert word(Address(b"\xaa" * 20)) == bytes(12) + b"\xaa" * 20


@pytest.mark.parametrize("value", [-1, MAX_AMOUNT + 1])
def test_a_number_outside_uint256_is_no_word(value: int) -> None:
    with pytest.raises(OverflowError):
        word(value)


@pytest.mark.parametrize("length", [0, 20, 31, 33])
def test_bytes_of_another_length_are_no_word(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        word(bytes(length))


@pytest.mark.parametrize("whole", [0x2B6653DC, 0x00000000000000001EBF88508A03865C71D452E25F4D51194196A1D22B6653DC])
def test_both_ids_of_a_tron_chain_mask_to_the_same(whole: int) -> None:
    assert mask_chain_id(whole) == 0x2B6653DC
