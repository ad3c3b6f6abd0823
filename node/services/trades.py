"""The live state of trading: who is connected, with which sessions and accounts. Plain bookkeeping, no decisions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

from node.ports.engine import PeerId, TorrentId
from node.ports.events import PeerHello
from node.speed.buyer import BuyerAccount, BuyerSession
from node.speed.credit import SellerAccount
from node.speed.errors import StopCode
from node.speed.seller import SellerSession
from wallet.address import Address

AccountKey = tuple[str, Address]
"""Rail id and the other side's address."""

MAX_VERIFIED_SETS = 4096


@dataclass(slots=True)
class LastWord:
    """The latest reason why a connection earns or pays nothing."""

    code: StopCode
    text: str
    by_peer: bool


@dataclass(slots=True)
class Trade:
    """One connection that speaks `btt_speed`."""

    peer: PeerId
    torrent: TorrentId
    host: str
    port: int
    client: str
    outgoing: bool
    opened_at: int
    seller: SellerSession | None = None
    buyer: BuyerSession | None = None
    seller_key: AccountKey | None = None
    buyer_key: AccountKey | None = None
    last_word: LastWord | None = None
    gone: bool = False
    retry_bid_at: float | None = None
    stopped_at: float | None = None
    recorded_sent: tuple[int, int] = (0, 0)
    recorded_received: tuple[int, int] = (0, 0)
    """Priced bytes and amount that are in the transfers table already."""
    divided: int = 0
    """Units payable on this connection that `BuyerBook` has put down to its torrent."""

    @classmethod
    def of(cls, hello: PeerHello, wall: int) -> Trade:
        return cls(hello.peer, hello.torrent, hello.host, hello.port, hello.client, hello.outgoing, wall)


@dataclass(slots=True)
class BuyerBook:
    """A payee's account, and which torrents its debt without a cheque is for.

    `pending`: to be paid. `netted`: cancels out with what the payee owes us. Debts older than this process are in
    neither.
    """

    account: BuyerAccount
    pending: dict[TorrentId, int] = field(default_factory=dict)
    netted: dict[TorrentId, int] = field(default_factory=dict)


@dataclass(slots=True)
class Trades:
    """All connections and accounts of this node."""

    open: dict[PeerId, Trade] = field(default_factory=dict)
    by_torrent: dict[TorrentId, dict[PeerId, Trade]] = field(default_factory=dict)
    lingering: dict[TorrentId, list[Trade]] = field(default_factory=dict)
    """Closed connections whose last pieces wait for their hash."""
    sellers: dict[AccountKey, SellerAccount] = field(default_factory=dict)
    buyers: dict[AccountKey, BuyerBook] = field(default_factory=dict)
    verified: dict[TorrentId, set[int]] = field(default_factory=dict)
    """Pieces that passed since the torrent was added."""
    closing: dict[PeerId, Trade] = field(default_factory=dict)
    """Closed connections whose figures are not all in the store yet."""
    recording: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while figures move from a connection to the store, so that whoever adds the two up counts them once."""

    def add(self, trade: Trade) -> None:
        self.open[trade.peer] = trade
        self.by_torrent.setdefault(trade.torrent, {})[trade.peer] = trade

    def close(self, peer: PeerId) -> Trade | None:
        trade = self.open.pop(peer, None)
        if trade is not None:
            self.closing[peer] = trade
            peers = self.by_torrent[trade.torrent]
            del peers[peer]
            if not peers:
                del self.by_torrent[trade.torrent]
            if trade.buyer is not None and not trade.buyer.idle:
                self.lingering.setdefault(trade.torrent, []).append(trade)
        return trade

    def of_torrent(self, torrent: TorrentId) -> Iterator[Trade]:
        """Open and lingering connections of a torrent."""
        yield from list(self.by_torrent.get(torrent, {}).values())
        yield from list(self.lingering.get(torrent, ()))

    def unrecorded(self, torrent: TorrentId) -> Iterator[Trade]:
        """Connections of a torrent, open or not, that may know of more than the store does."""
        yield from list(self.by_torrent.get(torrent, {}).values())
        yield from [trade for trade in self.closing.values() if trade.torrent == torrent]

    def recorded(self, trade: Trade) -> None:
        """The store knows all of this connection; one that is over is forgotten."""
        if trade.gone and (trade.buyer is None or trade.buyer.idle):
            self.closing.pop(trade.peer, None)

    def forget_idle(self, torrent: TorrentId) -> list[Trade]:
        """Drop lingering connections that wait for nothing any more; return them."""
        trades = self.lingering.pop(torrent, [])
        waiting = [trade for trade in trades if trade.buyer is not None and not trade.buyer.idle]
        if waiting:
            self.lingering[torrent] = waiting
        return [trade for trade in trades if trade not in waiting]

    def forget_torrent(self, torrent: TorrentId) -> list[Trade]:
        """The torrent is removed: what still waited for a hash never passes."""
        self.verified.pop(torrent, None)
        self.closing = {peer: trade for peer, trade in self.closing.items() if trade.torrent != torrent}
        return self.lingering.pop(torrent, [])
