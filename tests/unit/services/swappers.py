"""Nodes that sell to and buy from each other: real stores, vault views and both halves of the market; the swarm and the
chain are in memory."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from node.engine.memory import MemoryEngine, MemorySwarm
from node.ports.engine import AddTorrent, CreateTorrent, EngineSettings, PeerId, TorrentFormat, TorrentId
from node.ports.events import EngineEvent, PeerHello
from node.services.budget import Budget
from node.services.payments import Payments, PaymentSettings
from node.services.reputation import Reputations
from node.services.trades import AccountKey
from node.services.vault import VaultView
from node.speed.credit import CreditPolicy
from node.speed.messages import ChequeMessage, Hello, Message, Net, decode_message
from node.speed.seller import SellerState
from node.store import SqlStore, open_store
from tests.unit.speed.pair import PRICE
from wallet.amount import MIB, cost
from wallet.chains.fake import FakeChain
from wallet.keys import PrivateKey
from wallet.limits import SpendLimits
from wallet.netting import Position

PIECE = 64 * 1024
CREDIT = MIB
WORTH = cost(CREDIT, PRICE)
DEADLINE = 60.0
STEP = 0.002
"""Seconds that a block takes."""


class StepClock:
    """The port `Clock`; it moves with the swarm's steps, and when a test says so."""

    ahead = 0.0

    def now(self) -> float:
        return 1000.0 + self.ahead

    def wall(self) -> int:
        return int(1_800_000_000 + self.ahead)


class Wire(MemoryEngine):
    """Records what its node says, and drops what a test wants dropped."""

    def __init__(self, settings: EngineSettings, swarm: MemorySwarm) -> None:
        super().__init__(settings, swarm)
        self.said: list[Message] = []
        self.drop: Callable[[Message], bool] = lambda message: False
        self.before_pledge: Callable[[Net], None] = lambda net: None

    def tell(self, event: EngineEvent) -> None:
        super().tell(event)
        if isinstance(event, PeerHello):
            self.choke(event.peer)  # nothing goes out for nothing while the two come to terms

    def send(self, peer: PeerId, payload: bytes, tag: int = 0) -> None:
        message = decode_message(payload)
        assert message is not None
        if isinstance(message, Net):
            self.before_pledge(message)
        self.said.append(message)
        if not self.drop(message):
            super().send(peer, payload, tag)

    def heard_of(self, kind: type[Message]) -> int:
        return sum(isinstance(message, kind) for message in self.said)


