"""The auction, once a second: bids in, prices to the sessions and policies to the engine out.

    bids ──▶ run_round ──▶ awards ──▶ SellerSession.cleared ──▶ clear messages mark the price in the stream
                             └──────▶ Allocator ──▶ engine policies, for every connected peer

The pure parts decide (`node.speed.auction`, `node.speed.allocation`); this shell measures what peers take and carries
decisions out. It needs an upload limit: without one nothing is scarce inside the engine, TCP decides who gets what, and
there is nothing to auction. Everybody who bids the reserve is then served at the reserve, with priority.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from node.ports.clock import Clock
from node.ports.engine import Engine, EngineError, PeerId, PeerStatus, UploadPolicy
from node.services.carrier import Carrier
from node.services.line import Line
from node.services.rounds import Rounds, Wait, at_most
from node.services.trades import Trade, Trades
from node.speed.allocation import Allocator, FreeShare, Peer, Policy, Usage
from node.speed.auction import Offer, Outcome, run_round
from node.speed.lag import Lags, Served
from node.speed.messages import Bid
from node.speed.seller import SellerState

log = logging.getLogger(__name__)

ROUND = 1.0
"""Seconds between two rounds."""
FULL = 5
"""A line is full, as far as one round can tell, between four fifths and five fourths of its capacity."""
BIDDING = frozenset({SellerState.PRICED, SellerState.OUTBID})


@dataclass(frozen=True, slots=True)
class MarketSettings:
    """`sell`: without it, rounds are held for the line's sake alone. `reserve` in units per MiB. `rule`: one of
    `node.speed.auction.RULES`."""

    sell: bool = True
    reserve: int = 0
    rule: str = "uniform"
    free: FreeShare = field(default_factory=FreeShare)


@dataclass(frozen=True, slots=True)
class Round:
    """What the latest round found. Rates in bytes per second, prices in units per MiB, `took` in seconds: from the
    engine's snapshot to the last policy.

    `granted`: by auction. `targets`: what each peer is expected to get, the free ones included.
    """

    number: int = 0
    capacity: int = 0
    for_sale: int = 0
    clearing: int = 0
    granted: Mapping[PeerId, int] = field(default_factory=lambda: MappingProxyType({}))
    targets: Mapping[PeerId, int] = field(default_factory=lambda: MappingProxyType({}))
    took: float = 0.0

    @property
    def sold(self) -> int:
        return sum(self.granted.values())


@dataclass(slots=True)
class _Gauge:
    """How fast a peer takes what we send: bytes sent at a moment, and what it has shown to be able to take."""

    sent: int
    at: float
    usage: Usage = field(default_factory=Usage)


class Market:
    """One per node that sells."""

    def __init__(
        self,
        settings: MarketSettings,
        *,
        engine: Engine,
        carrier: Carrier,
        trades: Trades,
        clock: Clock,
        line: Line,
        wait: Wait | None = None,
    ) -> None:
        """`wait`: for tests."""
        self.settings = settings
        self.line = line
        self.latest = Round()
        self._engine = engine
        self._carrier = carrier
        self._trades = trades
        self._clock = clock
        self._allocator: Allocator[PeerId] = Allocator()
        self._gauges: dict[PeerId, _Gauge] = {}
        self._lags: Lags[PeerId | None] = Lags()
        self._owed_to_free = 0
        self._told: dict[PeerId, tuple[int, int]] = {}
        """Price and rate that each session has heard of."""
        self._sent = 0
        """Block bytes to all peers, those included that are gone."""
        self._waiting = False
        self._rounds = Rounds("the market", self.hold, wait or at_most(ROUND))
        if self._auctions:
            carrier.on_service = lambda trade, service: None  # every peer's policy comes from the rounds

    async def run(self) -> None:
        """Hold a round every second, until `close`."""
        if self._auctions or self.line.measured:
            await self._rounds.run()

    @property
    def _auctions(self) -> bool:
        return self.settings.sell and self.line.limit > 0

    async def close(self) -> None:
        await self._rounds.close()

    async def hold(self) -> None:
        """One round."""
        statuses = await self._statuses()
        started = self._clock.now()
        self._measure(statuses)
        await self.line.observe(self._sent, waiting=self._waiting)
        capacity = self.line.limit
        for_sale = self.settings.free.for_sale(capacity) if self.settings.sell else 0
        bidders = self._bidders(statuses)
        outcome = run_round(self.settings.rule, for_sale, self.settings.reserve, self._offers(bidders))
        number = self.latest.number + 1
        self._tell(bidders, outcome, number)
        allocation = self._allocator.update(capacity, [self._peer(status, outcome) for status in statuses])
        for peer, policy in allocation.changes.items():
            self._engine.set_upload(peer, _policy(policy))
        granted = {peer: award.rate for peer, award in outcome.awards.items() if award.rate}
        took = self._clock.now() - started
        self.latest = Round(number, capacity, for_sale, outcome.clearing, granted, allocation.targets, took)

    # --- what there is -----------------------------------------------------------------------------------------------

    async def _statuses(self) -> list[PeerStatus]:
        """Every connected peer, those that speak no `btt_speed` too."""
        torrents = [status.id for status in await self._engine.statuses() if status.peers]
        found = await asyncio.gather(*map(self._engine.peers, torrents), return_exceptions=True)
        statuses: list[PeerStatus] = []
        for peers in found:
            if isinstance(peers, EngineError):
                continue  # the torrent was removed in between
            if isinstance(peers, BaseException):
                raise peers
            statuses += peers
        return statuses

    def _measure(self, statuses: list[PeerStatus]) -> None:
        now = self._clock.now()
        self._waiting = False
        gauges: dict[PeerId, _Gauge] = {}
        served: list[Served[PeerId | None]] = []
        carried = 0
        for status in statuses:
            gauge = gauges[status.peer] = self._gauges.get(status.peer) or _Gauge(status.sent, now)
            if now <= gauge.at:
                continue
            sent = status.sent - gauge.sent
            rate = int(sent / (now - gauge.at))
            gauge.sent, gauge.at = status.sent, now
            self._sent += sent
            carried += rate
            if not _active(status):
                continue
            target = self.latest.targets.get(status.peer, 0)
            if self._at_its_limit(status.peer):
                continue  # we hold it back: what it takes says nothing of what it could
            self._waiting |= gauge.usage.keen(target)
            gauge.usage.observe(target, rate, self.line.limit)
            if gauge.usage.keen(target):
                served.append(Served(status.peer, target, sent))
        self._gauges = gauges
        # Far from its capacity, a line did not go by the weights: nobody waited for quota, or the engine handed out
        # what it had saved while nobody did.
        by_weights = FULL * carried >= (FULL - 1) * self.line.limit and (FULL - 1) * carried <= FULL * self.line.limit
        self._book(served if by_weights else [])

    def _book(self, served: list[Served[PeerId | None]]) -> None:
        """What each buyer is owed, and what the free peers together are: the engine chooses among these by their
        weights first, so they all must have the same one."""
        buyers = [peer for peer in served if peer.key in self.latest.granted]
        free = [peer for peer in served if peer.key not in self.latest.granted]
        if free:
            buyers.append(Served(None, sum(peer.target for peer in free), sum(peer.sent for peer in free)))
        self._lags.observe(buyers)
        self._owed_to_free = self._lags.owed(None) // max(1, len(free))

    def _at_its_limit(self, peer: PeerId) -> bool:
        """It waits for nothing of ours: a cheque is due."""
        trade = self._trades.open.get(peer)
        return trade is not None and trade.seller is not None and trade.seller.deadline() is not None

    def _bidders(self, statuses: list[PeerStatus]) -> dict[PeerId, tuple[Trade, Bid]]:
        """The bids that stand. Whoever has all it wanted buys nothing, so it must not set a price or win a share."""
        interested = {status.peer for status in statuses if status.interested}
        return {
            peer: (trade, trade.seller.bid)
            for peer, trade in self._trades.open.items()
            if peer in interested
            and trade.seller is not None
            and trade.seller.state in BIDDING
            and trade.seller.bid is not None
        }

    def _offers(self, bidders: Mapping[PeerId, tuple[Trade, Bid]]) -> list[Offer[PeerId]]:
        return [Offer(peer, bid.price, bid.rate, self._usable(peer)) for peer, (_, bid) in bidders.items()]

    def _usable(self, peer: PeerId) -> int | None:
        """What it has shown to be able to take: nobody is sold what it would leave to others."""
        gauge = self._gauges.get(peer)
        return gauge.usage.usable if gauge else None

    # --- what becomes of it ------------------------------------------------------------------------------------------

    def _tell(self, bidders: Mapping[PeerId, tuple[Trade, Bid]], outcome: Outcome[PeerId], number: int) -> None:
        now, told = self._carrier.now(), {}
        for peer, trade in list(self._trades.open.items()):
            seller = trade.seller
            if seller is None:
                continue
            award = outcome.awards.get(peer)
            if award is None or award.rate:
                price, rate = (outcome.clearing, 0) if award is None else (award.price, award.rate)
            else:
                # Whoever got nothing has lost, also at a price it would have paid.
                price, rate = max(outcome.clearing, bidders[peer][1].price + 1), 0
            if self._told.get(peer) != (price, rate):
                self._carrier.run(trade, seller.cleared(price, rate, number, now))
            told[peer] = price, rate
        self._told = told

    def _peer(self, status: PeerStatus, outcome: Outcome[PeerId]) -> Peer[PeerId]:
        award = outcome.awards.get(status.peer)
        trade = self._trades.open.get(status.peer)
        bid = trade.seller.bid if trade is not None and trade.seller is not None else None
        return Peer(
            status.peer,
            granted=award.rate if award else 0,
            wanted=bid.rate if bid is not None else 0,
            usable=self._usable(status.peer),
            active=_active(status),
            owed=self._lags.owed(status.peer) if award and award.rate else self._owed_to_free,
        )


def _active(status: PeerStatus) -> bool:
    """It takes part in the division of the line."""
    return status.interested and not status.choked_by_us


def _policy(policy: Policy) -> UploadPolicy:
    return UploadPolicy(policy.priority, policy.limit, policy.reserved)
