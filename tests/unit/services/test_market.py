"""The market's rounds over a stand-in engine: who is told what, and what the engine is told of whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from node.ports.engine import Engine, PeerHello, PeerId, PeerStatus, TorrentId, UnknownTorrentError, UploadPolicy
from node.services.carrier import Carrier
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

    def __init__(self, **settings: Any) -> None:
        self.engine = StandIn()
        self.clock = Clock()
        self.trades = Trades()
        carrier = Carrier(cast("Engine", self.engine), self.clock)
        self.market = Market(
            MarketSettings(**{"capacity": CAPACITY, "reserve": RESERVE, **settings}),
            engine=cast("Engine", self.engine),
            carrier=carrier,
            trades=self.trades,
            clock=self.clock,
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

    async def rounds(self, count: int = 1) -> None:
        """Each a second apart; every peer takes what it can of what it is expected to get."""
        for _ in range(count):
            await self.market.hold()
            self.clock.time += 1.0
            for peer, most in self.engine.taking.items():
                target = self.market.latest.targets.get(PeerId(peer), 0)
                self.engine.sent[peer] = self.engine.sent.get(peer, 0) + min(most, target)


async def test_winners_pay_the_highest_losing_price_and_weigh_what_they_were_granted() -> None:
    hall = Hall()
    hall.payer(1, 5000, 10_000_000)
    hall.payer(2, 3000, 8_000_000)
    hall.free(11)
    hall.free(12)
    await hall.rounds()
    latest = hall.market.latest
    assert latest.granted == {1: 10_000_000, 2: 6_000_000}
    assert (latest.clearing, latest.for_sale, latest.sold) == (3000, 16_000_000, 16_000_000)
    assert [(peer, clear.price, clear.rate) for peer, clear in hall.engine.messages] == [
        (1, 3000, 10_000_000),
        (2, 3000, 6_000_000),
    ]
    weights = {peer: policy.priority for peer, policy in hall.engine.policies.items()}
    total = sum(weights.values())
    for peer, rate in {1: 10_000_000, 2: 6_000_000, 11: 2_000_000, 12: 2_000_000}.items():
        assert weights[peer] / total == pytest.approx(rate / CAPACITY, rel=0.01)
    assert all(hall.engine.policies[peer].reserved == (peer < 10) for peer in weights)


async def test_a_bid_that_gets_nothing_is_served_free_until_it_wins() -> None:
    hall = Hall()
    high, low = hall.payer(1, 5000), hall.payer(2, 3000)
    await hall.rounds()
    assert (high.state.value, low.state.value) == ("priced", "outbid")
    assert hall.market.latest.granted == {1: 16_000_000}
    hall.bid(low, PrivateKey(b"\x02" * 32), 6000, 0)
    await hall.rounds()
    assert (high.state.value, low.state.value) == ("outbid", "priced")
    assert hall.market.latest.clearing == 5000


async def test_an_unchanged_round_says_nothing_to_anybody() -> None:
    hall = Hall()
    hall.payer(1, 5000, 10_000_000)
    hall.payer(2, 3000, 8_000_000)
    hall.free(11)
    await hall.rounds(3)
    calls, messages = hall.engine.calls, len(hall.engine.messages)
    await hall.rounds(5)
    assert (hall.engine.calls, len(hall.engine.messages)) == (calls, messages)
    assert hall.market.latest.number == 8


async def test_what_free_peers_leave_goes_to_the_payers_and_nothing_stays_idle() -> None:
    hall = Hall()
    hall.payer(1, 5000)
    hall.free(11, 500_000)
    await hall.rounds(8)
    targets = hall.market.latest.targets
    assert targets[PeerId(1)] > 19_000_000
    assert sum(targets.values()) <= CAPACITY


async def test_without_payers_the_engine_is_left_to_itself() -> None:
    hall = Hall()
    for peer in (11, 12, 13):
        hall.free(peer)
    await hall.rounds(3)
    assert hall.engine.policies == {}


async def test_without_an_upload_limit_there_is_no_auction_and_payers_are_served_at_the_reserve() -> None:
    hall = Hall(capacity=0)
    seller = hall.payer(1, 5000)
    await hall.market.run()  # ends at once
    assert hall.market.latest.number == 0
    assert seller.state.value == "priced"
    assert hall.engine.messages == []


async def test_a_payer_that_gets_less_than_its_part_is_given_a_larger_weight() -> None:
    hall = Hall()
    hall.payer(1, 5000, 10_000_000)
    hall.payer(2, 3000, 8_000_000)
    hall.free(11)
    await hall.rounds()
    before = {peer: policy.priority for peer, policy in hall.engine.policies.items()}
    hall.engine.taking[2] = 5_700_000  # 95 % of what it was granted
    await hall.rounds(3)
    after = {peer: policy.priority for peer, policy in hall.engine.policies.items()}
    assert after[2] / after[1] > 1.02 * before[2] / before[1]


async def test_free_peers_have_one_weight_whatever_each_of_them_got() -> None:
    hall = Hall()
    hall.payer(1, 5000)
    hall.free(11)
    hall.free(12, 1_900_000)
    hall.free(13, 1_800_000)
    for _ in range(6):
        await hall.rounds()
        assert len({hall.engine.policies[peer].priority for peer in (11, 12, 13)}) == 1


async def test_a_round_tells_how_long_it_took() -> None:
    hall = Hall()
    hall.payer(1, 5000)
    ticks = iter(range(1000))
    hall.clock.now = lambda: 100.0 + next(ticks) / 1000  # type: ignore[method-assign]  # every look takes 1 ms
    await hall.market.hold()
    assert 0 < hall.market.latest.took < 0.05
