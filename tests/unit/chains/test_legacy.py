"""Legacy transactions are the bytes that Ethereum libraries make, and nothing else is read as one."""

from __future__ import annotations

import pytest
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st

from wallet.address import Address
from wallet.chains.base import Call, Fee, UnsignedTx
from wallet.chains.legacy import MAX_RAW, read_legacy, sign_legacy
from wallet.keys import PrivateKey

KEY = PrivateKey(b"\x46" * 32)
CHAINS = st.sampled_from([1, 199, 1029, 2**31])

transactions = st.builds(
    UnsignedTx,
    st.builds(
        Call,
        st.binary(min_size=20, max_size=20).map(Address),
        st.binary(max_size=80),
        st.integers(0, 2**96),
        st.just("method"),
        st.just("text"),
    ),
    st.just(KEY.address),
    st.integers(0, 2**32),
    st.builds(Fee, st.integers(21_000, 2**32), st.integers(0, 2**64)),
)


@settings(max_examples=60)
@given(transactions, CHAINS)
def test_bytes_and_id_are_those_of_eth_account(tx: UnsignedTx, chain_id: int) -> None:
    oracle = Account.sign_transaction(
        {
            "chainId": chain_id,
            "nonce": tx.nonce,
            "gas": tx.fee.limit,
            "gasPrice": tx.fee.price,
            "to": tx.call.to.evm,
            "value": tx.call.value,
            "data": tx.call.data,
        },
        KEY.secret,
    )
    signed = sign_legacy(tx, chain_id, KEY)
    assert (signed.raw, signed.hash) == (bytes(oracle.raw_transaction), bytes(oracle.hash))


@given(transactions, CHAINS)
def test_what_was_signed_is_read_back(tx: UnsignedTx, chain_id: int) -> None:
    signed = sign_legacy(tx, chain_id, KEY)
    found = read_legacy(signed.raw, chain_id)
    assert (found.sender, found.hash, found.nonce) == (KEY.address, signed.hash, tx.nonce)
    assert (found.to, found.value, found.data) == (tx.call.to, tx.call.value, tx.call.data)
    assert Fee(found.gas, found.price) == tx.fee


@given(transactions)
def test_a_transaction_of_another_chain_is_refused(tx: UnsignedTx) -> None:
    with pytest.raises(ValueError, match="another chain"):
        read_legacy(sign_legacy(tx, 199, KEY).raw, 1029)


@given(st.binary(max_size=300))
def test_other_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_legacy(raw, 199)


def test_another_key_cannot_sign() -> None:
    tx = UnsignedTx(Call(KEY.address, b"", 1, "", ""), Address(bytes(20)), 0, Fee(21_000, 1))
    with pytest.raises(ValueError, match="cannot sign for"):
        sign_legacy(tx, 199, KEY)


def test_a_transaction_that_no_node_takes_is_not_signed() -> None:
    tx = UnsignedTx(Call(KEY.address, bytes(MAX_RAW), 1, "", ""), KEY.address, 0, Fee(21_000, 1))
    with pytest.raises(ValueError, match="at most"):
        sign_legacy(tx, 199, KEY)
