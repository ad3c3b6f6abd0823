"""Cheques: the bytes that are signed, who signed them, and where they count."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from eth_account.messages import SignableMessage, encode_typed_data
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.wallet.strategies import addresses, digests, private_keys, uint256
from tests.unit.wallet.support import load
from wallet.address import Address
from wallet.amount import BTT, MAX_AMOUNT, Token
from wallet.cheque import (
    BtfsCheque,
    Cheque,
    Rail,
    SignedCheque,
    bid_digest,
    cheque_digest,
    sign_cheque,
    verify_cheque,
)
from wallet.digests import mask_chain_id
from wallet.errors import BadSignatureError, ChequeError
from wallet.keys import PrivateKey, keccak256, recover

VAULT = Address.parse("0x8D3766440f0d7B949a5E32995D09619A7F86e632")
RAIL = Rail("eip155:199", 199, VAULT)
KEY = PrivateKey(b"\x46" * 32)
PAYEE = Address(b"\x47" * 20)
CHEQUE = Cheque(KEY.address, PAYEE, 10**18)
SIGNED = sign_cheque(RAIL, CHEQUE, KEY)

rails = st.builds(
    lambda chain_id, vault, tron: Rail(f"tron:0x{chain_id:x}" if tron else f"eip155:{chain_id}", chain_id, vault),
    st.integers(1, 2**63),
    addresses,
    st.booleans(),
)
cheques = st.builds(Cheque, addresses, addresses, uint256)


def oracle(message: SignableMessage) -> bytes:
    """The digest of a message that eth_account has encoded (EIP-191 version 1)."""
    return keccak256(b"\x19" + message.version + message.header + message.body)


def typed(domain: dict[str, Any], struct: str, fields: list[tuple[str, str, Any]]) -> bytes:
    """The digest by eth_account's general encoder; `fields`: type, name, value."""
    types = {struct: [{"type": kind, "name": name} for kind, name, _ in fields]}
    return oracle(encode_typed_data(domain, types, {name: value for _, name, value in fields}))


def vault_domain(rail: Rail) -> dict[str, Any]:
    return {
        "name": "BttVault",
        "version": "1",
        "chainId": rail.chain_id & 0xFFFFFFFF,
        "verifyingContract": rail.vault.evm,
    }


# --- known answers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", load("vault_cheque")["cases"], ids=lambda c: f"{c['rail']}-{c['digest'][:10]}")
def test_vault_cheques_are_the_known_ones(case: dict[str, Any]) -> None:
    key = PrivateKey.from_hex(case["privateKey"])
    rail = Rail(case["rail"], case["chainId"], Address.parse(case["verifyingContract"]))
    message = case["message"]
    cheque = Cheque(Address.parse(message["payer"]), Address.parse(message["payee"]), int(message["cumulativePayout"]))
    signed = sign_cheque(rail, cheque, key)
    assert "0x" + cheque_digest(rail, cheque).hex() == case["digest"]
    assert "0x" + signed.signature.hex() == case["signature"]
    verify_cheque(rail, signed, Address.parse(case["signer"]))


@pytest.mark.parametrize("case", load("btfs_cheque")["cases"], ids=lambda c: f"{c['kind']}-{c['digest'][:10]}")
def test_btfs_cheques_are_the_known_ones(case: dict[str, Any]) -> None:
    key, chain_id, message = PrivateKey.from_hex(case["privateKey"]), case["chainId"], case["message"]
    cheque = BtfsCheque(
        Address.parse(message["vault"]),
        Address.parse(message["beneficiary"]),
        int(message["cumulativePayout"]),
        Address.parse(message["token"]) if "token" in message else None,
    )
    assert "0x" + cheque.digest(chain_id).hex() == case["digest"]
    assert "0x" + cheque.sign(chain_id, key).hex() == case["signature"]
    cheque.verify(chain_id, bytes.fromhex(case["signature"][2:]), Address.parse(case["signer"]))


# --- the oracle -----------------------------------------------------------------------------------------------------


@given(rails, cheques)
@settings(max_examples=40, deadline=None)  # the oracle's first call imports a lot
def test_a_cheque_digest_is_that_of_the_general_encoder(rail: Rail, cheque: Cheque) -> None:
    fields = [
        ("address", "payer", cheque.payer.evm),
        ("address", "payee", cheque.payee.evm),
        ("uint256", "cumulativePayout", cheque.cumulative),
    ]
    assert cheque_digest(rail, cheque) == typed(vault_domain(rail), "Cheque", fields)


@given(rails, addresses, addresses, uint256, digests)
@settings(max_examples=40, deadline=None)
def test_a_bid_digest_is_that_of_the_general_encoder(
    rail: Rail, payer: Address, payee: Address, price: int, nonce: bytes
) -> None:
    fields = [
        ("address", "payer", payer.evm),
        ("address", "payee", payee.evm),
        ("uint256", "maxPrice", price),
        ("bytes32", "nonce", nonce),
    ]
    assert bid_digest(rail, payer, payee, price, nonce) == typed(vault_domain(rail), "Bid", fields)


@given(addresses, addresses, uint256, st.none() | addresses, st.integers(1, 2**63))
@settings(max_examples=40, deadline=None)
def test_a_btfs_digest_is_that_of_the_general_encoder(
    vault: Address, beneficiary: Address, amount: int, token: Address | None, chain_id: int
) -> None:
    fields = [
        ("address", "vault", vault.evm),
        ("address", "beneficiary", beneficiary.evm),
        ("uint256", "cumulativePayout", amount),
    ]
    struct = "Cheque"
    if token is not None:
        struct, fields = "MultiTokenCheque", [("address", "token", token.evm), *fields]
    domain = {"name": "Vault", "version": "1.0", "chainId": chain_id}
    assert BtfsCheque(vault, beneficiary, amount, token).digest(chain_id) == typed(domain, struct, fields)


