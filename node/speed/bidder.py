"""What to bid: the user's limits turned into a price and a ceiling for one connection.

Theory. Under a uniform price the best bid is the truth: the most one is willing to pay. What needs care is the budget,
since several sellers draw on it at once and none of them knows of the others. Each connection therefore gets a *slice*,
a ceiling inside its signed bid: the seller stops metering there, and nothing above it is ever signed. A slice is half
of what is left, so that the last one ends exactly where the budget ends; it is renewed when half of it is used.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from wallet.amount import MIB, cost

SLICE_BYTES = 32 * MIB
"""A slice covers at least this much at the bid's price, so that small budgets are not cut to dust."""


@dataclass(frozen=True, slots=True)
class Cap:
    """One limit of the user: its name for messages, its amount, and what is spent of it already."""

    name: str
    amount: int
    spent: int

    @property
    def left(self) -> int:
        return max(0, self.amount - self.spent)


@dataclass(frozen=True, slots=True)
class Plan:
    """A bid to make. `ceiling` is the whole cost this connection may reach; None = the user set no budget."""

    price: int
    ceiling: int | None


@dataclass(frozen=True, slots=True)
class NoBid:
    """Why not to bid, for the user; `final`: no later moment changes it for this connection."""

    reason: str
    final: bool


@dataclass(slots=True)
class Slice:
    """What one connection holds of the budget: it may cost `ceiling` in all and has cost `used`."""

    torrent: Hashable
    ceiling: int = 0
    used: int = 0
    renew_at: int = 0

    @property
    def held(self) -> int:
        return max(0, self.ceiling - self.used)

    @property
    def wants_renewal(self) -> bool:
        return self.used >= self.renew_at


@dataclass(slots=True)
class Purse:
    """The slices of all connections. Caps come with each call, since they live in the store."""

    slices: dict[Hashable, Slice] = field(default_factory=dict)

    def held(self, *, other_than: Hashable, torrent: Hashable | None = None) -> int:
        """What other connections (of one torrent, or all) may still cost."""
        return sum(
            part.held
            for owner, part in self.slices.items()
            if owner != other_than and (torrent is None or part.torrent == torrent)
        )

    def plan(
        self,
        owner: Hashable,
        torrent: Hashable,
        *,
        reserve: int,
        max_price: int,
        used: int,
        everywhere: list[Cap],
        this_torrent: list[Cap],
        share: int | None = None,
    ) -> Plan | NoBid:
        """The bid for connection `owner`, which has cost `used` so far (already counted in the caps' `spent`).

        `share`: the most that this seller is worth from now on (`preference.divide`); None: no such bound.
        """
        if max_price <= 0:
            return NoBid("buying is switched off for this torrent", final=True)
        if max_price < reserve:
            return NoBid(f"the seller's reserve of {reserve} per MiB is above your highest price of {max_price}", True)
        left = None
        for caps, scope in ((everywhere, None), (this_torrent, torrent)):
            held = self.held(other_than=owner, torrent=scope)
            for cap in caps:
                free = cap.left - held
                if free <= 0:
                    return NoBid(f"the {cap.name} is used up", final=False)
                left = free if left is None else min(left, free)
        if left is None:
            self.slices.pop(owner, None)
            return Plan(max_price, None)
        amount = min(left, max(left // 2, cost(SLICE_BYTES, max_price)))
        if share is not None:
            amount = min(amount, share)
        renew_at = used + amount // 2 if amount < left else used + amount + 1
        self.slices[owner] = Slice(torrent, used + amount, used, renew_at)
        return Plan(max_price, used + amount)

    def spend(self, owner: Hashable, used: int) -> bool:
        """Connection `owner` has cost `used` so far; says whether its bid should be renewed."""
        part = self.slices.get(owner)
        if part is None:
            return False
        part.used = max(part.used, used)
        return part.wants_renewal

    def release(self, owner: Hashable) -> None:
        """The connection is gone: what it held is free again."""
        self.slices.pop(owner, None)
