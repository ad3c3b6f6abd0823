"""Who gets the money: sellers that serve, by what they are worth; never more than the budget together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import pytest

from node.ports.engine import Engine, PeerId, PeerStatus, TorrentId, TorrentState, TorrentStatus
from node.ports.events import PeerHello
from node.services.choosing import ANSWER_TIME, Choosing
from node.services.judging import FIRST_BAR, LONGEST_BAR, Barred, Judging
from node.services.trades import Trade, Trades
from node.speed.buyer import BuyerAccount, BuyerSession
from node.speed.messages import Ask, Clear, RailOffer
from node.speed.moment import Now
from node.speed.preference import LEAST_SHARE
from tests.unit.services.hall import Clock
from tests.unit.speed.pair import RAIL
from wallet.address import Address
from wallet.amount import MIB, cost
from wallet.keys import PrivateKey

TORRENT = TorrentId("ab" * 20)
PAYER = PrivateKey(b"\x51" * 32)
PRICE = 10**15


class Swarm:
    """Stands for the engine: what each peer has sent, and whether we wait for it."""

    def __init__(self) -> None:
        self.received: dict[int, int] = {}
        self.idle: set[int] = set()
        self.copies: dict[int, list[int]] = {}

    async def statuses(self) -> Sequence[TorrentStatus]:
        return [
            TorrentStatus(
                id=TORRENT, name="t", state=TorrentState.DOWNLOADING, save_path=Path("/"), total_bytes=1, done_bytes=0,
                progress=0.0, download_rate=0, upload_rate=0, downloaded=sum(self.received.values()), uploaded=0,
                peers=len(self.received), seeds=0, has_metadata=True,
            )
        ]  # fmt: skip

    async def peers(self, torrent: TorrentId) -> Sequence[PeerStatus]:
        return [
            PeerStatus(
                peer=PeerId(peer), torrent=torrent, host="127.0.0.1", port=1, client="", speaks_btt=True,
                outgoing=False, choked_by_us=False, choked_by_peer=False, interested=False, seed=True, progress=1.0,
                upload_rate=0, download_rate=0, sent=0, received=received, wanted=peer not in self.idle,
                requests=0 if peer in self.idle else 8,
            )
            for peer, received in self.received.items()
        ]  # fmt: skip

    async def holders(self, torrent: TorrentId, peers: Sequence[PeerId]) -> Mapping[PeerId, Sequence[int]]:
        return {peer: self.copies[peer] for peer in peers if peer in self.copies}


class Floor:
    """A node's sellers, in one place."""

    def __init__(self, download_limit: int = 0, useful: Mapping[int, int] | None = None) -> None:
        self.swarm, self.clock, self.trades = Swarm(), Clock(), Trades()
        engine = cast("Engine", self.swarm)
        self.judging = Judging(engine, self.clock, self.trades, download_limit=download_limit)
        scores = {address(peer): score for peer, score in (useful or {}).items()}
        self.choosing = Choosing(
            engine, self.clock, self.trades, self.judging.barred, lambda payee, rail: scores.get(payee, 500)
        )

    @property
    def now(self) -> Now:
        return Now(self.clock.now(), self.clock.wall())

    def seller(self, peer: int, reserve: int = PRICE, *, price: int = 0, granted: int = 0) -> Trade:
        """It asks and gets a bid; with a `price` it has set that, and promised a rate."""
        self.swarm.received[peer] = 0
        trade = Trade.of(PeerHello(PeerId(peer), TORRENT, "127.0.0.1", 1, "", False, b""), 0)
        trade.buyer = buyer = BuyerSession(PAYER.address, {RAIL.id: RAIL})
        offer = RailOffer(RAIL.id, RAIL.vault)
        buyer.message(Ask(address(peer), bytes(32), (offer,), reserve, MIB, MIB, self.now.wall + 10**6), self.now)
        buyer.bid(BuyerAccount(), price=10 * PRICE, rate=0, ceiling=None, until=10**9, sign=PAYER.sign_digest)
        trade.buyer_key = (RAIL.id, address(peer))
        if price:
            buyer.message(Clear(price, granted, 1, 1), self.now)
        self.trades.add(trade)
        return trade

    async def seconds(self, count: int, **rates: int) -> dict[PeerId, str]:
        """Each peer (`p1`, `p2`, …) sends so many bytes per second; returns the verdicts."""
        verdicts: dict[PeerId, str] = {}
        for _ in range(count):
            verdicts |= {trade.peer: reason for trade, reason in await self.judging.round()}
            self.choosing.changed()
            self.clock.time += 1
            for name, rate in rates.items():
                self.swarm.received[int(name[1:])] += rate
        return verdicts

    def shares(self, budget: int | None) -> dict[PeerId, int | None]:
        """What each seller may cost from now on."""
        found = {trade.peer: self.choosing.share(trade, budget) for trade in self.trades.open.values()}
        return {peer: share.amount for peer, share in found.items() if share is not None}


