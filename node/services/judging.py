"""Watches the sellers we pay, and remembers those that did not deliver.

    engine peers ──▶ Watch per connection ──▶ verdict ──▶ `Buying` stops the trade
                                                 └──────▶ Barred: no bid to this payee for a while, longer each time

The pure part judges (`node.speed.delivery`); here is what it has to be told. A stopped seller stays connected: it may
still serve for nothing, and it is tried again when its time is over.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from node.ports.clock import Clock
from node.ports.engine import Engine, EngineError, PeerId, PeerStatus, TorrentId
from node.services.trades import AccountKey, Trade, Trades
from node.speed.buyer import BuyerSession, BuyerState
from node.speed.delivery import Line, Look, Watch
from wallet.amount import cost

MILLI = 1000
FIRST_BAR = 600.0
"""Seconds without a bid after the first verdict; doubled with each further one."""
LONGEST_BAR = 86_400.0
MAX_BARRED = 4096


@dataclass(frozen=True, slots=True)
class Bar:
    """Why a payee gets no bid, until when (monotonic seconds), and how often that has happened."""

    reason: str
    until: float
    times: int = 1


class Barred:
    """Payees that took a bid and did not deliver. In memory: a restart forgives. The oldest is forgotten when full."""

    def __init__(self) -> None:
        self._bars: OrderedDict[AccountKey, Bar] = OrderedDict()

    def add(self, key: AccountKey, reason: str, now: float) -> Bar:
        """No bids to this payee from now on."""
        times = self._bars.pop(key).times + 1 if key in self._bars else 1
        bar = Bar(reason, now + min(LONGEST_BAR, FIRST_BAR * 2 ** min(times - 1, 10)), times)
        self._bars[key] = bar
        if len(self._bars) > MAX_BARRED:
            self._bars.popitem(last=False)
        return bar

    def find(self, key: AccountKey, now: float) -> Bar | None:
        """The bar that is in force."""
        bar = self._bars.get(key)
        return bar if bar is not None and now < bar.until else None


class Judging:
    """One per node. `download_limit` in bytes per second, 0 = none."""

    def __init__(self, engine: Engine, clock: Clock, trades: Trades, *, download_limit: int = 0) -> None:
        self.barred = Barred()
        self._engine = engine
        self._clock = clock
        self._trades = trades
        self._line = Line(download_limit)
        self._watches: dict[PeerId, Watch] = {}
        self._rates: dict[PeerId, int] = {}
        self._downloaded: dict[TorrentId, int] = {}
        self._received: dict[PeerId, int] = {}
        self._at_ms = 0

    async def round(self) -> list[tuple[Trade, str]]:
        """Look at every seller that sets a price; returns those to stop paying, and why. Once a second or so."""
        paid = [trade for trade in self._trades.open.values() if _priced(trade.buyer)]
        if not paid:
            self._watches.clear()
            return []
        try:
            total = {status.id: status.downloaded for status in await self._engine.statuses()}
            found = await self._statuses({trade.torrent for trade in paid})
        except EngineError:
            return []  # a torrent was removed in between
        now = int(self._clock.now() * MILLI)
        elapsed = now - self._at_ms
        if elapsed <= 0:
            return []
        grown = sum(max(0, count - self._downloaded.get(torrent, count)) for torrent, count in total.items())
        rates = {
            peer: max(0, status.received - self._received.get(peer, status.received)) * MILLI // elapsed
            for peer, status in found.items()
        }
        first, self._at_ms, self._downloaded = not self._at_ms, now, total
        self._received = {peer: status.received for peer, status in found.items()}
        line = grown * MILLI // elapsed
        if not first:
            self._line.observe(line, now)
        arriving, senders = sum(rates.values()), sum(rate > 0 for rate in rates.values())
        watches, verdicts = {}, []
        for trade in paid:
            status, buyer = found.get(trade.peer), trade.buyer
            if status is None or buyer is None or not _priced(buyer):  # it may have changed while the engine answered
                continue
            own = rates[trade.peer]
            room = self._line.room(max(0, line - own), arriving, senders + (not own), now)
            look = self._look(status, buyer, now, room)
            watch = watches[trade.peer] = self._watches.get(trade.peer) or Watch(look)
            if reason := watch.look(look):
                verdicts.append((trade, reason))
        self._watches = watches
        return verdicts

    async def _statuses(self, torrents: Iterable[TorrentId]) -> dict[PeerId, PeerStatus]:
        return {status.peer: status for torrent in torrents for status in await self._engine.peers(torrent)}

    @staticmethod
    def _look(status: PeerStatus, buyer: BuyerSession, now: int, room: int) -> Look:
        account = buyer.account
        at_stake = account.metered - account.issued if account else 0
        return Look(
            at_ms=now,
            received=status.received,
            waiting=status.requests > 0 or (status.wanted and status.choked_by_peer),
            held_back=4 * at_stake >= 3 * cost(buyer.credit, buyer.meter.price),
            granted=buyer.granted,
            room=room,
            failed=buyer.verifier.rejected,
        )


def _priced(buyer: BuyerSession | None) -> bool:
    """We bid, and the seller has set a price: it owes us service."""
    return buyer is not None and buyer.state is BuyerState.BIDDING and buyer.meter.price > 0
