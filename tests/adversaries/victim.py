"""The honest node that scripted peers try to cheat: a real engine, store, vault view and both halves of the market.

Everything is the node's own but three things that a test must hold in its hands: the chain is in memory, the clock can
be moved, and no other face of the node (API, tracker, DHT) is up.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from node.engine.libtorrent import LibtorrentEngine
from node.ports.engine import AddTorrent, CreateTorrent, EngineSettings, TorrentFormat
from node.ports.events import PieceFailed, TorrentChecked, UploadStalled
from node.ports.store import Store
from node.services.budget import Budget
from node.services.payments import Payments, PaymentSettings
from node.services.reputation import Reputations
from node.services.trades import Trade
from node.services.vault import VaultView
from node.speed.messages import Hello
from node.speed.reputation import Tallies
from node.store import open_store
from tests.adversaries.raw import DEADLINE, RawPeer
from tests.e2e.stage import host_for, make_file
from wallet.address import Address
from wallet.amount import MIB
from wallet.chains.base import Call, Receipt
from wallet.chains.fake import FakeChain
from wallet.keys import PrivateKey
from wallet.limits import SpendLimits

KEY = PrivateKey(b"\x47" * 32)
PRICE = 10**15
"""Units per MiB: the reserve where the victim sells, its highest bid where it buys."""
RICH = 10**30
SIZE = 4 * MIB
PIECE = 256 * 1024
POLL = 0.01


class MovableClock:
    """The port `Clock`; `ahead` seconds are added to the machine's."""

    ahead = 0.0

    def now(self) -> float:
        return time.monotonic() + self.ahead

    def wall(self) -> int:
        return int(time.time() + self.ahead)


@dataclass
class Victim:
    """A node and its loopback address. `data` is the content of the one torrent, which has `PIECE`-long pieces."""

    engine: LibtorrentEngine
    store: Store
    payments: Payments
    vault: VaultView
    reputations: Reputations
    chain: FakeChain
    clock: MovableClock
    host: str
    data: bytes
    info_hash: bytes = b""
    failed: list[int] = field(default_factory=list)
    """Pieces that failed their hash."""
    stalls: dict[tuple[str, int], int] = field(default_factory=dict)
    """Peer's address → the `sent` mark at which its allowance ended."""
    stalled: asyncio.Event = field(default_factory=asyncio.Event)
    """One more entry in `stalls`."""
    guests: list[RawPeer] = field(default_factory=list)

    async def visit(self) -> RawPeer:
        """A raw connection; each guest has an address of its own, all in one /24."""
        local = f"{self.host.rsplit('.', 1)[0]}.{100 + len(self.guests)}"
        self.guests.append(await RawPeer.connect(self.host, self.engine.listen_port, self.info_hash, local))
        return self.guests[-1]

    def trade_of(self, peer: RawPeer) -> Trade:
        """The node's end of this connection."""
        host, port = peer.writer.get_extra_info("sockname")
        (trade,) = (t for t in self.payments.trades.open.values() if (t.host, t.port) == (host, port))
        return trade

    def note_stall(self, trade: Trade, sent: int) -> None:
        """Nothing goes out to this peer until a cheque comes; if the session found more room, it is no stall."""
        if trade.seller is not None and trade.seller.deadline() is not None:
            self.stalls[trade.host, trade.port] = sent
            self.stalled.set()

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Look again until it holds, or fail at the deadline."""
        end = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < end, f"not within {DEADLINE:g} s: {what}"
            await asyncio.sleep(POLL)

    def later(self, seconds: float) -> None:
        """Time passes, and the timers of all sessions see it."""
        self.clock.ahead += seconds
        self.payments.tick()

    # --- what a cheat has cost ---------------------------------------------------------------------------------------

    def unpaid(self) -> int:
        """Units: everything sold on credit that no cheque covers, whoever took it."""
        return sum(account.earned - account.accepted for account in self.payments.trades.sellers.values())

    async def promised(self) -> int:
        """Units: everything this node acknowledges to owe, whether a cheque over it is signed yet or not."""
        owed = sum(book.account.owed for book in self.payments.trades.buyers.values())
        assert sum(cheque.cumulative for cheque in await self.store.all_issued()) <= owed, "signed, but not owed"
        return owed

    def memory(self) -> Tallies:
        """What the node remembers of the one it traded with."""
        (standing,) = self.reputations.standings()
        return standing.tallies

    # --- the chain ---------------------------------------------------------------------------------------------------

    async def act(self, key: PrivateKey, call: Call) -> Receipt:
        """A transaction of somebody, in the next block."""
        self.chain.fund(key.address, native=10**18)
        nonce = await self.chain.next_nonce(key.address)
        fee = await self.chain.estimate(call, key.address)
        signed = self.chain.sign(await self.chain.prepare(call, key.address, nonce, fee), key)
        await self.chain.broadcast(signed)
        self.chain.mine()
        receipt = await self.chain.receipt(signed.hash)
        assert receipt is not None
        return receipt

    async def deposit(self, key: PrivateKey, amount: int = RICH) -> None:
        self.chain.fund(key.address, token=amount)
        await self.act(key, self.chain.approve(amount))
        await self.act(key, self.chain.deposit(amount))

    async def chain_speaks(self, payer: Address) -> None:
        """The news that this payer's deposit is not what it was."""
        await self.vault.look_again(self.chain.rail.id, [payer])


