"""Thousands of payers behind one network prefix against the real selling service: what all of them keep, unpaid.

There are no sockets: each connection takes whatever its allowance admits, at once, which is the worst that any network
can do. Store, sessions, credit and reputations are the node's own; the vaults cover everything.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import cast

import pytest

from node.ports.engine import Engine, PeerHello, PeerId, TorrentId, UploadPolicy
from node.services.carrier import Carrier
from node.services.reputation import Reputations
from node.services.selling import Selling
from node.services.trades import Trade, Trades
from node.services.vault import VaultView
from node.speed.credit import CreditPolicy
from node.speed.messages import Bid, ChequeMessage
from node.speed.newcomers import Newcomers
from node.speed.seller import SellerSession, SellerState, SellerTerms
from node.store import open_store
from tests.unit.speed.pair import PAYEE_KEY, PRICE, RAIL
from wallet.address import Address
from wallet.amount import MIB, cost
from wallet.cheque import Cheque, SignedCheque, bid_digest, sign_cheque
from wallet.keys import PrivateKey

CREDIT = CreditPolicy().newcomer
TORRENT = TorrentId("ab" * 20)
WALL = 1_800_000_000


@dataclass
class Clock:
    time: float = 0.0

    def now(self) -> float:
        return self.time

    def wall(self) -> int:
        return WALL + int(self.time)


@dataclass
class Greedy:
    """The part of an engine that selling uses. Messages land at once; `feed` lets every peer take what it may."""

    sent: dict[PeerId, int] = field(default_factory=dict)
    allowance: dict[PeerId, int | None] = field(default_factory=dict)
    landed: list[tuple[PeerId, int]] = field(default_factory=list)

    def send(self, peer: PeerId, payload: bytes, tag: int = 0) -> None:
        if tag:
            self.landed.append((peer, tag))

    def set_allowance(self, peer: PeerId, mark: int | None) -> None:
        self.allowance[peer] = mark

    def set_upload(self, peer: PeerId, policy: UploadPolicy) -> None:
        """Of no interest: nothing is scarce here."""


class AmpleVault:
    async def coverage(self, rail: str, payer: Address) -> tuple[int, int]:
        return 10**40, 0


class Stall:
    """A seller and its customers, all from 192.0.2.0/24 unless they say otherwise."""

    def __init__(self, selling: Selling, carrier: Carrier, trades: Trades, engine: Greedy, clock: Clock) -> None:
        self.selling, self.carrier, self.trades, self.engine, self.clock = selling, carrier, trades, engine, clock
        self.peers = count(1)

    @property
    def unpaid(self) -> int:
        """Units sold on credit that no cheque covers."""
        return sum(account.earned - account.accepted for account in self.trades.sellers.values())

    @property
    def paid(self) -> int:
        return sum(account.accepted for account in self.trades.sellers.values())

    def bid(self, key: PrivateKey, host: str = "") -> Trade:
        """Connect and bid; the answer comes with `settle`."""
        number = next(self.peers)
        peer = PeerId(number)
        trade = Trade.of(PeerHello(peer, TORRENT, host or f"192.0.2.{number % 256}", 1, "", False, b""), WALL)
        self.trades.add(trade)
        self.engine.sent[peer] = 0
        self.selling.open(trade)
        self.reprice(trade, key, PRICE)
        return trade

    def reprice(self, trade: Trade, key: PrivateKey, price: int) -> None:
        """Bid this, and pay what was bid from the next round on."""
        session, now = self.session(trade), self.carrier.now()
        digest = bid_digest(RAIL, key.address, PAYEE_KEY.address, price, session.nonce)
        bid = Bid(RAIL.id, key.address, price, 0, now.wall + 10**6, None, key.sign_digest(digest))
        self.carrier.run(trade, session.message(bid, now))
        self.carrier.run(trade, session.cleared(price, 0, 1, now))

    async def settle(self) -> None:
        """Everything that waits for the store is answered, and everybody takes what is admitted."""
        while True:
            await self.carrier.drain()
            landed, self.engine.landed = self.engine.landed, []
            moved = bool(landed)
            for peer, tag in landed:
                trade = self.trades.open[peer]
                self.carrier.run(
                    trade, self.session(trade).message_sent(tag, self.engine.sent[peer], self.carrier.now())
                )
            for trade in self.trades.open.values():
                mark = self.engine.allowance.get(trade.peer)
                if mark is not None and mark > self.engine.sent[trade.peer]:
                    self.engine.sent[trade.peer], moved = mark, True
                    self.session(trade).bytes_sent(mark, self.carrier.now())
                    self.carrier.run(trade, self.session(trade).stalled(self.carrier.now()))
            if not moved:
                return

    def pay(self, trade: Trade, key: PrivateKey, cumulative: int) -> None:
        signed: SignedCheque = sign_cheque(RAIL, Cheque(key.address, PAYEE_KEY.address, cumulative), key)
        message = ChequeMessage(RAIL.id, key.address, cumulative, signed.signature)
        self.carrier.run(trade, self.session(trade).message(message, self.carrier.now()))

    def leave(self, trade: Trade) -> None:
        trade.gone = True
        self.trades.close(trade.peer)
        self.selling.gone(trade, self.engine.sent.pop(trade.peer))

    @staticmethod
    def session(trade: Trade) -> SellerSession:
        assert trade.seller is not None
        return trade.seller


@pytest.fixture
async def stall(tmp_path: Path) -> AsyncIterator[Stall]:
    store = await open_store(tmp_path / "node.db", None)
    clock, trades, engine = Clock(), Trades(), Greedy()
    carrier = Carrier(cast("Engine", engine), clock)
    nonces = count()
    selling = Selling(
        SellerTerms(PAYEE_KEY.address, {RAIL.id: RAIL}, PRICE),
        carrier=carrier,
        trades=trades,
        store=store,
        vault=cast("VaultView", AmpleVault()),
        reputations=await Reputations.open(store, wall=clock.wall),
        nonce=lambda size: next(nonces).to_bytes(size, "big"),
    )
    yield Stall(selling, carrier, trades, engine, clock)
    await carrier.drain()
    await store.close()


def key(number: int) -> PrivateKey:
    return PrivateKey(number.to_bytes(32, "big"))


async def test_ten_thousand_identities_of_one_prefix_take_one_credit(stall: Stall) -> None:
    """Loss <= w(credit), in waves that vanish and in one that stays."""
    for wave in range(20):
        trades = [stall.bid(key(1 + 500 * wave + n)) for n in range(500)]
        await stall.settle()
        if wave < 19:
            for trade in trades:
                stall.leave(trade)
    assert len(stall.trades.sellers) == 10_000
    assert stall.unpaid == cost(CREDIT, PRICE)


async def test_an_hour_later_as_much_can_be_taken_again_and_no_more(stall: Stall) -> None:
    """Loss <= w(credit x (1 + hours))."""
    hour = Newcomers().release_ms // 1000
    for number in range(1, 200):
        stall.clock.time += hour / 60
        stall.selling.tick()
        trade = stall.bid(key(number))
        await stall.settle()
        stall.leave(trade)
    assert stall.unpaid <= cost(CREDIT, PRICE) * (1 + 200 / 60)


async def test_paying_a_part_frees_no_more_for_the_next_than_was_paid(stall: Stall) -> None:
    """Loss beyond what was paid <= w(credit): cheques over a little buy no fresh credit for the next identity."""
    for number in range(1, 200):
        trade = stall.bid(key(number))
        await stall.settle()
        taken = stall.session(trade).meter.amount
        if taken:
            stall.pay(trade, key(number), 1 + taken // 3)
            await stall.settle()
        stall.leave(trade)
    assert 0 < stall.unpaid - stall.paid <= cost(CREDIT, PRICE)


async def test_an_honest_newcomer_waits_for_its_neighbour_to_pay_and_is_served_at_that_moment(stall: Stall) -> None:
    first = stall.bid(key(1))
    await stall.settle()
    second, elsewhere = stall.bid(key(2)), stall.bid(key(3), host="198.51.100.1")
    await stall.settle()
    assert stall.session(first).meter.bytes == stall.session(elsewhere).meter.bytes == CREDIT
    assert stall.session(second).state is SellerState.WAITING
    assert second.last_word is not None
    assert "newcomers of this network" in second.last_word.text
    assert stall.engine.allowance.get(second.peer) is None, "it is served like anybody"
    stall.pay(first, key(1), stall.session(first).meter.amount)
    await stall.settle()
    assert stall.session(second).meter.bytes == CREDIT
    assert stall.session(first).meter.bytes == 2 * MIB, "what it paid for is its own credit now"


async def test_what_a_newcomer_was_never_sent_is_free_for_the_next_when_it_leaves(stall: Stall) -> None:
    first = stall.bid(key(1))
    await stall.carrier.drain()  # it has an allowance, and takes nothing
    second = stall.bid(key(2))
    await stall.carrier.drain()
    assert stall.session(second).state is SellerState.WAITING
    stall.leave(first)
    stall.engine.landed = [(peer, tag) for peer, tag in stall.engine.landed if peer != first.peer]
    await stall.settle()
    assert stall.session(second).meter.bytes == CREDIT


async def test_time_alone_lets_a_newcomer_in(stall: Stall) -> None:
    thief = stall.bid(key(1))
    await stall.settle()
    stall.leave(thief)
    honest = stall.bid(key(2))
    await stall.settle()
    assert stall.session(honest).meter.bytes == 0
    stall.clock.time += Newcomers().release_ms / 1000
    stall.selling.tick()
    await stall.settle()
    assert stall.session(honest).meter.bytes == CREDIT


async def test_a_newcomer_that_raises_its_bid_again_and_again_takes_and_keeps_one_credit(stall: Stall) -> None:
    """Loss <= w(credit): neither its window opens again as its price rises, nor are its debts fewer bytes then."""
    taken = 0
    for number in range(1, 5):
        trade = stall.bid(key(number))
        await stall.settle()
        for doubled in range(1, 12):
            stall.reprice(trade, key(number), PRICE << doubled)
            await stall.settle()
        taken += stall.session(trade).meter.bytes
        stall.leave(trade)
    assert taken == CREDIT


async def test_what_was_taken_at_a_high_price_is_not_paid_for_at_a_low_one(stall: Stall) -> None:
    """Loss beyond what was paid <= w(credit): a hundredth of the debt frees a hundredth of the credit."""
    first = stall.bid(key(1))
    stall.reprice(first, key(1), 100 * PRICE)
    await stall.settle()
    assert stall.session(first).meter.amount == cost(CREDIT, 100 * PRICE)
    stall.reprice(first, key(1), PRICE)
    second = stall.bid(key(2))
    await stall.settle()
    stall.pay(first, key(1), cost(CREDIT, PRICE))
    await stall.settle()
    assert stall.session(second).meter.bytes <= CREDIT // 100
