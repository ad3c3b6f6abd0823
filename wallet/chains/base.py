"""The `ChainAdapter` port: what the wallet needs of a chain, whatever chain it is.

Theory
------
Reading is a question with a deadline. Writing is a walk that a crash may interrupt anywhere, so every step either does
nothing outside or may be repeated:

    call       what shall happen, as contract and data                       pure
    estimate   what it would cost; the chain's refusal comes here, for free  asks the chain
    prepare    fix what makes the transaction unique                         asks the chain
    sign       turn it into bytes and the id they will have                  pure: same input, same bytes
    broadcast  hand the bytes to the network; twice is as good as once       asks the chain

The truth is the receipt, once `is_final` says so; before that a reorganisation may still take it back. `is_void` is its
counterpart: the transaction can no longer take effect, ever. Between the two nobody may sign another transaction for
the same purpose, except one that excludes the first (`outbid`). `wallet.outbox` keeps these rules.

What keeps a transaction from taking effect twice differs by chain, and only adapters know it:

    EVM    the sender's nonce. `Fee` is gas and gas price. Final: so many blocks deep. Void: the nonce was used by
           another transaction that is final. A dearer transaction with the same nonce excludes the first.
    TRON   a reference block and an expiry, kept in `UnsignedTx.anchor`; the nonce is always 0. `Fee` is energy and its
           price in sun, and in `extra` the bandwidth. Final: solidified. Void: the expiry is solidified and the id is
           unknown. Nothing excludes an earlier transaction: `outbid` is always None.

Amounts are `int` in the smallest unit: of the settlement token unless a text says native. Times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from wallet.address import Address
from wallet.amount import Token
from wallet.chains.assets import Asset, TokenTransfer
from wallet.chains.reading import ContractReader, Log
from wallet.cheque import Rail, SignedCheque
from wallet.errors import WalletError
from wallet.keys import PrivateKey

# --- errors ---------------------------------------------------------------------------------------------------------
#
#     ChainError
#      ├─ ChainUnreachableError    remote, retry   nobody answered; nothing is known
#      ├─ ChainAnswerError         remote, retry   what came back is no answer: HTML, half JSON, 429, wrong shape
#      ├─ WrongChainError          local           the endpoint serves another chain than the profile says
#      ├─ InsufficientFundsError   local           the sender cannot pay amount and fee
#      ├─ NonceError               local, retry    the nonce is used, or leaves a gap
#      ├─ ExpiredError             local, retry    the transaction's time is over
#      ├─ UnderpricedError         local           the fee is too low to be taken, or to replace what is there
#      ├─ RevertedError            local           the contract refuses
#      └─ FeeTooHighError          local           the fee is above the user's bound


class ChainError(WalletError):
    """The chain did not do what was asked. `str()` is one line, `hint` what the user can do, `retry`: ask again."""

    hint = ""
    retry = False


class ChainUnreachableError(ChainError):
    """No endpoint answered. Nothing is known about what was asked: a broadcast may have arrived."""

    hint = "check the network connection and [rail] endpoints"
    retry = True


class ChainAnswerError(ChainError):
    """An endpoint sent something that is no answer. `retry_after`: seconds it asked us to wait, 0 if it did not."""

    hint = "the endpoint is overloaded, or no server of this network: wait, or set other [rail] endpoints"
    retry = True

    def __init__(self, text: str, retry_after: float = 0.0) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class WrongChainError(ChainError):
    """The endpoint serves another chain than the profile says."""

    hint = "set [rail] endpoints to servers of this network"


class InsufficientFundsError(ChainError):
    """The sender cannot pay amount and fee."""

    hint = "send native coins to this account first"


class NonceError(ChainError):
    """The nonce is used already, or leaves a gap: until `is_void` is sure, it may also be a server that lags behind."""

    hint = "another program may use the same key: let only one send transactions"
    retry = True


class ExpiredError(ChainError):
    """The transaction's time is over, or the block it refers to is gone. It may be in a block all the same: `is_void`
    tells."""

    retry = True


class UnderpricedError(ChainError):
    """The fee is too low to be taken, or to replace what is there."""

    hint = "the network has become dearer: wait, or raise [rail] max_fee"


class RevertedError(ChainError):
    """The contract refuses; the text carries its reason, `refusal` the name of its error where it gave one."""

    refusal = ""


class FeeTooHighError(ChainError):
    """The fee is above the user's bound."""

    hint = "wait until the network is cheaper, or raise [rail] max_fee"


# --- transactions ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Block:
    """A block's number, id (32 bytes) and time."""

    number: int
    hash: bytes
    timestamp: int


@dataclass(frozen=True, slots=True)
class Call:
    """What a transaction is to do. `value` in native units; `method` names it in books, `text` tells the user.

    `trc10`: the number of the TRC-10 token that `value` counts instead of native coins; 0 for none (TRON only).
    `creates`: the name of the contract that `data` makes when it is run; `to` means nothing then.
    """

    to: Address
    data: bytes = field(repr=False)
    value: int
    method: str
    text: str
    trc10: int = 0
    creates: str = ""


