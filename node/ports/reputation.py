"""What the store keeps of reputations, and how bounced cheques come into them.

The rules of `node.ports.store` hold here too. A payout that was booked is judged once: the records it has changed and
its number become durable together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from node.ports.store import Payout
from node.speed.reputation import Changes, Snapshot


class ReputationStore(Protocol):
    """The part of the store that `node.services.reputation` needs. Any call may raise `StoreError`."""

    async def reputations(self) -> Sequence[Snapshot]:
        """All records, in no order."""

    async def save_reputations(self, changes: Changes, judged: int) -> None:
        """Insert, replace and remove; `judged`: the number of the last payout that went into them."""

    async def judged(self) -> int:
        """The number of the last payout that is in the records; 0: none."""

    async def payouts_after(self, number: int, *, limit: int = 100) -> Sequence[Payout]:
        """Those with a higher number, the oldest first."""