# --- who signed what ------------------------------------------------------------------------------------------------


@given(rails, private_keys, addresses, uint256)
@settings(max_examples=50)
def test_a_signed_cheque_verifies_for_its_signer_only(rail: Rail, key: PrivateKey, payee: Address, amount: int) -> None:
    signed = sign_cheque(rail, Cheque(key.address, payee, amount), key)
    verify_cheque(rail, signed, key.address)
    if payee != key.address:
        with pytest.raises(BadSignatureError):
            verify_cheque(rail, signed, payee)


@pytest.mark.parametrize(
    "changed",
    [
        replace(CHEQUE, payer=PAYEE),
        replace(CHEQUE, payee=KEY.address),
        replace(CHEQUE, cumulative=CHEQUE.cumulative + 1),
        replace(CHEQUE, cumulative=0),
    ],
    ids=["payer", "payee", "more", "nothing"],
)
def test_a_changed_cheque_does_not_verify(changed: Cheque) -> None:
    with pytest.raises(BadSignatureError):
        verify_cheque(RAIL, replace(SIGNED, cheque=changed), KEY.address)


@pytest.mark.parametrize(
    "other",
    [Rail("eip155:1029", 1029, VAULT), Rail("tron:0xc7", 199, VAULT), Rail("eip155:199", 199, PAYEE)],
    ids=["chain", "family", "vault"],
)
def test_a_cheque_counts_on_its_own_rail_only(other: Rail) -> None:
    with pytest.raises(BadSignatureError, match="another rail"):
        verify_cheque(other, SIGNED, KEY.address)


@pytest.mark.parametrize("other", [Rail("eip155:1029", 1029, VAULT), Rail("eip155:199", 199, PAYEE)])
def test_a_signature_made_for_another_rail_does_not_verify(other: Rail) -> None:
    with pytest.raises(BadSignatureError, match="not signed"):
        verify_cheque(other, SignedCheque(other, CHEQUE, SIGNED.signature), KEY.address)


def test_a_bid_is_not_a_cheque() -> None:
    bid = bid_digest(RAIL, CHEQUE.payer, CHEQUE.payee, CHEQUE.cumulative, bytes(32))
    with pytest.raises(BadSignatureError):
        verify_cheque(RAIL, replace(SIGNED, signature=KEY.sign_digest(bid)), KEY.address)


def test_a_bid_of_another_connection_names_somebody_else() -> None:
    signature = KEY.sign_digest(bid_digest(RAIL, CHEQUE.payer, PAYEE, 5, bytes(32)))
    assert recover(bid_digest(RAIL, CHEQUE.payer, PAYEE, 5, b"\x01" * 32), signature) != KEY.address


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_nonce_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        bid_digest(RAIL, KEY.address, PAYEE, 1, bytes(length))


def test_a_btfs_cheque_of_somebody_else_does_not_verify() -> None:
    cheque = BtfsCheque(VAULT, PAYEE, 500)
    signature = cheque.sign(199, KEY)
    cheque.verify(199, signature, KEY.address)
    for other, chain_id, issuer in (
        (cheque, 1029, KEY.address),
        (cheque, 199, PAYEE),
        (replace(cheque, token=VAULT), 199, KEY.address),
        (replace(cheque, cumulative=501), 199, KEY.address),
    ):
        with pytest.raises(BadSignatureError):
            other.verify(chain_id, signature, issuer)


@pytest.mark.parametrize("amount", [-1, MAX_AMOUNT + 1])
def test_a_cheque_outside_uint256_cannot_exist(amount: int) -> None:
    with pytest.raises(ChequeError):
        Cheque(KEY.address, PAYEE, amount)
    with pytest.raises(ChequeError):
        BtfsCheque(VAULT, PAYEE, amount)


# --- rails ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rail_id", "chain_id"),
    [
        ("", 199),
        ("eip155:", 0),
        ("eip155:0199", 199),
        ("eip155:-199", -199),
        ("eip155:0xc7", 199),
        ("EIP155:199", 199),
        ("eip155:199\n", 199),
        ("eip155:199", 1029),
        ("eip155:199", 199 + 2**32),
        ("tron:728126428", 728126428),
        ("tron:0x2B6653DC", 0x2B6653DC),
        ("tron:0x2b6653dc", 0xCD8690DC),
        ("bip122:000000000019d6689c085ae165831e93", 0),
        ("eip155:" + "9" * 500, 9),
    ],
)
def test_a_rail_whose_id_is_wrong_is_refused_in_one_line(rail_id: str, chain_id: int) -> None:
    with pytest.raises(ChequeError) as raised:
        Rail(rail_id, chain_id, VAULT)
    assert str(raised.value).isprintable()


def test_both_chain_ids_of_a_tron_chain_sign_the_same() -> None:
    short, whole = 0x2B6653DC, 0x1EBF88508A03865C71D452E25F4D51194196A1D22B6653DC
    one, other = Rail("tron:0x2b6653dc", short, VAULT), Rail("tron:0x2b6653dc", whole, VAULT)
    assert mask_chain_id(whole) == short
    assert cheque_digest(one, CHEQUE) == cheque_digest(other, CHEQUE)


def test_equal_rails_are_one_key_of_a_table() -> None:
    again = Rail("eip155:199", 199, Address(VAULT.raw), Token("BTT", 18))
    assert {RAIL: 1}[again] == 1
    assert again.separator == RAIL.separator
    assert Rail("eip155:199", 199, PAYEE) != RAIL
    assert Rail("eip155:199", 199, VAULT, Token("WBTT", 18)) != RAIL
    assert RAIL.token == BTT
