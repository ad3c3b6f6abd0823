"""The user's spend limits: what may still be committed, and which limit says so.

Theory. A limit that is checked after the money has gone is a report, so every commitment (a bid's ceiling, a cheque) is
cut to what all limits together leave *before* it is made. Counters are arguments: they live in the store, where a
restart cannot reset them, and include what is promised but not signed yet. The tightest limit binds and is named, so
that the user reads which setting to change.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from wallet.amount import BTT, Token, checked_amount, format_amount, format_price
from wallet.errors import LimitError


class Limit(StrEnum):
    """A limit, by the name of its setting."""

    MAX_PRICE = "max_price"
    PER_TORRENT = "per_torrent"
    PER_DAY = "per_day"
    TOTAL = "total"
    PER_TRANSFER = "per_transfer"


_WORDS = {
    Limit.PER_TORRENT: ("budget for this torrent", "raise per_torrent to go on"),
    Limit.PER_DAY: ("budget for today", "raise per_day, or wait for the next day (UTC)"),
    Limit.TOTAL: ("total budget", "raise total to go on"),
}
"""Budget → what to call it, and what to do once it is used up."""


@dataclass(frozen=True, slots=True)
class Spent:
    """Units spent or promised so far: for this torrent, on this UTC day, and since ever."""

    torrent: int = 0
    today: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class Allowance:
    """`amount` may be committed; `binding` is the limit that left no more, None where all that was wanted may be."""

    amount: int
    binding: Limit | None = None


@dataclass(frozen=True, slots=True)
class SpendLimits:
    """In units of `token`; `max_price` is per MiB; None: no such limit. Raises `AmountError` outside uint256."""

    max_price: int | None = None
    per_torrent: int | None = None
    per_day: int | None = None
    total: int | None = None
    token: Token = BTT

    def __post_init__(self) -> None:
        for amount in (self.max_price, self.per_torrent, self.per_day, self.total):
            if amount is not None:
                checked_amount(amount)

    def check_price(self, price: int) -> None:
        """Raises `LimitError` for a price (units per MiB) above the user's highest."""
        if self.max_price is not None and price > self.max_price:
            raise LimitError(
                f"the price of {format_price(price, self.token)} is above your highest of "
                f"{format_price(self.max_price, self.token)}: raise max_price to pay it",
                Limit.MAX_PRICE,
            )

    def check(self, spent: Spent, wanted: int) -> Allowance:
        """How much of `wanted` (at least 1 unit) may be committed.

        Raises `LimitError` that names a limit that is used up, `ValueError` where nothing is wanted.
        """
        if wanted < 1:
            raise ValueError("a commitment is at least 1 unit")
        budgets = (
            (Limit.PER_TORRENT, self.per_torrent, spent.torrent),
            (Limit.PER_DAY, self.per_day, spent.today),
            (Limit.TOTAL, self.total, spent.total),
        )
        allowance = Allowance(wanted)
        for limit, budget, used in budgets:
            if budget is None:
                continue
            if used >= budget:
                name, remedy = _WORDS[limit]
                raise LimitError(f"the {name}, {format_amount(budget, self.token)}, is used up: {remedy}", limit)
            if budget - used < allowance.amount:
                allowance = Allowance(budget - used, limit)
        return allowance
