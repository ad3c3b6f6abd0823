"""The storage market's part of the books: what its final events moved of ours, and what we have promised.

Theory. The journal follows the market's log and nothing else, so it does not matter who sent a transaction, or whether
we were running then. One call books the events of some blocks and moves the cursor past them, in one transaction: a
crash repeats a reading, never a booking. Positions begin earlier, with the offer that a renter signs
(`node.ports.renting.RenterStore.offer`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from node.ports.store import ChainCursor
from wallet.storage.books import MarketBooks, Position
from wallet.storage.chain import Happened
from wallet.storage.events import MarketEvent


class Committed(NamedTuple):
    """Units that renting has promised, locked or spent: since ever, and by what was promised on one UTC day."""

    total: int = 0
    today: int = 0


class StorageBooksStore(Protocol):
    """Any call may raise `StoreError`."""

    async def cursor(self, rail: str) -> ChainCursor | None: ...

    async def book_market(
        self, books: MarketBooks, events: Sequence[Happened[MarketEvent]], *, first: int, cursor: ChainCursor, now: int
    ) -> bool:
        """Book what happened in blocks `first` to `cursor.block`, and go on to there.

        False: the stored cursor is not right before `first`, nothing was changed.
        """

    async def positions(self) -> Sequence[Position]:
        """All of them, by their contracts' ids."""
