"""A market over a stand-in engine: sessions that have bid already, a line that may be slower than its limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from node.ports.engine import Engine, PeerId, PeerStatus, TorrentId, UnknownTorrentError, UploadPolicy
from node.ports.events import PeerHello
from node.services.carrier import Carrier
from node.services.line import Line
from node.services.market import Market, MarketSettings
from node.services.trades import Trade, Trades
from node.speed.credit import SellerAccount
from node.speed.messages import Bid, Clear, decode_message
from node.speed.moment import Now
from node.speed.seller import SellerSession, SellerTerms
from wallet.address import Address
from wallet.cheque import Rail, bid_digest
from wallet.keys import PrivateKey

CAPACITY, RESERVE = 20_000_000, 1000
RAIL = Rail("eip155:199", 199, Address(b"\x11" * 20))
SELLER = PrivateKey(b"\x01" * 32)
DOWNLOAD_LIMIT = 77_000_000
TORRENT, GONE = TorrentId("a" * 40), TorrentId("b" * 40)


@dataclass
class Clock:
    time: float = 100.0

    def now(self) -> float:
        return self.time

    def wall(self) -> int:
        return 1_800_000_000


@dataclass
class StandIn:
    """The part of an engine that the market uses. `taking`: bytes per second by peer; 0: it waits for nothing."""

    taking: dict[int, int] = field(default_factory=dict)
    sent: dict[int, int] = field(default_factory=dict)
    policies: dict[int, UploadPolicy] = field(default_factory=dict)
    limit: int = 0
    """Of the session."""
    calls: int = 0
    messages: list[tuple[int, Clear]] = field(default_factory=list)

    async def statuses(self) -> Sequence[Any]:
        @dataclass
        class Status:
            id: TorrentId
            peers: int

        return [Status(TORRENT, len(self.taking)), Status(GONE, 1)]

    async def peers(self, torrent: TorrentId) -> Sequence[PeerStatus]:
        if torrent == GONE:
            raise UnknownTorrentError("removed in between")
        return [
            PeerStatus(
                peer=PeerId(peer), torrent=torrent, host="127.0.0.1", port=1, client="", speaks_btt=peer < 10,
                outgoing=False, choked_by_us=False, choked_by_peer=False, interested=rate > 0, seed=False,
                progress=0.0, upload_rate=rate, download_rate=0, sent=self.sent.get(peer, 0), received=0,
            )
            for peer, rate in self.taking.items()
        ]  # fmt: skip

    async def set_limits(self, *, upload: int, download: int) -> None:
        assert download == DOWNLOAD_LIMIT
        self.limit = upload

    def set_upload(self, peer: PeerId, policy: UploadPolicy) -> None:
        self.calls += 1
        self.policies[peer] = policy

    def set_allowance(self, peer: PeerId, mark: int | None) -> None:
        """Not of interest here."""

    def send(self, peer: PeerId, payload: bytes, tag: int = 0) -> None:
        message = decode_message(payload)
        if isinstance(message, Clear):
            self.messages.append((peer, message))


class Hall:
    """A market with sessions that have bid already."""

    def __init__(self, capacity: int | None = CAPACITY) -> None:
        self.engine = StandIn()
        self.clock = Clock()
        self.trades = Trades()
        carrier = Carrier(cast("Engine", self.engine), self.clock)
        self.market = Market(
            MarketSettings(reserve=RESERVE),
            engine=cast("Engine", self.engine),
            carrier=carrier,
            trades=self.trades,
            clock=self.clock,
            line=Line(capacity, engine=cast("Engine", self.engine), clock=self.clock, download_limit=DOWNLOAD_LIMIT),
        )

    def free(self, peer: int, rate: int = CAPACITY) -> None:
        """A peer that never bids."""
        self.engine.taking[peer] = rate

    def payer(self, peer: int, price: int, wanted: int = 0) -> SellerSession:
        """A covered payer whose bid is in; `wanted` in bytes per second."""
        self.engine.taking[peer] = CAPACITY
        hello = PeerHello(PeerId(peer), TORRENT, "127.0.0.1", 1, "", False, b"")
        trade = Trade.of(hello, 0)
        key = PrivateKey(bytes([peer]) * 32)
        trade.seller = SellerSession(SellerTerms(SELLER.address, {RAIL.id: RAIL}, RESERVE), bytes(32))
        self.trades.add(trade)
        self.bid(trade.seller, key, price, wanted)
        account = SellerAccount(trade.seller.terms.credit)
        account.coverage = 10**30
        trade.seller.coverage_known(account)
        return trade.seller

    def bid(self, seller: SellerSession, key: PrivateKey, price: int, wanted: int) -> None:
        digest = bid_digest(RAIL, key.address, SELLER.address, price, bytes(32))
        now = self.now
        seller.message(Bid(RAIL.id, key.address, price, wanted, now.wall + 60, None, key.sign_digest(digest)), now)

    @property
    def now(self) -> Now:
        return Now(self.clock.now(), self.clock.wall())

    async def rounds(self, count: int = 1, line: int | None = None) -> None:
        """Each a second apart; every peer takes what it can of what it is expected to get. `line`: bytes per second
        that fit through, whatever the limit; all peers have less of it then."""
        for _ in range(count):
            await self.market.hold()
            self.clock.time += 1.0
            targets = {peer: self.market.latest.targets.get(PeerId(peer), 0) for peer in self.engine.taking}
            taken = {peer: min(most, targets[peer]) for peer, most in self.engine.taking.items()}
            total = sum(taken.values())
            for peer, rate in taken.items():
                carried = rate if line is None or total <= line else rate * line // total
                self.engine.sent[peer] = self.engine.sent.get(peer, 0) + carried