@asynccontextmanager
async def victim(folder: Path, worker: str, *, sells: bool) -> AsyncIterator[Victim]:
    """A seeder that only sells, or a leecher that only buys and has a deposit."""
    host = host_for(worker, 20 if sells else 21)
    data = make_file(folder / "share" / "f.bin", SIZE, 5)
    chain, clock = FakeChain(), MovableClock()
    rail = chain.rail
    engine = LibtorrentEngine(
        EngineSettings(
            listen=(f"{host}:0",),
            dht=False,
            local_discovery=False,
            port_mapping=False,
            utp=False,
            encryption=False,
            hello=Hello(1, (rail.id,)).encode(),
        )
    )
    store = await open_store(folder / "node.db", folder / "mark")
    vault = VaultView({rail.id: chain}, store=store, own=KEY.address, now=clock.now)
    reputations = await Reputations.open(store, wall=clock.wall)
    payments = Payments(
        PaymentSettings(
            rails={rail.id: rail}, sell=sells, buy=not sells, reserve=PRICE if sells else 0, max_price=PRICE
        ),
        engine=engine,
        store=store,
        vault=vault,
        budget=Budget(SpendLimits(), store=store, vault=vault, clock=clock),
        reputations=reputations,
        key=KEY,
        clock=clock,
        nonce=secrets.token_bytes,
    )
    vault.on_change = payments.coverage_changed
    reputations.on_barred = payments.barred
    made = Victim(engine, store, payments, vault, reputations, chain, clock, host, data)
    local_faults: list[Exception] = []
    payments.report_faults(local_faults.append)
    checked = asyncio.Event()

    async def pump() -> None:
        async for event in engine.events():
            payments.handle(event)
            match event:
                case TorrentChecked():
                    checked.set()
                case UploadStalled(peer, sent):
                    made.note_stall(payments.trades.open[peer], sent)
                case PieceFailed(_, piece):
                    made.failed.append(piece)

    await engine.start()
    reader = asyncio.create_task(pump())
    try:
        if not sells:
            await made.deposit(KEY)
            await vault.refresh()
        torrent = await engine.create(
            CreateTorrent(path=folder / "share" / "f.bin", piece_length=PIECE, format=TorrentFormat.V1)
        )
        place = folder / ("share" if sells else "downloads")
        place.mkdir(exist_ok=True)
        name = await engine.add(AddTorrent(save_path=place, torrent=torrent, seed_mode=sells))
        made.info_hash = bytes.fromhex(name)
        async with asyncio.timeout(DEADLINE):
            await checked.wait()  # libtorrent hangs up on those who come earlier
        yield made
        assert local_faults == [], "no cheat is a fault of ours"
    finally:
        for guest in made.guests:
            await guest.close()
        await payments.close()
        await engine.close()
        await reader
        await payments.carrier.drain()  # accounts of the connections that ended with the engine
        await store.close()