class Swapper:
    """One node. `open` it, and again after `crash`: what is not in the store is forgotten then."""

    def __init__(self, folder: Path, number: int, swarm: MemorySwarm, chain: FakeChain, clock: StepClock) -> None:
        self.folder = folder / str(number)
        self.folder.mkdir(exist_ok=True)
        self.key = PrivateKey(bytes([0x40 + number]) * 32)
        self.host = f"127.0.0.{number}"
        self.swarm, self.chain, self.clock = swarm, chain, clock
        self.faults: list[Exception] = []

    async def open(self) -> None:
        rail = self.chain.rail
        settings = EngineSettings(listen=(f"{self.host}:0",), hello=Hello(1, (rail.id,)).encode())
        self.engine = Wire(settings, self.swarm)
        self.store: SqlStore = await open_store(self.folder / "node.db", None)
        self.vault = VaultView({rail.id: self.chain}, store=self.store, own=self.key.address, now=self.clock.now)
        self.budget = Budget(SpendLimits(), store=self.store, vault=self.vault, clock=self.clock)
        self.payments = Payments(
            PaymentSettings(
                rails={rail.id: rail},
                reserve=PRICE,
                max_price=PRICE,
                credit=CreditPolicy(newcomer=CREDIT, quantum=CREDIT // 4, cap=CREDIT),
            ),
            engine=self.engine,
            store=self.store,
            vault=self.vault,
            budget=self.budget,
            reputations=await Reputations.open(self.store, wall=self.clock.wall),
            key=self.key,
            clock=self.clock,
            nonce=secrets.token_bytes,
        )
        self.vault.on_change = self.payments.coverage_changed
        self.faults = []  # what was before a crash may still find its store closed
        self.payments.report_faults(self.faults.append)
        await self.engine.start()
        await self.vault.refresh()
        self.reader = asyncio.create_task(self._pump())

    async def _pump(self) -> None:
        async for event in self.engine.events():
            self.payments.handle(event)

    async def close(self) -> None:
        """In the daemon's order."""
        await self.payments.close()
        await self.engine.close()
        await self.reader
        await self.payments.carrier.drain()
        await self.store.close()

    async def crash(self) -> None:
        """Nothing is kept but what is durable, or was on its way there."""
        self.reader.cancel()
        await self.engine.close()
        await self.payments.carrier.drain()
        await self.store.close()

    async def add(self, torrent: bytes, data: bytes, pieces: Sequence[int]) -> TorrentId:
        """A torrent of which it has these pieces."""
        info = self.engine.inspect(torrent)
        place = self.folder / info.id
        place.mkdir()
        half = bytearray(len(data))
        for piece in pieces:
            half[piece * PIECE : (piece + 1) * PIECE] = data[piece * PIECE : (piece + 1) * PIECE]
        (place / info.name).write_bytes(half)
        return await self.engine.add(AddTorrent(save_path=place, torrent=torrent))

    # --- what it has -------------------------------------------------------------------------------------------------

    def key_of(self, other: Swapper) -> AccountKey:
        return self.chain.rail.id, other.key.address

    def met(self, other: Swapper) -> bool:
        key, trades = self.key_of(other), self.payments.trades
        return key in trades.sellers and key in trades.buyers

    def position(self, other: Swapper) -> Position:
        trades = self.payments.trades
        buyer, seller = trades.buyers[self.key_of(other)].account, trades.sellers[self.key_of(other)]
        return Position(buyer.owed, buyer.issued, seller.earned - seller.forgiven, seller.accepted)

    async def stored(self, other: Swapper) -> Position:
        """What a restart would find."""
        rail, address = self.key_of(other)
        issued = await self.store.issued(rail, self.key.address, address)
        received = await self.store.received(rail, address, self.key.address)
        assert issued is not None
        assert received is not None
        return Position(issued.owed, issued.cumulative, received.earned - received.forgiven, received.cumulative)

    async def signed(self) -> int:
        return sum(cheque.cumulative for cheque in await self.store.all_issued())

    @property
    def cheques(self) -> int:
        return self.engine.heard_of(ChequeMessage)


class Swap:
    """Two of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.swarm = MemorySwarm()
        self.chain = FakeChain()
        self.clock = StepClock()
        self.one, self.other = (Swapper(folder, n, self.swarm, self.chain, self.clock) for n in (1, 2))

    @property
    def both(self) -> tuple[tuple[Swapper, Swapper], tuple[Swapper, Swapper]]:
        return (self.one, self.other), (self.other, self.one)

    async def open(self) -> None:
        for side, _ in self.both:
            await self._deposit(side.key)
            await side.open()
        self.mover = asyncio.create_task(self._move())

    async def _move(self) -> None:
        """A step of the swarm, then everything that follows from it, so that neither side runs ahead of the other."""
        while True:
            moved = self.swarm.step()
            self.clock.ahead += STEP if moved else 0.0
            for _ in range(3):
                await asyncio.sleep(0)
                for side, _ in self.both:
                    await side.payments.carrier.drain()
            await asyncio.sleep(0 if moved else 0.001)

    async def _deposit(self, key: PrivateKey, amount: int = 10**30) -> None:
        self.chain.fund(key.address, native=10**18, token=amount)
        for call in (self.chain.approve(amount), self.chain.deposit(amount)):
            nonce = await self.chain.next_nonce(key.address)
            fee = await self.chain.estimate(call, key.address)
            await self.chain.broadcast(self.chain.sign(await self.chain.prepare(call, key.address, nonce, fee), key))
            self.chain.mine()

    async def close(self) -> None:
        for side, _ in self.both:
            await side.close()
        self.mover.cancel()

    async def torrent(self, name: str, mebibytes: int, *, first: int) -> TorrentId:
        """`one` has the first `first` mebibytes of it, `other` the rest; both want all. Not connected yet."""
        data = bytes(secrets.token_bytes(mebibytes * MIB))
        source = self.folder / name
        source.write_bytes(data)
        made = await self.one.engine.create(
            CreateTorrent(path=source, piece_length=PIECE, format=TorrentFormat.V1, private=False)
        )
        cut, end = first * MIB // PIECE, mebibytes * MIB // PIECE
        await self.one.add(made, data, range(cut))
        return await self.other.add(made, data, range(cut, end))

    async def connect(self, torrent: TorrentId) -> None:
        """Both have terms with each other on this connection, and serve."""
        await self.one.engine.connect(torrent, *self.other.engine.address)
        await self.until(lambda: all(self._priced(side, torrent) for side, _ in self.both), "terms")
        for side, _ in self.both:
            for trade in side.payments.trades.of_torrent(torrent):
                side.engine.unchoke(trade.peer)

    @staticmethod
    def _priced(side: Swapper, torrent: TorrentId) -> bool:
        return any(
            trade.seller and trade.seller.state is SellerState.PRICED and trade.seller.meter.price
            for trade in side.payments.trades.by_torrent.get(torrent, {}).values()
        )

    def complete(self, torrent: TorrentId) -> bool:
        return all(side.engine.torrents[torrent].complete for side, _ in self.both)

    def settled(self, torrent: TorrentId) -> bool:
        return all(side.payments.due(torrent) == (0, True) for side, _ in self.both)

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Look again until it holds, and see all the while that nobody risks more than the credit it gives."""
        end = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < end, f"not within {DEADLINE:g} s: {what}"
            for side, other in self.both:
                if (
                    side.key_of(other) in side.payments.trades.sellers
                    and side.key_of(other) in side.payments.trades.buyers
                ):
                    assert side.position(other).exposure <= WORTH
            await asyncio.sleep(0.01)

    def later(self, seconds: float) -> None:
        """Time passes, and all timers see it."""
        self.clock.ahead += seconds
        for side, _ in self.both:
            side.payments.tick()
