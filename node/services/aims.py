"""What bids aim at: the user's strategy for a torrent, with what is missing, what is left to spend, and the time.

The strategies are pure (`node.speed.strategy`); here is what they have to know. `highest` needs no thought: it bids the
user's highest price, which under a uniform price is the truth, since what it costs is decided by the others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from node.ports.clock import Clock
from node.ports.engine import Engine, EngineError, PeerId
from node.services.budget import TorrentTerms
from node.services.trades import Trade
from node.speed.bidder import NoBid, Plan
from node.speed.strategy import SPENDING_RATE, Aim, Progress, Quote, Schedule, Strategy, Terms, quote
from wallet.amount import cost

MILLI = 1000
HIGHEST = "highest"
RATE_WINDOW = 1.0
"""Seconds over which a seller's rate is measured."""


@dataclass(slots=True)
class _Gauge:
    """How fast one seller delivers: bytes received at a moment, and the rate before it."""

    received: int
    at: float
    rate: int = 0


class Aims:
    """One per node. `strategy` is for torrents that name none."""

    def __init__(
        self, engine: Engine, clock: Clock, *, strategy: str = HIGHEST, spending_rate: int = SPENDING_RATE
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._strategy = strategy
        self._spending_rate = spending_rate
        self._gauges: dict[PeerId, _Gauge] = {}

    def moves(self, terms: TorrentTerms) -> bool:
        """Whether bids of this torrent change by themselves, with time and progress."""
        return self._name(terms) in (Strategy.WHITEPAPER, Strategy.DEADLINE)

    def forget(self, peer: PeerId) -> None:
        """The connection is gone."""
        self._gauges.pop(peer, None)

    async def offer(
        self, trade: Trade, terms: TorrentTerms, plan: Plan, *, used: int, part: int = MILLI
    ) -> Quote | NoBid:
        """The bid on this connection, within the plan; or why there is none.

        `part`: this seller's of the wanted rate, in thousandths.
        """
        name = self._name(terms)
        rate = -(-terms.rate * part // MILLI)
        if name == HIGHEST:
            return Quote(plan.price, rate, plan.ceiling)
        buyer = trade.buyer
        if buyer is None or buyer.ask is None:
            return NoBid("the seller has not asked", final=False)
        try:
            status = await self._engine.status(trade.torrent)
        except EngineError as error:
            return NoBid(str(error), final=False)
        if not status.has_metadata:
            return NoBid("the torrent's size is not known yet", final=False)
        remaining = status.total_bytes - status.done_bytes
        left = None if plan.ceiling is None else plan.ceiling - used
        # Without a budget, the user has said that all of it may be bought at the highest price.
        balance = cost(remaining, plan.price) if left is None else left
        aim = Aim(Strategy(name), plan.price, self._schedule(terms, status.total_bytes), self._spending_rate)
        known = Terms(buyer.ask.reserve, cleared=buyer.meter.price, delivered=self._rate(trade), share=part)
        progress = Progress(remaining, balance, self._clock.wall() * MILLI)
        wish = quote(aim, progress, known, used=used, slice_left=left)
        if isinstance(wish, NoBid) or not rate:
            return wish
        return replace(wish, rate=min(wish.rate or rate, rate))

    def _name(self, terms: TorrentTerms) -> str:
        name = terms.strategy or (Strategy.DEADLINE if terms.deadline else self._strategy)
        return name if name != Strategy.DEADLINE or terms.deadline else HIGHEST

    def _schedule(self, terms: TorrentTerms, size: int) -> Schedule | None:
        if not terms.deadline:
            return None
        start = min(terms.started, terms.deadline - 1)
        return Schedule(max(1, size), start * MILLI, terms.deadline * MILLI)

    def _rate(self, trade: Trade) -> int:
        """Bytes per second that this seller delivers."""
        now, received = self._clock.now(), trade.buyer.meter.mark if trade.buyer else 0
        gauge = self._gauges.setdefault(trade.peer, _Gauge(received, now))
        if now - gauge.at >= RATE_WINDOW:
            gauge.rate = int((received - gauge.received) / (now - gauge.at))
            gauge.received, gauge.at = received, now
        return gauge.rate
