"""The `ChainAdapter` port: what the wallet needs of a chain, whatever chain it is.

Theory. Reading is a question with a deadline. Writing is three steps that a crash may separate, so that the outbox can
make each durable before the next:

    prepare  ask the chain for nonce and fee, build the transaction     (needs the chain)
    sign     turn it into bytes and its id                              (pure: same input, same bytes)
    broadcast  hand the bytes to the network; twice is as good as once  (needs the chain)

and the truth is the receipt, once it is final. TRON maps onto the same steps: `Fee.limit` is the fee limit in sun,
`nonce` is unused (0) and `expires_at` bounds how long the bytes may still take effect; on the EVM rails `expires_at` is
None and the nonce is what keeps a transaction from taking effect twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from wallet.address import Address
from wallet.amount import Token
from wallet.cheque import Rail, SignedCheque
from wallet.errors import WalletError
from wallet.keys import PrivateKey

# --- errors ---------------------------------------------------------------------------------------------------------


class ChainError(WalletError):
    """The chain did not do what was asked. One line; `retry` says whether asking again may help."""

    retry = False


class ChainUnreachableError(ChainError):
    """No endpoint answered. Nothing is known about what was asked."""

    retry = True


class ChainAnswerError(ChainError):
    """An endpoint answered with something that is no answer: HTML, half JSON, 429, wrong shape."""

    retry = True


class WrongChainError(ChainError):
    """The endpoint serves another chain than the profile says."""


class InsufficientFundsError(ChainError):
    """The sender cannot pay amount and fee."""


class NonceError(ChainError):
    """The nonce is used already, or leaves a gap."""


class UnderpricedError(ChainError):
    """The fee is too low to be taken, or to replace what is there."""


class RevertedError(ChainError):
    """The contract refuses; the text carries its reason."""


class FeeTooHighError(ChainError):
    """The fee is above the user's bound."""


# --- data -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Block:
    """A block's number, id and time (Unix seconds)."""

    number: int
    hash: bytes
    timestamp: int


@dataclass(frozen=True, slots=True)
class PayerState:
    """A payer's money in the vault, in token units. `notice_ready_at` in Unix seconds, 0 without a notice."""

    balance: int
    locked: int = 0
    notice: int = 0
    notice_ready_at: int = 0


@dataclass(frozen=True, slots=True)
class Call:
    """What a transaction is to do. `text` tells the user; `method` names it in logs and statistics."""

    to: Address
    data: bytes = field(repr=False)
    value: int
    method: str
    text: str


@dataclass(frozen=True, slots=True)
class Fee:
    """`limit` units of work at `price` native units each: at most `total` is paid."""

    limit: int
    price: int

    @property
    def total(self) -> int:
        return self.limit * self.price


@dataclass(frozen=True, slots=True)
class UnsignedTx:
    """Everything that will be signed."""

    call: Call
    sender: Address
    nonce: int
    fee: Fee
    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class SignedTx:
    """The bytes for the network, and the id under which it will know them."""

    raw: bytes = field(repr=False)
    hash: bytes


@dataclass(frozen=True, slots=True)
class Deposited:
    payer: Address
    amount: int


@dataclass(frozen=True, slots=True)
class NoticeGiven:
    payer: Address
    amount: int
    ready_at: int


@dataclass(frozen=True, slots=True)
class Withdrawn:
    payer: Address
    amount: int


@dataclass(frozen=True, slots=True)
class CashedCheque:
    """The vault paid `paid` for a cheque over `cumulative`."""

    payer: Address
    payee: Address
    recipient: Address
    cumulative: int
    paid: int


@dataclass(frozen=True, slots=True)
class BouncedCheque:
    """The vault could not cover `missing` of a cheque over `cumulative`."""

    payer: Address
    payee: Address
    cumulative: int
    paid: int
    missing: int


@dataclass(frozen=True, slots=True)
class RejectedCheque:
    """The vault did not even try; `reason` as in the contract's `Reason`."""

    payer: Address
    payee: Address
    reason: int


VaultEvent = Deposited | NoticeGiven | Withdrawn | CashedCheque | BouncedCheque | RejectedCheque


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a transaction in the block it is in now; final only when `ChainAdapter.is_final` says so."""

    hash: bytes
    ok: bool
    block: int
    block_hash: bytes
    fee_used: int
    """Units of work (gas, energy)."""
    fee_paid: int
    """Native units."""
    events: tuple[VaultEvent, ...] = ()


class ChainAdapter(Protocol):
    """One chain with one vault. Every call that asks the chain may raise `ChainError`, each within its deadline."""

    @property
    def rail(self) -> Rail: ...

    @property
    def native(self) -> Token: ...

    @property
    def token(self) -> Address:
        """The settlement token's contract."""

    async def close(self) -> None: ...

    # reading
    async def head(self) -> Block: ...
    async def native_balance(self, owner: Address) -> int: ...
    async def token_balance(self, owner: Address) -> int: ...
    async def allowance(self, owner: Address) -> int:
        """How much the vault may take from the owner's wallet."""

    async def payer_state(self, payer: Address) -> PayerState: ...
    async def paid_out(self, payer: Address, payee: Address) -> int: ...
    async def available(self, payer: Address, payee: Address) -> int:
        """What a new cheque to this payee could draw now."""

    async def events(self, first: int, last: int) -> Sequence[VaultEvent]:
        """The vault's events in these blocks, both included, in order."""

    # calls
    def transfer_native(self, to: Address, amount: int) -> Call: ...
    def transfer_token(self, to: Address, amount: int) -> Call: ...
    def approve(self, amount: int) -> Call: ...
    def deposit(self, amount: int) -> Call: ...
    def give_notice(self, amount: int) -> Call: ...
    def cancel_notice(self) -> Call: ...
    def withdraw(self, to: Address) -> Call: ...
    def cash(self, cheques: Sequence[SignedCheque], recipient: Address) -> Call: ...

    # writing
    async def estimate(self, call: Call, sender: Address) -> Fee:
        """Raises `RevertedError` when the call would fail."""

    async def next_nonce(self, sender: Address) -> int:
        """The first nonce that no known transaction of the sender uses, pending ones included."""

    async def used_nonces(self, sender: Address) -> int:
        """How many transactions of the sender are in blocks: every nonce below is spent."""

    def sign(self, tx: UnsignedTx, key: PrivateKey) -> SignedTx: ...

    async def broadcast(self, signed: SignedTx) -> None:
        """Success also when the network knows these bytes already."""

    async def receipt(self, transaction: bytes) -> Receipt | None: ...

    async def is_final(self, receipt: Receipt) -> bool:
        """Deep enough, and still in the chain."""