def address(peer: int) -> Address:
    return Address(bytes([peer]) * 20)


async def test_of_two_sellers_only_the_one_that_does_not_deliver_is_stopped() -> None:
    """Also where the other may well fill our line, as far as we can know."""
    floor = Floor()
    floor.seller(1, price=PRICE, granted=MIB)
    floor.seller(2, price=PRICE, granted=MIB)
    assert set(await floor.seconds(30, p1=MIB, p2=MIB // 20)) == {2}


async def test_a_seller_that_is_slower_than_our_line_has_shown_to_be_is_stopped() -> None:
    floor = Floor()
    floor.seller(1, price=PRICE, granted=4 * MIB)
    floor.seller(2, price=PRICE, granted=MIB)
    assert await floor.seconds(30, p1=4 * MIB, p2=MIB) == {}
    assert set(await floor.seconds(30, p1=MIB, p2=MIB // 10)) == {2}


async def test_honest_sellers_who_fill_our_line_are_not_to_blame() -> None:
    """Ten of them grant a MiB per second each, to a line that takes two in all."""
    floor = Floor()
    for peer in range(1, 11):
        floor.seller(peer, price=PRICE, granted=MIB)
    assert await floor.seconds(60, **{f"p{peer}": MIB // 5 for peer in range(1, 11)}) == {}


async def test_a_seller_that_our_own_limit_slows_down_is_not_to_blame() -> None:
    floor = Floor(download_limit=50 * 1024)
    floor.seller(1, price=PRICE, granted=100 * MIB)
    assert await floor.seconds(60, p1=50 * 1024) == {}


async def test_a_seller_that_we_want_nothing_of_is_not_to_blame() -> None:
    floor = Floor()
    floor.seller(1, price=PRICE, granted=MIB)
    floor.swarm.idle.add(1)
    assert await floor.seconds(100) == {}


async def test_a_seller_whose_pieces_fail_is_stopped() -> None:
    floor = Floor()
    trade = floor.seller(1, price=PRICE, granted=MIB)
    assert trade.buyer is not None
    for piece in range(5):
        trade.buyer.bytes_received(piece, MIB)
        trade.buyer.piece_failed(piece)
    verdicts = await floor.seconds(2, p1=MIB)
    assert "failed their hash" in verdicts[trade.peer]


async def test_without_a_price_nothing_was_promised() -> None:
    floor = Floor()
    floor.seller(1)
    assert await floor.seconds(100) == {}


@pytest.mark.parametrize("budget", [10**18, 10**18 + 7])
async def test_the_budget_is_divided_by_price_use_and_rarity_and_adds_up(budget: int) -> None:
    floor = Floor(useful={3: 1000})
    for peer, price in ((1, PRICE), (2, 2 * PRICE), (3, 2 * PRICE), (4, 2 * PRICE)):
        floor.seller(peer, price=price)
    floor.swarm.copies = {1: [4, 4], 2: [4, 4], 3: [4, 4], 4: [1, 1]}
    await floor.choosing.look()
    shares = floor.shares(budget)
    assert sum(amount or 0 for amount in shares.values()) == budget
    assert (shares[PeerId(1)] or 0) > (shares[PeerId(2)] or 0)
    assert (shares[PeerId(3)] or 0) > (shares[PeerId(2)] or 0)
    assert (shares[PeerId(4)] or 0) > (shares[PeerId(2)] or 0)


async def test_a_cheap_ask_that_never_serves_holds_only_a_trial() -> None:
    floor = Floor()
    floor.seller(1, reserve=1)
    floor.seller(2, price=PRICE)
    await floor.seconds(int(ANSWER_TIME) + 1, p2=MIB)
    assert floor.shares(10**18) == {1: cost(LEAST_SHARE, 1), 2: 10**18}


async def test_nobody_is_paid_whom_experience_or_a_verdict_rules_out() -> None:
    floor = Floor(useful={1: 0})
    floor.seller(1, price=PRICE)
    stopped = floor.seller(2, price=PRICE)
    floor.seller(3, price=PRICE)
    assert stopped.buyer_key is not None
    floor.judging.barred.add(stopped.buyer_key, "it sent nothing", floor.clock.now())
    assert floor.shares(10**18) == {3: 10**18}


def test_a_bar_doubles_and_ends() -> None:
    barred, key, now = Barred(), (RAIL.id, address(1)), 0.0
    lengths = []
    for _ in range(12):
        bar = barred.add(key, "it sent nothing", now)
        assert barred.find(key, bar.until - 1) == bar
        assert barred.find(key, bar.until) is None
        lengths.append(bar.until - now)
        now = bar.until
    assert lengths[:3] == [FIRST_BAR, 2 * FIRST_BAR, 4 * FIRST_BAR]
    assert max(lengths) == LONGEST_BAR
