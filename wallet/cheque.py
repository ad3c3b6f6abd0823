"""Cumulative cheques: a payer's signed word that a payee may have drawn this much in all.

A cheque replaces every smaller one of the same payer, payee and vault, so losing one costs nothing and the order of
arrival does not matter. It is bound to one vault contract on one chain by its EIP-712 domain.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from wallet.address import Address
from wallet.amount import BTT, MAX_AMOUNT, Token
from wallet.digests import (
    ADDRESS_PAD,
    BID_TYPE,
    BTFS_CHEQUE_TYPE,
    BTFS_TOKEN_CHEQUE_TYPE,
    CHEQUE_TYPE,
    domain_separator,
    mask_chain_id,
    typed_digest,
    word,
)
from wallet.errors import BadSignatureError, ChequeError, quoted
from wallet.keys import PrivateKey, recover

VAULT_NAME, VAULT_VERSION = "BttVault", "1"
BTFS_NAME, BTFS_VERSION = "Vault", "1.0"

_EVM_RAIL = re.compile(r"eip155:([1-9][0-9]{0,19})\Z")
_TRON_RAIL = re.compile(r"tron:0x([0-9a-f]{1,64})\Z")


@dataclass(frozen=True, slots=True)
class Rail:
    """Where cheques settle: a chain (CAIP-2 id, such as `eip155:199` or `tron:0x2b6653dc`), a vault on it, its token.

    Raises `ChequeError` when id and chain id do not belong together.
    """

    id: str
    chain_id: int
    vault: Address
    token: Token = BTT
    separator: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if match := _EVM_RAIL.match(self.id):
            same = int(match.group(1)) == self.chain_id
        elif match := _TRON_RAIL.match(self.id):
            # Either may be the whole id of the genesis block or its last four bytes.
            same = mask_chain_id(int(match.group(1), 16)) == mask_chain_id(self.chain_id)
        else:
            raise ChequeError(f"{quoted(self.id)} is not a rail: expected eip155:<number> or tron:0x<hex>")
        if not same:
            raise ChequeError(f"rail {self.id} does not belong to chain id {self.chain_id}: check the network profile")
        separator = domain_separator(VAULT_NAME, VAULT_VERSION, mask_chain_id(self.chain_id), self.vault)
        object.__setattr__(self, "separator", separator)


@dataclass(frozen=True, slots=True)
class Cheque:
    """`cumulative` is in the smallest unit of the rail's token. Raises `ChequeError` outside uint256."""

    payer: Address
    payee: Address
    cumulative: int

    def __post_init__(self) -> None:
        if not 0 <= self.cumulative <= MAX_AMOUNT:
            raise ChequeError("a cheque's amount does not fit 256 bits")


@dataclass(frozen=True, slots=True)
class SignedCheque:
    """A cheque, the rail it is bound to, and its 65-byte signature."""

    rail: Rail
    cheque: Cheque
    signature: bytes


def cheque_digest(rail: Rail, cheque: Cheque) -> bytes:
    """The 32 bytes that are signed (EIP-712, type `Cheque` of the vault)."""
    return typed_digest(
        rail.separator,
        CHEQUE_TYPE,
        ADDRESS_PAD,
        cheque.payer.raw,
        ADDRESS_PAD,
        cheque.payee.raw,
        cheque.cumulative.to_bytes(32, "big"),
    )


def sign_cheque(rail: Rail, cheque: Cheque, key: PrivateKey) -> SignedCheque:
    """Sign with the payer's key, or with a hot key the payer has authorised in the vault."""
    return SignedCheque(rail, cheque, key.sign_digest(cheque_digest(rail, cheque)))


def verify_cheque(rail: Rail, signed: SignedCheque, expected_signer: Address) -> None:
    """Raises `BadSignatureError` unless `expected_signer` signed exactly this cheque for exactly this rail."""
    if signed.rail != rail:
        raise BadSignatureError("the cheque is for another rail")
    if recover(cheque_digest(rail, signed.cheque), signed.signature) != expected_signer:
        raise BadSignatureError("the cheque is not signed by its payer for this vault, payee and amount")


def bid_digest(rail: Rail, payer: Address, payee: Address, max_price: int, nonce: bytes) -> bytes:
    """The 32 bytes a Speed bid signs: who bids how much (units per MiB) to whom, on one connection.

    Raises `ValueError` for a nonce that is not 32 bytes, `OverflowError` for a price outside uint256.
    """
    return typed_digest(rail.separator, BID_TYPE, word(payer), word(payee), word(max_price), word(nonce))


@dataclass(frozen=True, slots=True)
class BtfsCheque:
    """A BTFS cheque, drawn on the payer's own vault. Without `token`: WBTT (`Cheque`), else `MultiTokenCheque`."""

    vault: Address
    beneficiary: Address
    cumulative: int
    token: Address | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.cumulative <= MAX_AMOUNT:
            raise ChequeError("a cheque's amount does not fit 256 bits")

    def digest(self, chain_id: int) -> bytes:
        """The 32 bytes that are signed; BTFS's domain has no verifying contract."""
        separator = domain_separator(BTFS_NAME, BTFS_VERSION, chain_id)
        fields = (word(self.vault), word(self.beneficiary), word(self.cumulative))
        if self.token is None:
            return typed_digest(separator, BTFS_CHEQUE_TYPE, *fields)
        return typed_digest(separator, BTFS_TOKEN_CHEQUE_TYPE, word(self.token), *fields)

    def sign(self, chain_id: int, key: PrivateKey) -> bytes:
        """65 bytes r ‖ s ‖ v by the vault's issuer."""
        return key.sign_digest(self.digest(chain_id))

    def verify(self, chain_id: int, signature: bytes, issuer: Address) -> None:
        """Raises `BadSignatureError` unless the vault's issuer signed it."""
        if recover(self.digest(chain_id), signature) != issuer:
            raise BadSignatureError("the cheque is not signed by its vault's issuer")
