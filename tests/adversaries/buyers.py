"""A buyer by hand: asks, bids, takes blocks and pays only when and what the test says.

Its meter is the node's own, so it knows exactly what it owes.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field
from typing import TypeVar

from node.speed.errors import StopCode
from node.speed.messages import Ask, Bid, ChequeMessage, Clear, Message, Receipt, Stop
from node.speed.meter import Meter
from tests.adversaries.raw import Block, Heard, Plain, RawPeer
from tests.adversaries.victim import KEY, PIECE, PRICE, SIZE, Victim
from wallet.cheque import Cheque, Rail, bid_digest, sign_cheque
from wallet.keys import PrivateKey

BLOCK = 16 * 1024
BLOCKS = SIZE // BLOCK
PIPELINE = 64
LATER = 4_000_000_000
M = TypeVar("M")


def fresh_key() -> PrivateKey:
    return PrivateKey(secrets.token_bytes(32))


def signed_bid(ask: Ask, rail: Rail, key: PrivateKey, price: int = PRICE) -> Bid:
    """An honest bid on this ask, for as much as it can get."""
    digest = bid_digest(rail, key.address, ask.payee, price, ask.nonce)
    return Bid(rail.id, key.address, price, 0, LATER, None, key.sign_digest(digest))


@dataclass
class ScriptedBuyer:
    """One connection to a seller. `heard` has every `btt_speed` message, in order."""

    seller: Victim
    peer: RawPeer
    rail: Rail
    key: PrivateKey
    ask: Ask
    meter: Meter = field(default_factory=Meter)
    heard: list[Message] = field(default_factory=list)
    asked: int = 0
    """Blocks asked for so far, over and over from the first to the last of the torrent."""
    came: int = 0
    gone: bool = False
    choked: bool = True
    _reading: asyncio.Task[Heard | None] | None = None

    @classmethod
    async def meet(cls, seller: Victim, key: PrivateKey | None = None, *, deposit: int = 10**30) -> ScriptedBuyer:
        """Connect, greet, hear the ask. A new key makes its deposit first."""
        if key is None:
            key = fresh_key()
            await seller.deposit(key, deposit)
        peer = await seller.visit()
        rail = seller.chain.rail
        peer.greet({"rails": [rail.id], "v": 1})
        ask = await peer.hear()
        assert isinstance(ask, Ask)
        assert ask.payee == KEY.address
        return cls(seller, peer, rail, key, ask)

    async def bid(self, price: int = PRICE) -> Clear:
        """Bid in good form and wait for the price."""
        self.peer.tell(signed_bid(self.ask, self.rail, self.key, price))
        return await self.until(Clear)

    async def until(self, *kinds: type[M]) -> M:
        """The next message of one of these kinds."""
        while True:
            message = await self.hear()
            assert message is not None, self.heard
            if isinstance(message, kinds):
                return message

    def pay(self, cumulative: int, key: PrivateKey | None = None) -> None:
        """Send a cheque to this figure; with another key it is forged."""
        self.peer.tell(self.cheque(cumulative, key))

    def cheque(self, cumulative: int, key: PrivateKey | None = None) -> ChequeMessage:
        cheque = Cheque(self.key.address, self.ask.payee, cumulative)
        signature = sign_cheque(self.rail, cheque, key or self.key).signature
        return ChequeMessage(self.rail.id, self.key.address, cumulative, signature)

    async def receipt(self, cumulative: int) -> Receipt:
        """Wait until the seller says that it holds this much."""
        while (message := await self.until(Receipt)).cumulative < cumulative:
            pass
        self.seller.stalls.pop(self._address, None)  # the cheque has lifted it
        return message

    async def take(self, blocks: int) -> int:
        """Ask for blocks until this many more are here; returns the bytes that came before service stalled or ended."""
        before = self.meter.mark
        if self.choked:
            self.peer.plain(Plain.INTERESTED)
        while self.choked and not self.gone:
            await self._step()
        if not self.gone:
            await self.seller.until(self._in_step, "the seller's meter has seen its own clear")
        until = self.came + blocks
        while self.came < until and not (self.choked or self.gone or self.stalled):
            while self.asked < min(until, self.came + PIPELINE):
                offset = (self.asked % BLOCKS) * BLOCK
                self.peer.request(offset // PIECE, offset % PIECE, BLOCK)
                self.asked += 1
            await self._step_or_stall()
        return self.meter.mark - before

    @property
    def stalled(self) -> bool:
        """The seller serves no more, and everything it has sent is here."""
        return self.seller.stalls.get(self._address) == self.meter.mark

    async def hear(self) -> Message | None:
        """The next `btt_speed` message; blocks on the way are taken. None when the seller has hung up."""
        before = len(self.heard)
        while len(self.heard) == before and not self.gone:
            await self._step()
        return None if self.gone else self.heard[-1]

    async def stopped(self) -> StopCode | None:
        """The code of the last stop before the seller hangs up, None if there is none."""
        while not self.gone:
            await self._step()
        return next((m.code for m in reversed(self.heard) if isinstance(m, Stop)), None)

    async def close(self) -> None:
        await self.peer.close()
        if self._reading is not None:
            await self._reading

    def _choked_by(self, plain: Plain) -> None:
        if plain in (Plain.CHOKE, Plain.UNCHOKE):
            self.choked = plain is Plain.CHOKE

    def _in_step(self) -> bool:
        session = self.seller.trade_of(self.peer).seller
        return session is not None and session.meter.price == self.meter.price

    @property
    def _address(self) -> tuple[str, int]:
        host, port = self.peer.writer.get_extra_info("sockname")
        return host, port

    async def _step_or_stall(self) -> None:
        self.seller.stalled.clear()
        if self.stalled:
            return
        stalling = asyncio.create_task(self.seller.stalled.wait())
        await asyncio.wait({self._next(), stalling}, return_when=asyncio.FIRST_COMPLETED)
        stalling.cancel()
        if self._next().done():
            await self._step()

    def _next(self) -> asyncio.Task[Heard | None]:
        if self._reading is None:
            self._reading = asyncio.create_task(self.peer.next())
        return self._reading

    async def _step(self) -> None:
        """One message."""
        heard = await self._next()
        self._reading = None
        match heard:
            case None:
                self.gone = True
            case Block(_, _, data):
                self.came += 1
                self.meter.advance(self.meter.mark + len(data))
            case Plain() as plain:
                self._choked_by(plain)
            case Clear() as clear:
                self.meter.set_price(clear.price, self.meter.mark)
                self.seller.stalls.pop(self._address, None)
                self.heard.append(clear)
            case Ask() | Receipt() | Stop() as message:
                self.heard.append(message)
            case _:
                pass