@dataclass(frozen=True, slots=True)
class Fee:
    """Up to `limit` units of work (gas, energy) at `price` native units each, and `extra` (TRON: the bandwidth, a new
    account): at most `total` is paid."""

    limit: int
    price: int
    extra: int = 0

    @property
    def total(self) -> int:
        return self.limit * self.price + self.extra


@dataclass(frozen=True, slots=True)
class UnsignedTx:
    """Everything that will be signed. `anchor`: what else makes it unique on chains without nonces."""

    call: Call
    sender: Address
    nonce: int
    fee: Fee
    anchor: bytes = b""


@dataclass(frozen=True, slots=True)
class SignedTx:
    """A transaction, its bytes for the network, and the id (32 bytes) under which the network will know them."""

    tx: UnsignedTx
    raw: bytes = field(repr=False)
    hash: bytes


# --- the vault ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PayerState:
    """A payer's money in the vault, all of one block. `balance` includes what is locked or under notice.

    `notice`: the amount under notice, 0 for none; it may leave from `notice_ready_at` on.
    """

    balance: int
    locked: int = 0
    notice: int = 0
    notice_ready_at: int = 0


@dataclass(frozen=True, slots=True)
class Authorisation:
    """How much free money a hot key may move in all, and how much of that it has moved."""

    cap: int
    moved: int


class Rejection(IntEnum):
    """Why the vault did not even try a cheque (`Reason` in the contract)."""

    BAD_PAYEE = 1
    BAD_RECIPIENT = 2
    NOTHING_NEW = 3
    BAD_SIGNATURE = 4


# The vault's events: fields in the order of the contract's.


@dataclass(frozen=True, slots=True)
class Deposited:
    payer: Address
    source: Address
    amount: int


@dataclass(frozen=True, slots=True)
class NoticeGiven:
    payer: Address
    amount: int
    ready_at: int


@dataclass(frozen=True, slots=True)
class NoticeCancelled:
    payer: Address


@dataclass(frozen=True, slots=True)
class Withdrawn:
    payer: Address
    to: Address
    amount: int


@dataclass(frozen=True, slots=True)
class Locked:
    """`total`: all that is locked for this payee now."""

    payer: Address
    payee: Address
    amount: int
    total: int


@dataclass(frozen=True, slots=True)
class UnlockRequested:
    payer: Address
    payee: Address
    ready_at: int


@dataclass(frozen=True, slots=True)
class Unlocked:
    payer: Address
    payee: Address
    amount: int


@dataclass(frozen=True, slots=True)
class Authorised:
    payer: Address
    hot_key: Address
    cap: int


@dataclass(frozen=True, slots=True)
class Revoked:
    payer: Address
    hot_key: Address


@dataclass(frozen=True, slots=True)
class CashedCheque:
    """The vault paid `paid` for a cheque over `cumulative`. `recipient` all zero: to the payee's balance there."""

    payer: Address
    payee: Address
    recipient: Address
    cumulative: int
    paid: int


@dataclass(frozen=True, slots=True)
class BouncedCheque:
    """The vault could not cover `missing` of a cheque over `cumulative`; `paid` has its own `CashedCheque`."""

    payer: Address
    payee: Address
    cumulative: int
    paid: int
    missing: int


@dataclass(frozen=True, slots=True)
class RejectedCheque:
    """The vault did not even try; `reason` is a `Rejection`."""

    payer: Address
    payee: Address
    reason: int


VaultEvent = (
    Deposited
    | NoticeGiven
    | NoticeCancelled
    | Withdrawn
    | Locked
    | UnlockRequested
    | Unlocked
    | Authorised
    | Revoked
    | CashedCheque
    | BouncedCheque
    | RejectedCheque
)


