"""What a download may cost, before; and what it did cost, after.

Theory. Before a bid nobody knows the clearing price, but it has bounds that hold whatever the others do: free service
costs nothing, and the user's highest price for every missing byte, or the budget, is the most. Between them lies what
the sellers' asks tell: nobody sells below its reserve. Rates are worth less than prices, since no ask promises one: a
time is given only where rates were seen, and None says "not known". Nor is there a lower bound before a seller is met.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from wallet.amount import MIB, cost


@dataclass(frozen=True, slots=True)
class AskSeen:
    """A seller's reserve (units per MiB), and the rate it can give (bytes per second; None: not seen yet)."""

    reserve: int
    rate: int | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """Units and milliseconds. `cost_low`: all of it bought at the lowest reserve, None: no seller is known that takes
    our price; `cost_high`: the bound that holds, whoever may come.

    `fastest_ms`: all sellers within the highest price serve at the rates seen. `slowest_ms`: free service only.
    `covered`: the budget pays for the whole download even at the highest price. `sellers`: how many are affordable.
    """

    size: int
    cost_low: int | None
    cost_high: int
    fastest_ms: int | None
    slowest_ms: int | None
    covered: bool
    sellers: int


def estimate(
    size: int, asks: Iterable[AskSeen], *, max_price: int, budget: int | None, free_rate: int = 0, line_rate: int = 0
) -> Estimate:
    """For `size` missing bytes. `line_rate`: what our own line takes, bytes per second (0: not known)."""
    affordable = [ask for ask in asks if 0 < max_price >= ask.reserve]
    most = cost(size, max_price)
    low = cost(size, min(ask.reserve for ask in affordable)) if affordable else None
    rate = free_rate + sum(ask.rate or 0 for ask in affordable)
    if line_rate:
        rate = min(rate, line_rate)
        free_rate = min(free_rate, line_rate)
    covered = budget is None or most <= budget
    return Estimate(
        size=size,
        cost_low=low if budget is None or low is None else min(low, budget),
        cost_high=most if budget is None else min(most, budget),
        fastest_ms=_time(size, rate),
        slowest_ms=_time(size, free_rate),
        covered=covered,
        sellers=len(affordable),
    )


def _time(size: int, rate: int) -> int | None:
    if size == 0:
        return 0
    return -(-size * 1000 // rate) if rate > 0 else None


@dataclass(frozen=True, slots=True)
class BillLine:
    """One seller on one rail: bytes bought, units paid or owed for them, and bytes that failed and cost nothing."""

    seller: str
    rail: str
    bytes: int
    amount: int
    failed: int = 0

    @property
    def price(self) -> int:
        """The mean price in units per MiB, rounded up; 0 where nothing was bought."""
        return -(-self.amount * MIB // self.bytes) if self.bytes else 0


@dataclass(frozen=True, slots=True)
class Bill:
    """All sellers of one download, the dearest first, and the bytes that came for nothing."""

    lines: tuple[BillLine, ...]
    free_bytes: int = 0

    @property
    def amount(self) -> int:
        """Units in all. Amounts of different tokens must not meet in one bill."""
        return sum(line.amount for line in self.lines)

    @property
    def bytes(self) -> int:
        """Bytes bought in all."""
        return sum(line.bytes for line in self.lines)

    @property
    def price(self) -> int:
        """The mean price in units per MiB, rounded up; 0 where nothing was bought."""
        return -(-self.amount * MIB // self.bytes) if self.bytes else 0


def bill(entries: Iterable[BillLine], *, free_bytes: int = 0) -> Bill:
    """One line per seller and rail, from any number of connections."""
    sums: dict[tuple[str, str], BillLine] = {}
    for entry in entries:
        key = (entry.seller, entry.rail)
        so_far = sums.get(key, BillLine(*key, 0, 0))
        sums[key] = BillLine(
            *key, so_far.bytes + entry.bytes, so_far.amount + entry.amount, so_far.failed + entry.failed
        )
    lines = sorted(sums.values(), key=lambda line: (-line.amount, line.seller, line.rail))
    return Bill(tuple(lines), free_bytes)
