"""Which seller of a torrent gets which part of its budget and of the wanted rate.

The pure part orders and divides (`node.speed.preference`); here is what it has to know: what each seller takes, how
useful it has been, and how rare the missing pieces are that it holds. A seller that leaves a bid unanswered, or is
outbid, holds no more of the budget than a small trial: an ask alone, however cheap, proves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from node.ports.clock import Clock
from node.ports.engine import Engine, EngineError, PeerId, TorrentId
from node.services.judging import Barred
from node.services.trades import Trade, Trades
from node.speed.buyer import BuyerState
from node.speed.preference import LEAST_SHARE, Candidate, Share, divide, rarity
from wallet.address import Address
from wallet.amount import cost

ANSWER_TIME = 15.0
"""Seconds after which a bid without a price counts as unanswered."""
RARITY_EVERY = 10.0
"""Seconds between two looks at who has what."""


class Usefulness(Protocol):
    """How good a seller this payee has been, 0 (never pay it) to 1000."""

    def __call__(self, payee: Address, rail: str) -> int: ...


@dataclass(slots=True)
class _Wait:
    """Since when a connection serves at no price, and whether that was long enough to be called idle."""

    since: float
    idle: bool = False


class Choosing:
    """One per node."""

    def __init__(self, engine: Engine, clock: Clock, trades: Trades, barred: Barred, usefulness: Usefulness) -> None:
        self._engine = engine
        self._clock = clock
        self._trades = trades
        self._barred = barred
        self._usefulness = usefulness
        self._rarity: Mapping[PeerId, int] = {}
        self._looked_at = float("-inf")
        self._waits: dict[PeerId, _Wait] = {}

    def share(self, trade: Trade, budget: int | None) -> Share | None:
        """This seller's part of what the torrent may still cost (None: no bound); None: others are worth it more."""
        sellers = self._trades.by_torrent.get(trade.torrent, {})
        candidates = {peer: found for peer, other in sellers.items() if (found := self._candidate(other)) is not None}
        mine = candidates.get(trade.peer)
        if mine is None or not mine.score:
            return None
        serving = [found for peer, found in candidates.items() if found.score and not self._idle(peer)]
        if serving and self._idle(trade.peer):
            trial = cost(LEAST_SHARE, max(1, mine.price))
            rates = {share.id: share.rate for share in divide([*serving, mine], None)}
            return Share(mine.id, None if budget is None else min(trial, budget), rates[mine.id])
        shares = divide(serving or candidates.values(), budget)
        return next((share for share in shares if share.id == trade.peer), None)

    def forget(self, peer: PeerId) -> None:
        """The connection is gone."""
        self._waits.pop(peer, None)

    def changed(self) -> set[TorrentId]:
        """Torrents of which a seller has begun to serve at a price, or been found idle, since the last call."""
        now, torrents = self._clock.now(), set()
        for trade in self._trades.open.values():
            buyer = trade.buyer
            if buyer is None or buyer.state is not BuyerState.BIDDING:
                self._waits.pop(trade.peer, None)
            elif buyer.meter.price:
                wait = self._waits.pop(trade.peer, None)
                if wait is not None and wait.idle:
                    torrents.add(trade.torrent)
            else:
                wait = self._waits.setdefault(trade.peer, _Wait(now))
                if not wait.idle and now - wait.since >= ANSWER_TIME:
                    wait.idle = True
                    torrents.add(trade.torrent)
        return torrents

    async def look(self) -> None:
        """See who has the rare pieces, where there is a choice. At most every `RARITY_EVERY` seconds."""
        now = self._clock.now()
        if now - self._looked_at < RARITY_EVERY:
            return
        self._looked_at = now
        found: dict[PeerId, int] = {}
        for torrent, trades in list(self._trades.by_torrent.items()):
            sellers = [peer for peer, trade in trades.items() if trade.buyer and trade.buyer.ask]
            if len(sellers) < 2:
                continue
            try:
                held = await self._engine.holders(torrent, sellers)
            except EngineError:
                continue  # it was removed in between
            found |= {peer: rarity(counts) for peer, counts in held.items()}
        self._rarity = found

    def _idle(self, peer: PeerId) -> bool:
        wait = self._waits.get(peer)
        return wait is not None and wait.idle

    def _candidate(self, trade: Trade) -> Candidate | None:
        buyer = trade.buyer
        if buyer is None or buyer.ask is None or buyer.rail is None or buyer.state is BuyerState.CLOSED:
            return None
        payee, rail = buyer.ask.payee, buyer.rail.id
        bar = self._barred.find((rail, payee), self._clock.now())
        return Candidate(
            trade.peer,
            price=buyer.meter.price or buyer.ask.reserve,
            usefulness=self._usefulness(payee, rail),
            rarity=self._rarity.get(trade.peer, 0),
            stopped=bar.reason if bar else None,
        )
