"""Which sellers to pay: ordered by what they are good for, and the budget divided.

Theory. Money buys most where it is cheap, where it has shown to work, and where pieces are that few others have: these
decide when a download ends. The score is their product,

    2^256 x usefulness x (1000 + rarity) / price

so twice the price needs twice the use, and a holder of rare pieces counts up to double. A seller that was paid and did
not deliver is not scored low but left out (`node.speed.delivery`), since a low score would still pay it.

Shares of a budget add up to the budget, never more (`divide`): largest remainders get what rounding leaves. A budget
too small for all sellers goes whole to the best, rather than in dust to everyone.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from wallet.amount import MIB, cost

MILLI = 1000
SCALE = 1 << 256
"""Keeps the score of the dearest seller apart from 0: a price has 18 decimals and more."""
LEAST_SHARE = 4 * MIB
"""A seller is worth a share that pays for this much, or none."""


def rarity(holders: Iterable[int]) -> int:
    """0 to 1000: how rare the missing pieces are that a seller has, from how many peers hold each of them.

    The mean of 1000 / holders: 1000 if nobody else has any of them.
    """
    total = count = 0
    for found in holders:
        total += MILLI // max(1, found)
        count += 1
    return total // count if count else 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A seller to choose from. `price`: units per MiB we expect to pay; `usefulness`: 0 to 1000 (`Reputation.score`).

    `rarity`: see there. `stopped`: why it is not to be paid (`node.speed.delivery.judge`).
    """

    id: Hashable
    price: int
    usefulness: int
    rarity: int = 0
    stopped: str | None = None

    @property
    def score(self) -> int:
        """Higher is better; 0: not to be paid."""
        if self.stopped is not None:
            return 0
        return SCALE * self.usefulness * (MILLI + self.rarity) // max(1, self.price)


@dataclass(frozen=True, slots=True)
class Share:
    """What one seller may cost from now on (None: the user set no budget), and its part of the rate in thousandths."""

    id: Hashable
    amount: int | None
    rate: int


def order(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Those worth paying, the best first; equals stay in the order they came in."""
    return sorted((one for one in candidates if one.score), key=lambda one: -one.score)


def divide(candidates: Iterable[Candidate], budget: int | None) -> list[Share]:
    """Shares for the best sellers in proportion to their scores, the best first. Amounts sum to `budget`, or none."""
    chosen = order(candidates)
    if budget is not None:
        while len(chosen) > 1 and _dust(chosen, budget):
            chosen.pop()
        if budget <= 0:
            return []
    scores = [one.score for one in chosen]
    rates = _split(MILLI, scores)
    amounts: Sequence[int | None] = [None] * len(chosen) if budget is None else _split(budget, scores)
    return [
        Share(one.id, amount, rate)
        for one, amount, rate in zip(chosen, amounts, rates, strict=True)
        if amount is None or amount > 0
    ]


def _dust(chosen: Sequence[Candidate], budget: int) -> bool:
    """Whether the last one's share would not pay for `LEAST_SHARE`."""
    last = chosen[-1]
    return budget * last.score // sum(one.score for one in chosen) < cost(LEAST_SHARE, last.price)


def _split(whole: int, weights: Sequence[int]) -> list[int]:
    """`whole` in proportion to positive weights, by largest remainder; the parts sum to `whole`."""
    total = sum(weights)
    parts = [whole * weight // total for weight in weights]
    remainders = sorted(range(len(weights)), key=lambda i: -(whole * weights[i] % total))
    for i in remainders[: whole - sum(parts)] if parts else ():
        parts[i] += 1
    return parts
