"""What the chain core speaks of: plain data, no wire format. Addresses have 20 bytes, hashes and topics 32."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from eth.rlp.headers import BlockHeader
from eth.vm.forks.berlin.transactions import BerlinLegacyTransaction

Transaction = BerlinLegacyTransaction
"""A signed transaction with EIP-155 replay protection, as py-evm decodes it."""


@dataclass(frozen=True, slots=True)
class Block:
    """A header, its hash, and the hashes of the block's transactions in order. `size` in bytes of RLP."""

    header: BlockHeader
    hash: bytes
    transactions: tuple[bytes, ...]
    size: int

    @property
    def number(self) -> int:
        return int(self.header.block_number)

    @property
    def timestamp(self) -> int:
        """Unix seconds."""
        return int(self.header.timestamp)


@dataclass(frozen=True, slots=True)
class Event:
    """What a contract logged."""

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """What running a message did. `gas_consumed` is before refunds: what the sender must bring along."""

    success: bool
    gas_used: int
    gas_consumed: int
    output: bytes
    error: str
    reverted: bool
    created: bytes | None
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Log:
    """An event and where it stands. `index` counts within the block."""

    event: Event
    block_number: int
    block_hash: bytes
    transaction: bytes
    transaction_index: int
    index: int


@dataclass(frozen=True, slots=True)
class Mined:
    """A transaction in a block, with what its receipt says."""

    transaction: Transaction
    block_number: int
    block_hash: bytes
    index: int
    success: bool
    gas_used: int
    cumulative_gas: int
    created: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A message that is run but not kept. `to` None creates a contract; `gas` None means as much as a block has."""

    sender: bytes = bytes(20)
    to: bytes | None = None
    data: bytes = b""
    value: int = 0
    gas: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFilter:
    """Logs of blocks `first`..`last` from any of `addresses` (empty: all), whose topics match place by place.

    An empty place in `topics` matches everything; a topic list longer than the log's own matches nothing.
    """

    first: int
    last: int
    addresses: Collection[bytes] = ()
    topics: Sequence[Collection[bytes]] = field(default=())

    def matches(self, event: Event) -> bool:
        if self.addresses and event.address not in self.addresses:
            return False
        if len(self.topics) > len(event.topics):
            return False
        return all(not wanted or topic in wanted for wanted, topic in zip(self.topics, event.topics, strict=False))
