"""What renting storage needs of the rest of the node: records, the market on chain, finding hosts, moving shards.

Theory. A renter's promises are signatures that others hold, so what it has signed must be known again after any crash.
Each record is therefore durable before the message or transaction that it is about goes out, and every step is one that
may be repeated: the same contract proposed twice is one contract, the same intent sent twice is one transaction, the
same voucher pays once. A crash then costs a repetition and nothing else.

The rules of `node.ports.store` hold here too: a call that returns is durable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from node.ports.peerapi import Peer
from node.ports.storagebooks import Committed
from node.storage.audit import Verdict
from node.storage.lifecycle import MarketStatus, State
from node.storage.standing import Standing
from wallet.address import Address
from wallet.storage_terms import NOBODY, Market, StorageContract

# --- records --------------------------------------------------------------------------------------------------------


MOST_KNOWN = 4096
"""Hosts of a rail whose standing is remembered."""
FOR_OTHERS = ""
"""The object of contracts that we only audit."""


class Stage(StrEnum):
    """Where an object is."""

    PACKING = "packing"
    """Its shards are being made. Nobody knows of it; after a crash it is packed anew."""
    PLACING = "placing"
    """Its shards are on this machine, and some are not on a host yet."""
    KEPT = "kept"
    """Every shard was with a host once; repair keeps it so."""
    FORGOTTEN = "forgotten"
    """The user wants it no more: its contracts are being ended, then it is removed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """Something the user stores. `id`: 16 hex digits, for people; `manifest`: encoded, without contracts, b"" while it
    is packed; `seconds`: of a contract's term; `max_price`: units per GiB and day, all in; `renew`: keep it for ever,
    with new contracts when those that run come to their end; else it is kept until Unix second `until`; `note`: what
    holds it up, in one line.
    """

    id: str
    rail: str
    stage: Stage
    path: Path
    k: int
    n: int
    public: bool
    seconds: int
    max_price: int
    created: int
    until: int
    auditor: Address = NOBODY
    renew: bool = True
    manifest: bytes = field(default=b"", repr=False)
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rental:
    """One contract of ours, or (`object` "") one that we audit for somebody else. `id`: the contract's, 32 bytes.

    `shard`: its number in the object; `url`, `peers`, `network`: the host's API, "IP:port"s of its engine, and network;
    `download_price`: units per MiB; `renews`: the id of the contract that this one follows, b"" for none; `vouched`:
    the highest voucher we signed, `told`: the one the host has confirmed; `passed`: the number of the last epoch with a
    good audit, plus one; `missed`: consecutive epochs in which it was asked and silent, `missed_epoch` the last of
    them, plus one; `convicted`: it signed a wrong answer; `dropped`: we want it no more, but the host may still have
    our signature, so its end is waited for; `leaves`: Unix second when the host goes, 0 if it has not said so;
    `relieve`: the host asks for a hand-over, and is let go as soon as another one keeps the shard.
    """

    id: bytes
    object: str
    shard: int
    rail: str
    terms: StorageContract
    state: State
    url: str
    network: str
    peers: tuple[str, ...]
    download_price: int
    renter_signature: bytes = field(repr=False)
    host_signature: bytes = field(default=b"", repr=False)
    renews: bytes = b""
    vouched: int = 0
    voucher_signature: bytes = field(default=b"", repr=False)
    told: int = 0
    passed: int = 0
    missed: int = 0
    missed_epoch: int = 0
    convicted: bool = False
    dropped: bool = False
    leaves: int = 0
    relieve: bool = False

    @property
    def peer(self) -> Peer:
        """The host, to be asked."""
        return Peer(self.terms.host, self.url)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """One audit that was judged. `epoch` -1: before the contract's start, when the host first showed the shard.

    `evidence`: a bundle of `node.storage.evidence`; b"" for one that passed and was followed by another.
    """

    contract: bytes
    epoch: int
    verdict: Verdict
    at: int
    reason: str
    evidence: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class SentLabel:
    """A host has confirmed the label of its contract. `digest`: of what it says (`node.storage.label.Label`)."""

    contract: bytes
    object: str
    number: int
    digest: bytes


class RenterStore(Protocol):
    """The part of the store that `node.services.renter` needs. Any call may raise `StoreError`."""

    async def save_object(self, stored: StoredObject) -> None:
        """Insert or replace."""

    async def objects(self) -> Sequence[StoredObject]:
        """All of them, the oldest first."""

    async def remove_object(self, object_id: str) -> None:
        """Forget an object, its contracts, their audits and labels."""

    async def save_rental(self, rental: Rental) -> None:
        """Insert or replace; the voucher that is kept is never lowered."""

    async def offer(self, rentals: Sequence[Rental], day: int) -> None:
        """Insert signed offers; from now on what they may lock counts as promised, on this UTC day."""

    async def committed(self, day: int) -> Committed:
        """What all offers since ever may lock, have locked or have spent, and those of one UTC day."""

    async def rentals(self, object_id: str | None = None) -> Sequence[Rental]:
        """Those of an object, or all; in the order of their shards, the oldest contract first."""

    async def save_audit(self, audit: AuditRecord) -> None:
        """Keep a verdict. Of a contract's audits that passed, only the latest keeps its evidence."""

    async def audits(self, contract: bytes) -> Sequence[AuditRecord]:
        """Oldest first."""

    async def save_label(self, label: SentLabel) -> None:
        """Insert or replace; nothing where its contract is known no more."""

    async def labels(self, object_id: str) -> Sequence[SentLabel]:
        """What the hosts of an object have confirmed."""

    async def save_standing(self, standing: Standing) -> None:
        """Insert or replace; of a rail's hosts, the `MOST_KNOWN` that were seen last are remembered."""

    async def standings(self, rail: str) -> Sequence[Standing]:
        """All hosts of a rail that we have experience with."""