@dataclass(frozen=True, slots=True)
class VaultLog:
    """An event and where it happened; a reorganisation may still take it away."""

    event: VaultEvent
    block: int
    block_hash: bytes
    transaction: bytes


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a transaction in the block it is in now. `ok` False: it was undone, and paid for.

    `fee_used` in units of work, `fee_paid` in native units. `events` are the vault's, `logs` everybody's.
    """

    hash: bytes
    ok: bool
    block: int
    block_hash: bytes
    fee_used: int
    fee_paid: int
    events: tuple[VaultEvent, ...] = ()
    contract: Address | None = None
    """What a deployment made. (TRON also tells which contract was called.)"""
    logs: tuple[Log, ...] = ()


# --- the port -------------------------------------------------------------------------------------------------------


class ChainAdapter(ContractReader, Protocol):
    """One chain with one vault. Every coroutine may raise `ChainError` and has a deadline of its own."""

    @property
    def rail(self) -> Rail:
        """Chain id, CAIP-2 name, vault and settlement token."""

    @property
    def native(self) -> Token:
        """The coin that pays fees."""

    @property
    def token(self) -> Address:
        """The settlement token's contract."""

    @property
    def expires(self) -> bool:
        """Whether transactions have an expiry instead of a nonce: a void one has then only run out of time, so its call
        may be signed anew. False where void means that another transaction has taken the nonce."""

    def name(self, address: Address) -> str:
        """The address as people write it on this chain."""

    async def start(self) -> None:
        """Check that the chain is the one the profile names. Optional: the first question checks it too."""

    async def close(self) -> None:
        """Idempotent."""

    # reading
    async def head(self) -> Block: ...

    async def final(self, number: int | None = None) -> Block:
        """The newest block that will stay; with a number, that block where it is older."""

    async def balance(self, asset: Asset, owner: Address) -> int: ...

    async def transfers(self, asset: Asset, owner: Address, first: int, last: int) -> Sequence[TokenTransfer]:
        """What a token contract moved from or to the owner in these blocks, both included, in order.

        Raises `ValueError` for an asset that is no token contract: chains keep no list of the others.
        """

    async def native_balance(self, owner: Address) -> int: ...

    async def token_balance(self, owner: Address) -> int: ...

    async def allowance(self, owner: Address) -> int:
        """How much the vault may take from the owner's wallet."""

    async def payer_state(self, payer: Address) -> PayerState: ...

    async def paid_out(self, payer: Address, payee: Address) -> int: ...

    async def available(self, payer: Address, payee: Address) -> int:
        """What a new cheque to this payee could draw now."""

    async def authorised(self, payer: Address, hot_key: Address) -> Authorisation: ...

    async def events(self, first: int, last: int) -> Sequence[VaultLog]:
        """The vault's events in these blocks, both included, in order."""

    # calls: pure
    def transfer(self, asset: Asset, to: Address, amount: int) -> Call:
        """Raises `ValueError` for an asset that the chain cannot have."""

    def wrap(self, asset: Asset, amount: int) -> Call:
        """Native coins become units of an asset that `wraps_native`, one to one."""

    def unwrap(self, asset: Asset, amount: int) -> Call: ...

    def deploy(self, name: str, creation: bytes) -> Call:
        """A new contract: creation code with its encoded arguments. Its address is in the receipt."""

    def transfer_native(self, to: Address, amount: int) -> Call: ...

    def transfer_token(self, to: Address, amount: int) -> Call: ...

    def approve(self, amount: int) -> Call:
        """Let the vault take this much from the sender's wallet, for `deposit`."""

    def deposit(self, amount: int) -> Call: ...

    def deposit_for(self, payer: Address, amount: int) -> Call: ...

    def give_notice(self, amount: int) -> Call: ...

    def cancel_notice(self) -> Call: ...

    def withdraw(self, to: Address) -> Call: ...

    def lock(self, payee: Address, amount: int) -> Call: ...

    def request_unlock(self, payee: Address) -> Call: ...

    def unlock(self, payee: Address) -> Call: ...

    def authorise(self, hot_key: Address, cap: int) -> Call: ...

    def revoke(self, hot_key: Address) -> Call: ...

    def cash(self, cheques: Sequence[SignedCheque], recipient: Address | None) -> Call:
        """One bad cheque does not hold up the others. Without a recipient: to each payee's balance in the vault."""

    # writing
    async def estimate(self, call: Call, sender: Address) -> Fee:
        """Raises `RevertedError`, `InsufficientFundsError` or `FeeTooHighError` where it would fail."""

    async def next_nonce(self, sender: Address) -> int:
        """The first nonce that no known transaction of the sender uses, pending ones included."""

    async def prepare(self, call: Call, sender: Address, nonce: int, fee: Fee) -> UnsignedTx:
        """Where transactions expire, no two calls give the same anchor: two equal payments are two transactions."""

    def sign(self, tx: UnsignedTx, key: PrivateKey) -> SignedTx: ...

    async def broadcast(self, signed: SignedTx) -> None:
        """Success also where the network, or a block, has these very bytes already; expired ones: `ExpiredError`."""

    async def outbid(self, tx: UnsignedTx) -> UnsignedTx | None:
        """A dearer transaction for the same call that excludes this one; None where the price now is no higher, or
        the chain has no such thing. Raises `FeeTooHighError`."""

    async def receipt(self, transaction: bytes) -> Receipt | None: ...

    async def is_final(self, receipt: Receipt) -> bool:
        """Its block is part of the chain, and so deep that it will stay."""

    async def is_void(self, signed: SignedTx) -> bool:
        """The transaction is in no block and can get into none any more."""

    async def why_reverted(self, tx: UnsignedTx, receipt: Receipt) -> str:
        """The contract's reason for a receipt that is not `ok`, found by trying again on the state before its block."""
