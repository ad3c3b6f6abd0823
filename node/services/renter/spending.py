"""The user's limits on what storing costs, kept where it is decided: before an offer is signed over to a host.

A signed offer can be opened by whoever holds it, so its whole escrow counts from the moment it is durable, in one
transaction with the offer. It counts as less only when the market's final blocks say what was really spent, or when its
start has passed and nobody has opened it. A limit that leaves too little refuses all offers of a round: half an object
is worth nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from node.ports.clock import Clock
from node.ports.renting import Rental, RenterStore
from node.ports.storagebooks import Committed
from node.ports.store import utc_day
from wallet.amount import BTT, Token, format_amount
from wallet.errors import LimitError
from wallet.limits import Limit


@dataclass(frozen=True, slots=True)
class StorageLimits:
    """In units of `token`; None: no such limit."""

    per_day: int | None = None
    total: int | None = None
    token: Token = BTT

    def check(self, committed: Committed, wanted: int) -> None:
        """Raises `LimitError` that names the limit and what to do, where `wanted` more units are too many."""
        tomorrow = "spend_per_day, or wait for the next day (UTC)"
        for limit, budget, used, name, remedy in (
            (Limit.PER_DAY, self.per_day, committed.today, "for today", tomorrow),
            (Limit.TOTAL, self.total, committed.total, "for storage", "spend_total, or forget something"),
        ):
            if budget is not None and used + wanted > budget:
                left, all_of_it = (format_amount(amount, self.token) for amount in (max(0, budget - used), budget))
                raise LimitError(
                    f"{format_amount(wanted, self.token)} have to be locked, and of your {all_of_it} {name} "
                    f"{left} are left: raise [storage] {remedy}",
                    limit,
                )


class Spending:
    """One per node: the limits are those of all rails together."""

    def __init__(self, store: RenterStore, clock: Clock, limits: StorageLimits) -> None:
        self._store = store
        self._clock = clock
        self.limits = limits
        self._deciding = asyncio.Lock()

    async def offer(self, rentals: Sequence[Rental]) -> None:
        """Make signed offers durable, all or none. Raises `LimitError`, `StoreError`."""
        if not rentals:
            return
        async with self._deciding:
            self.limits.check(await self.committed(), sum(rental.terms.escrow for rental in rentals))
            await self._store.offer(rentals, self._today)

    async def fault(self, wanted: int) -> str:
        """Which limit would refuse `wanted` more units now, and what to do; "" for none."""
        try:
            self.limits.check(await self.committed(), wanted)
        except LimitError as error:
            return str(error)
        return ""

    async def committed(self) -> Committed:
        """What counts against the limits now."""
        return await self._store.committed(self._today)

    @property
    def _today(self) -> int:
        return utc_day(self._clock.wall())
