"""A seller by hand: asks, sets prices, serves blocks (or something else) and collects cheques.

Its meter is the node's own: left alone it is an honest seller, and each cheat is one departure from that.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from node.speed.buyer import BuyerSession
from node.speed.errors import StopCode
from node.speed.messages import Ask, Bid, ChequeMessage, Clear, RailOffer, Receipt, Stop
from node.speed.meter import Meter
from tests.adversaries.raw import DEADLINE, Plain, RawPeer, Request
from tests.adversaries.victim import KEY, PIECE, PRICE, SIZE, Victim
from wallet.amount import MIB
from wallet.cheque import Cheque, Rail, SignedCheque, verify_cheque
from wallet.keys import PrivateKey

CROOK = PrivateKey(b"\x66" * 32)
BLOCK = 16 * 1024
LATER = 4_000_000_000

Content = Callable[[Request, bytes], bytes]
"""What to send for a request, given what would be right."""


def as_it_is(_: Request, right: bytes) -> bytes:
    return right


def junk(_: Request, right: bytes) -> bytes:
    return bytes(len(right))


@dataclass
class ScriptedSeller:
    """One connection to a buyer."""

    buyer: Victim
    peer: RawPeer
    rail: Rail
    key: PrivateKey = CROOK
    meter: Meter = field(default_factory=Meter)
    requests: deque[Request] = field(default_factory=deque)
    """What the buyer waits for."""
    bids: list[Bid] = field(default_factory=list)
    cheques: list[ChequeMessage] = field(default_factory=list)
    stops: list[StopCode] = field(default_factory=list)
    blocks: dict[int, set[int]] = field(default_factory=dict)
    """Piece → offsets that were sent."""
    gone: bool = False

    @classmethod
    async def meet(cls, buyer: Victim, *, quantum: int = PIECE, key: PrivateKey = CROOK) -> ScriptedSeller:
        """Connect, greet, ask, unchoke, and wait for the bid."""
        peer = await buyer.visit()
        rail = buyer.chain.rail
        made = cls(buyer, peer, rail, key)
        peer.greet({"rails": [rail.id], "v": 1})
        pieces = SIZE // PIECE
        peer.plain(Plain.BITFIELD, b"\xff" * (pieces // 8))
        peer.plain(Plain.UNCHOKE)
        await made.until(lambda: peer.btt_id != 0)
        offer = RailOffer(rail.id, rail.vault)
        peer.tell(Ask(key.address, bytes(32), (offer,), PRICE // 4, MIB, quantum, LATER))
        await made.until(lambda: bool(made.bids))
        return made

    @property
    def session(self) -> BuyerSession:
        """The buyer's own account of this connection."""
        session = self.buyer.trade_of(self.peer).buyer
        assert session is not None
        return session

    @property
    def held(self) -> int:
        """Units: the highest cheque that came."""
        return max((cheque.cumulative for cheque in self.cheques), default=0)

    def price(self, price: int, *, answers: int | None = None, rate: int = 0) -> None:
        """Charge this much from here on, in answer to the latest bid, or to the one with this number.

        `rate`: bytes per second that are promised for it.
        """
        self.meter.set_price(price, self.meter.mark)
        self.peer.tell(Clear(price, rate, 1, len(self.bids) if answers is None else answers))

    def receipt(self, **changed: int | bytes) -> None:
        """The truth, but for what is changed."""
        cheque = self.cheques[-1] if self.cheques else None
        honest = Receipt(
            rail=self.rail.id,
            cumulative=cheque.cumulative if cheque else 0,
            signature=cheque.signature if cheque else b"",
            mark=self.meter.mark,
            priced=self.meter.bytes,
            amount=self.meter.amount,
            credit=MIB,
        )
        self.peer.tell(replace(honest, **changed))  # type: ignore[arg-type]  # the field's type is the caller's to match

    def open(self) -> None:
        """As an honest seller answers a bid."""
        self.receipt()
        self.price(PRICE)

    async def serve(self, blocks: int, content: Content = as_it_is) -> int:
        """Answer this many requests; returns how many the buyer had before it was served enough or went."""
        for served in range(blocks):
            await self.until(lambda: bool(self.requests))
            if self.gone:
                return served
            request = self.requests.popleft()
            start = request.piece * PIECE + request.offset
            right = self.buyer.data[start : start + request.length]
            self.send(request, content(request, right))
        return blocks

    def send(self, request: Request, data: bytes) -> None:
        self.peer.block(request.piece, request.offset, data)
        self.meter.advance(self.meter.mark + len(data))
        self.blocks.setdefault(request.piece, set()).add(request.offset)

    async def counted(self) -> None:
        """Wait until the buyer has received everything and knows of every whole piece whether it passed."""
        trade = self.buyer.trade_of(self.peer)
        whole = {piece for piece, offsets in self.blocks.items() if len(offsets) == PIECE // BLOCK}

        def done() -> bool:
            judged = self.buyer.payments.trades.verified.get(trade.torrent, set()).union(self.buyer.failed)
            return trade.gone or (self.session.meter.mark == self.meter.mark and whole <= judged)

        await self.buyer.until(done, "all that was sent is judged")

    async def until(self, condition: Callable[[], bool]) -> None:
        """Listen until it holds or the buyer has hung up."""
        while not condition() and not self.gone:
            match await self.peer.next():
                case None:
                    self.gone = True
                case Request() as request:
                    self.requests.append(request)
                case Bid() as bid:
                    self.bids.append(bid)
                case ChequeMessage() as cheque:
                    signed = SignedCheque(
                        self.rail, Cheque(KEY.address, self.key.address, cheque.cumulative), cheque.signature
                    )
                    verify_cheque(self.rail, signed, KEY.address)
                    self.cheques.append(cheque)
                case Stop() as stop:
                    self.stops.append(stop.code)
                case _:
                    pass

    async def paid(self, amount: int) -> None:
        """Wait for cheques over this much."""
        await self.until(lambda: self.held >= amount)
        assert self.held >= amount, self.stops

    async def stopped(self, code: StopCode) -> None:
        """Wait until the buyer ends the trade."""
        await self.until(lambda: bool(self.stops))
        assert self.stops[:1] == [code]

    async def leave(self) -> int:
        """Hang up once all is counted; returns the units that the buyer has signed, or will sign when it meets us."""
        if self.buyer.payments.trades.open:
            await self.counted()
        await self.peer.close()
        await self.buyer.until(lambda: not self.buyer.payments.trades.open, "the buyer has seen us go")
        async with asyncio.timeout(DEADLINE):
            await self.buyer.payments.carrier.drain()
        return await self.buyer.promised()
