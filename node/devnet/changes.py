"""What a chain tells those who watch it, in the order it happens: plain data, no wire format.

Watchers are called on the chain's thread, after the change is stored, and must not change the chain themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from node.devnet.records import Block, Log, Transaction


@dataclass(frozen=True, slots=True)
class TransactionAccepted:
    """It waits for a block, if only for a moment."""

    transaction: Transaction


@dataclass(frozen=True, slots=True)
class BlockAdded:
    """A new head and its logs, in order."""

    block: Block
    logs: tuple[Log, ...]


@dataclass(frozen=True, slots=True)
class LogsRemoved:
    """Blocks were taken back, and these logs with them, in the order they had been added."""

    logs: tuple[Log, ...]


Change = TransactionAccepted | BlockAdded | LogsRemoved
Watcher = Callable[[Change], None]