# --- the market on chain ----------------------------------------------------------------------------------------------


class MarketError(Exception):
    """The market could not be asked, or the call did not take effect now; asking again may help. One line."""

    hint = "the node tries again by itself"


class MarketRefusedError(MarketError):
    """The market will not do this, however often it is asked."""

    hint = "see `bttnode stored` for what becomes of the object"


@dataclass(frozen=True, slots=True)
class OnChain:
    """The market's record of a contract. `epochs`: how many it runs (an exit makes them fewer); `paid`: how many are
    paid; `answer_by`: Unix second until which an open challenge may be answered, 0 where none is.
    """

    status: MarketStatus
    epochs: int = 0
    paid: int = 0
    exiting: bool = False
    answer_by: int = 0


class MarketPort(Protocol):
    """`StorageMarket` on one rail, for one renter. Calls that send something are one intent per contract and action,
    so a repeated call is the same transaction; they return when it is final. Raise `MarketError`s.
    """

    @property
    def market(self) -> Market: ...

    async def balance(self) -> int:
        """Token units the renter has in the market, not locked by any contract."""

    async def chain_time(self) -> int:
        """Unix second of the latest block: what the market thinks it is."""

    async def status(self, contract: StorageContract) -> OnChain: ...

    async def open(self, contract: StorageContract, renter_signature: bytes, host_signature: bytes) -> None:
        """Lock the money. The balance must be there: see `deposit`."""

    async def deposit(self, key: str, amount: int) -> None:
        """Put token units from the wallet into the market, once per `key`. Raises `MarketRefusedError` where the
        wallet does not have them, or the user's limits forbid it."""

    async def call_off(self, contract: StorageContract) -> None:
        """Undo a contract before its start."""

    async def cancel(
        self, contract: StorageContract, through_epoch: int, renter_signature: bytes, host_signature: bytes
    ) -> None:
        """End it by the will of both."""

    async def running(self, progress: Callable[[int, int], None]) -> Sequence[tuple[StorageContract, OnChain]]:
        """All contracts of this renter that are in force, out of the market's final log; `progress` hears how many
        blocks of how many are read."""

    async def bond(self) -> int:
        """Token units that a challenge costs until it is answered or failed."""

    async def challenge(self, contract: StorageContract, index: int) -> None:
        """Ask on chain for block `index`, with a bond from the balance."""

    async def fail(self, contract: StorageContract) -> None:
        """Take what an unanswered challenge brings."""

    async def settle(self, contract: StorageContract, through_epoch: int, signature: bytes) -> None:
        """Pay the host what a voucher of ours or of the auditor says. Raises `MarketRefusedError` where it has that."""

    async def close(self, contract: StorageContract) -> None:
        """End a contract whose time is over; what was not earned comes back."""


# --- hosts and shards -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FoundHost:
    """A host that announces itself. `network`: by `node.storage.placement.network_of`; `score`: 0 to 1000."""

    peer: Peer
    network: str
    score: int


class Discovery(Protocol):
    """Who rents out storage."""

    async def hosts(self, rail: str) -> Sequence[FoundHost]:
        """All that are known on a rail; they may be gone. An empty answer is a valid one."""


class TransferError(Exception):
    """A shard did not come: its hosts were away, too slow, or sent something else. One line."""


class ShardCarrier(Protocol):
    """Moves shard files between nodes; what comes has the root that was asked for."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Under which "IP:port" hosts find this node's engine."""

    async def seed(self, root: bytes, length: int, folder: Path, peers: Sequence[str]) -> None:
        """Offer `folder / <root in hex>`, with its tree beside it, until `stop`, and call on `peers` ("IP:port" each)
        while nobody has come for it.

        Raises `TransferError` when it cannot be.
        """

    async def stop(self, root: bytes) -> None:
        """Offer it no more; the file stays. Nothing happens where it was not offered."""

    async def fetch(self, root: bytes, length: int, folder: Path, peers: Sequence[str], *, deadline: float) -> Path:
        """Download to `folder / <root in hex>`; goes on with what is there.

        `deadline`: seconds without any progress until `TransferError`.
        """

    async def sample(
        self,
        root: bytes,
        length: int,
        piece: int,
        folder: Path,
        peers: Sequence[str],
        *,
        deadline: float,
        insist: bool = False,
    ) -> bool:
        """Download one piece of the shard (`node.storage.torrent`) by way of `folder`, and throw it away.

        False where this node has or fetches the shard itself, so that it cannot be tried; `insist`: interrupt `seed`
        for it. `deadline`: seconds without any progress until `TransferError`.
        """
