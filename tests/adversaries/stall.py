"""A selling service without sockets: each connection takes whatever its allowance admits, at once.

That is the worst that any network can do. Store, sessions, credit and reputations are the node's own; the vaults cover
everything, and the clock is moved by hand.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import cast

from node.ports.engine import Engine, PeerId, TorrentId, UploadPolicy
from node.ports.events import PeerHello
from node.services.budget import Budget
from node.services.carrier import Carrier
from node.services.netting import Nets
from node.services.reputation import Reputations
from node.services.selling import Selling
from node.services.trades import Trade, Trades
from node.services.vault import VaultView
from node.speed.messages import Bid, ChequeMessage, Message, decode_message
from node.speed.seller import SellerSession, SellerTerms
from node.store import SqlStore, open_store
from tests.unit.speed.pair import PAYEE_KEY, PRICE, RAIL
from wallet.address import Address
from wallet.cheque import Cheque, SignedCheque, bid_digest, sign_cheque
from wallet.keys import PrivateKey
from wallet.limits import SpendLimits
from wallet.solvency import Funds, Standing

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
    """The part of an engine that selling uses. `landed`: tagged messages; `said`: all of them."""

    sent: dict[PeerId, int] = field(default_factory=dict)
    allowance: dict[PeerId, int | None] = field(default_factory=dict)
    landed: list[tuple[PeerId, int]] = field(default_factory=list)
    said: list[tuple[PeerId, Message | None]] = field(default_factory=list)

    def send(self, peer: PeerId, payload: bytes, tag: int = 0) -> None:
        self.said.append((peer, decode_message(payload)))
        if tag:
            self.landed.append((peer, tag))

    def set_allowance(self, peer: PeerId, mark: int | None) -> None:
        self.allowance[peer] = mark

    def set_upload(self, peer: PeerId, policy: UploadPolicy) -> None:
        """Of no interest: nothing is scarce here."""


class AmpleVault:
    async def standing(self, rail: str, payer: Address) -> Standing:
        return Standing(Funds(10**40))


class Stall:
    """A seller and its customers, all from 192.0.2.0/24 unless they say otherwise. Made by `open_stall`."""

    def __init__(self, store: SqlStore, clock: Clock, reputations: Reputations) -> None:
        self.store, self.clock, self.reputations = store, clock, reputations
        self.trades, self.engine = Trades(), Greedy()
        self.carrier = Carrier(cast("Engine", self.engine), clock)
        self.peers = count(1)
        vault = cast("VaultView", AmpleVault())
        self.selling = Selling(
            SellerTerms(PAYEE_KEY.address, {RAIL.id: RAIL}, PRICE),
            carrier=self.carrier,
            trades=self.trades,
            store=store,
            vault=vault,
            reputations=reputations,
            nonce=lambda size: next(self.peers).to_bytes(size, "big"),
            nets=Nets(
                carrier=self.carrier,
                trades=self.trades,
                store=store,
                budget=Budget(SpendLimits(), store=store, vault=vault, clock=clock),
                own=PAYEE_KEY.address,
                reserve=PRICE,
            ),
        )
        reputations.on_barred = self.selling.barred

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
        self.session(trade).closed(self.engine.sent.pop(trade.peer))
        self.trades.close(trade.peer)
        self.selling.gone(trade)

    @staticmethod
    def session(trade: Trade) -> SellerSession:
        assert trade.seller is not None
        return trade.seller


@asynccontextmanager
async def open_stall(folder: Path, clock: Clock | None = None) -> AsyncIterator[Stall]:
    """The same folder again is the same node after a restart."""
    clock = clock or Clock()
    store = await open_store(folder / "node.db", None)
    made = Stall(store, clock, await Reputations.open(store, wall=clock.wall))
    try:
        yield made
        await made.carrier.drain()
        await made.reputations.close()
    finally:
        await store.close()


def key(number: int) -> PrivateKey:
    """A payer's."""
    return PrivateKey(number.to_bytes(32, "big"))
