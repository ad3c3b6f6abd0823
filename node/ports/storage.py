"""The storage ports: a host's durable record of each contract, and what is asked of the `StorageMarket` on a chain.

Theory. What a host may not forget is what it signed, which voucher is its highest, and what has become of it. All of it
is one record per contract. Three of its figures only ever grow: the voucher, the set of paid epochs and the bonds won;
each has a call of its own, so that no later save of the rest can take any of them back. The chain is asked again
whenever its answer matters: nothing of the market is remembered here but what it has made final.

The types that the market gives are protocols over the wallet's own: whatever has these attributes will do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from node.storage.lifecycle import ENDS, State
from wallet.address import Address
from wallet.chains.base import Call, Receipt
from wallet.storage_terms import Market, StorageContract, Voucher


@dataclass(frozen=True, slots=True, kw_only=True)
class HostedContract:
    """A contract that we, the host, have signed. Times in Unix seconds; amounts in token units.

    `id`: the contract's digest in its market; `peers`: where to fetch the shard, "IP:port"; `renews`: the contract on
    the same root that this one follows. `whole`: the shard is here, checked and durable. `damaged`: why it is not any
    more. `epochs`: how many it runs, fewer than agreed after an exit. `audits`: how many were answered, `audited_at`
    the last of them. `cancel`: renter and we end it through this epoch, with the renter's signature. `note`: why it
    ended, for the user. `leaving`: when the owner asked to be rid of it, 0 if they did not; `exit_at`: from when on we
    leave alone, unless it was handed over before; 0: never.

    Moved by calls of their own: `voucher` (epochs it pays, 0: none) with its signature; `paid`, of which bit e says
    that epoch e is paid on chain, final; `bonds` of challenges on chain that we have answered.
    """

    id: bytes
    rail: str
    market: Address
    contract: StorageContract
    renter_signature: bytes = field(repr=False)
    host_signature: bytes = field(repr=False)
    state: State
    peers: tuple[str, ...] = ()
    renews: bytes | None = None
    whole: bool = False
    damaged: str = ""
    epochs: int
    audits: int = 0
    audited_at: int = 0
    cancel: int | None = None
    cancel_signature: bytes = field(default=b"", repr=False)
    note: str = ""
    created_at: int
    voucher: int = 0
    voucher_signature: bytes = field(default=b"", repr=False)
    voucher_at: int = 0
    paid: int = 0
    bonds: int = 0
    leaving: int = 0
    exit_at: int = 0

    @property
    def live(self) -> bool:
        """It has not ended: its shard is wanted."""
        return self.state not in ENDS

    @property
    def claimed(self) -> int:
        """What final blocks have paid us for epochs."""
        return self.paid.bit_count() * self.contract.price_per_epoch

    @property
    def earned(self) -> int:
        """What is paid or can be claimed by the voucher we hold."""
        vouched = (1 << min(self.voucher, self.epochs)) - 1
        return (vouched | self.paid).bit_count() * self.contract.price_per_epoch


@dataclass(frozen=True, slots=True)
class Bond:
    """A final transaction of ours has answered a challenge on chain: `amount` units came in."""

    transaction: str
    id: bytes
    amount: int
    at: int


@dataclass(frozen=True, slots=True)
class KeptLabel:
    """The sealed label (`node.storage.label`) that a renter wants kept with its contract. `number`: only grows."""

    contract: bytes
    number: int
    data: bytes = field(repr=False)


class StorageStore(Protocol):
    """Durable records of a host's contracts. A call that returns is durable; any may raise `StoreError`."""

    async def hosted(self) -> Sequence[HostedContract]:
        """All of them, also those that have ended, oldest first."""

    async def save_hosted(self, contract: HostedContract) -> None:
        """Insert, or replace all but what has a call of its own."""

    async def keep_voucher(self, voucher: Voucher, signature: bytes, at: int) -> None:
        """Raises `StaleChequeError` unless it is higher than the one that is there, `KeyError` for no such contract."""

    async def book_paid(self, contract_id: bytes, paid: int) -> int:
        """The final chain says that these epochs are paid. Returns what is new of it, in token units."""

    async def book_bond(self, bond: Bond) -> bool:
        """False: it was booked before, nothing changed."""

    async def keep_label(self, label: KeptLabel) -> KeptLabel:
        """Keep it in place of one with a lower number; returns what is there then. It goes when its contract ends.

        Raises `KeyError` where there is no such contract, or it has ended.
        """

    async def label(self, contract_id: bytes) -> KeptLabel | None:
        """None where the renter has sent none."""

    async def label_bytes(self) -> int:
        """Of all labels together."""


class OnChain(Protocol):
    """A contract as the market knows it (`StorageMarket.State`)."""

    @property
    def status(self) -> int:
        """A `node.storage.lifecycle.MarketStatus`."""

    @property
    def epochs(self) -> int:
        """How many it runs."""

    @property
    def attempt(self) -> int:
        """One more than the last epoch that a proof was begun for; 0: none."""

    @property
    def seed_block(self) -> int:
        """The block whose hash chooses what that proof shows."""

    @property
    def answer_by(self) -> int:
        """Until when the open challenge can be answered; 0: there is none."""

    @property
    def index(self) -> int:
        """The block that the open challenge asks for."""

    @property
    def paid(self) -> int:
        """Bit e: epoch e is paid."""


class MarketPort(Protocol):
    """One `StorageMarket`. What asks the chain raises `wallet.chains.base.ChainError`s; the others only make calls."""

    @property
    def market(self) -> Market: ...

    async def balance(self, account: Address) -> int:
        """Units that an account can lock or withdraw, at the head."""

    async def states(self, contract_ids: Sequence[bytes]) -> Sequence[OnChain]:
        """Contracts at the head, in this order. Status 0 where the market never saw one."""

    async def final(self, contract_id: bytes) -> OnChain:
        """A contract as of a final block; status 0 as long as nothing is final."""

    async def final_time(self) -> int:
        """Unix seconds of the newest final block."""

    async def chosen(self, contract: StorageContract) -> tuple[int, int] | None:
        """(epoch, block) that `prove` has to show now; None where no proof is under way, or its seed is not there yet
        or no more."""

    def won(self, receipt: Receipt) -> Mapping[bytes, int]:
        """By contract: bonds that a transaction's `Answered` events paid."""

    def begin_proof(self, contract: StorageContract) -> Call: ...

    def prove(self, contract: StorageContract, block: bytes, path: Sequence[bytes]) -> Call: ...

    def answer(self, contract: StorageContract, block: bytes, path: Sequence[bytes]) -> Call: ...

    def settle(self, contract: StorageContract, through_epoch: int, signature: bytes) -> Call: ...

    def call_off(self, contract: StorageContract) -> Call: ...

    def exit(self, contract: StorageContract) -> Call: ...

    def close(self, contract: StorageContract) -> Call: ...

    def cancel(
        self, contract: StorageContract, through_epoch: int, renter_signature: bytes, host_signature: bytes
    ) -> Call: ...
