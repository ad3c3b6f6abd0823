"""Reading any contract: the part of the port that knows nothing of the vault, for contracts with bindings of their own.

Answers and logs are bytes here. Whoever asks knows the contract's interface, and what a contract that answers nonsense
means to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from wallet.address import Address

Topics = Sequence[bytes | None]
"""What a log's topics have to be, from the first on; None for any."""


@dataclass(frozen=True, slots=True)
class Log:
    """An event as the chain keeps it: up to four topics of 32 bytes, of which the first names the event."""

    address: Address
    topics: tuple[bytes, ...]
    data: bytes = field(repr=False)

    def matches(self, contract: Address, topics: Topics) -> bool:
        """Whether it is this contract's and has these topics: servers are not trusted to have filtered."""
        if self.address != contract or len(self.topics) < len(topics):
            return False
        return all(wanted in (None, given) for wanted, given in zip(topics, self.topics, strict=False))


@dataclass(frozen=True, slots=True)
class FoundLog:
    """A log and where it happened; a reorganisation may still take it away."""

    log: Log
    block: int
    block_hash: bytes
    transaction: bytes


class ContractReader(Protocol):
    """Both raise `ChainError`s for faults of the chain, its endpoints and the settings."""

    async def ask(self, contract: Address, *requests: bytes) -> Sequence[bytes]:
        """What a contract answers to each of these call data, all on the state of one block, the latest.

        Raises `RevertedError` where it refuses one of them, and `ChainError` where there is no contract.
        """

    async def logs(self, contract: Address, first: int, last: int, topics: Topics = ()) -> Sequence[FoundLog]:
        """A contract's logs in these blocks, both included, in order: those with these topics.

        Raises `ValueError` for more blocks than the adapter reads in one call.
        """
