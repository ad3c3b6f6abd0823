"""A hostile peer over a real socket: whatever it says, the seller goes on serving others and credits nothing."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from node.bencode import encode
from node.daemon import SystemClock
from node.engine.libtorrent import LibtorrentEngine
from node.ports.engine import AddTorrent, CreateTorrent, EngineSettings, TorrentChecked
from node.ports.store import Store
from node.services.budget import Budget
from node.services.payments import Payments, PaymentSettings
from node.services.vault import VaultView
from node.speed.errors import StopCode
from node.speed.messages import Ask, Bid, ChequeMessage, Clear, Hello, Message, Receipt, Stop, encode_message
from node.speed.seller import MAX_USELESS
from node.store import open_store
from tests.adversaries.raw import RawPeer
from tests.e2e.stage import host_for, make_file
from wallet.address import Address
from wallet.amount import BTT
from wallet.cheque import Cheque, Rail, bid_digest, sign_cheque
from wallet.keys import PrivateKey
from wallet.limits import SpendLimits

RAIL = Rail("eip155:199", 199, Address(b"\x8d" * 20), BTT)
SELLER = PrivateKey(b"\x47" * 32)
ATTACKER = PrivateKey(b"\x46" * 32)
VICTIM = PrivateKey(b"\x48" * 32)
PRICE = 10**15
HELLO = {"rails": [RAIL.id], "v": 1}
LATER = 4_000_000_000


class RichVaults:
    """A chain on which everybody is covered: what is tested here is the socket."""

    funds = 10**30
    fault = None

    async def coverage(self, rail: str, payer: Address) -> tuple[int, int]:
        return 10**30, 0

    def issued(self, rail: str, amount: int) -> None:
        pass


@dataclass
class Shop:
    """A seller with an engine, a real store, and no faces."""

    engine: LibtorrentEngine
    store: Store
    payments: Payments
    host: str
    info_hash: bytes
    guests: int = 0

    async def visit(self) -> RawPeer:
        """A raw connection from an address of its own."""
        self.guests += 1
        local = f"{self.host.rsplit('.', 1)[0]}.{100 + self.guests}"
        return await RawPeer.connect(self.host, self.engine.listen_port, self.info_hash, local)

    async def guest(self) -> tuple[RawPeer, Ask]:
        """A raw peer that has greeted and heard the ask."""
        peer = await self.visit()
        peer.greet(HELLO)
        ask = await peer.hear()
        assert isinstance(ask, Ask)
        return peer, ask

    async def still_sells(self) -> None:
        """An honest newcomer is asked, bids, and hears a price."""
        peer, ask = await self.guest()
        honest = PrivateKey(secrets.token_bytes(32))
        peer.say(encode_message(bid(ask, honest)))
        heard: list[Message | None] = []
        while not isinstance(heard[-1] if heard else None, Clear):
            heard.append(await peer.hear())
            assert heard[-1] is not None, heard
        assert isinstance(heard[-1], Clear)
        assert heard[-1].price == PRICE
        await peer.close()


@asynccontextmanager
async def shop(folder: Path, worker: str) -> AsyncIterator[Shop]:
    host = host_for(worker, 20)
    make_file(folder / "share" / "f.bin", 300_000, 5)
    engine = LibtorrentEngine(
        EngineSettings(
            listen=(f"{host}:0",),
            dht=False,
            local_discovery=False,
            port_mapping=False,
            utp=False,
            hello=Hello(1, (RAIL.id,)).encode(),
        )
    )
    store = await open_store(folder / "node.db", folder / "mark")
    clock = SystemClock()
    vault = cast("VaultView", RichVaults())
    payments = Payments(
        PaymentSettings(rails={RAIL.id: RAIL}, reserve=PRICE, buy=False),
        engine=engine,
        store=store,
        vault=vault,
        budget=Budget(SpendLimits(), store=store, vault=vault, clock=clock),
        key=SELLER,
        clock=clock,
        nonce=secrets.token_bytes,
    )
    await engine.start()

    checked = asyncio.Event()

    async def pump() -> None:
        async for event in engine.events():
            payments.handle(event)
            if isinstance(event, TorrentChecked):
                checked.set()

    reader = asyncio.create_task(pump())
    torrent = await engine.create(CreateTorrent(path=folder / "share" / "f.bin"))
    name = await engine.add(AddTorrent(save_path=folder / "share", torrent=torrent, seed_mode=True))
    async with asyncio.timeout(20):
        await checked.wait()  # libtorrent hangs up on those who come earlier
    made = Shop(engine, store, payments, host, bytes.fromhex(name))
    try:
        yield made
        await made.still_sells()
        assert all(account.earned == 0 for account in payments.trades.sellers.values())
    finally:
        await payments.close()
        await engine.close()
        await reader
        await store.close()


def bid(ask: Ask, key: PrivateKey, *, nonce: bytes | None = None) -> Bid:
    digest = bid_digest(RAIL, key.address, ask.payee, PRICE, ask.nonce if nonce is None else nonce)
    return Bid(RAIL.id, key.address, PRICE, 0, LATER, None, key.sign_digest(digest))


async def heard_stop(peer: RawPeer) -> StopCode | None:
    """The code of the stop that comes before the node hangs up."""
    code = None
    while (message := await peer.hear()) is not None:
        if isinstance(message, Stop):
            code = message.code
    return code


@pytest.mark.parametrize(
    "body",
    [b"", b"garbage", b"d1:t3:bide", b"i5e", b"d" + b"1:a" * 20_000, b"l" * 5000, encode({"t": "clear", "price": -1})],
    ids=["empty", "garbage", "missing fields", "no dictionary", "many items", "deep", "out of range"],
)
async def test_a_malformed_message_ends_the_connection(tmp_path: Path, worker_id: str, body: bytes) -> None:
    async with shop(tmp_path, worker_id) as made:
        peer, _ = await made.guest()
        peer.say(body)
        assert await heard_stop(peer) in (StopCode.MALFORMED, None)
        await peer.close()


async def test_an_oversized_message_ends_the_connection(tmp_path: Path, worker_id: str) -> None:
    async with shop(tmp_path, worker_id) as made:
        peer, _ = await made.guest()
        peer.say(b"x" * 70_000)
        assert await peer.hung_up()
        await peer.close()


async def test_a_message_that_stops_in_the_middle_harms_nobody(tmp_path: Path, worker_id: str) -> None:
    async with shop(tmp_path, worker_id) as made:
        peer, _ = await made.guest()
        peer.writer.write((30_000).to_bytes(4, "big") + bytes((20, peer.btt_id)) + b"d1:t")
        await peer.writer.drain()
        await made.still_sells()
        await peer.close()


async def test_a_giant_or_senseless_greeting_makes_an_ordinary_peer(tmp_path: Path, worker_id: str) -> None:
    async with shop(tmp_path, worker_id) as made:
        for greeting in ("x" * 20_000, {"v": -1, "rails": []}, 7):
            peer = await made.visit()
            peer.greet(greeting)
            await peer.writer.drain()
            await peer.close()


async def test_messages_before_the_greeting_are_ignored(tmp_path: Path, worker_id: str) -> None:
    async with shop(tmp_path, worker_id) as made:
        peer = await made.visit()
        for _ in range(10):
            peer.extended(40, encode_message(Clear(1, 0, 1)))
        peer.greet(HELLO)
        assert isinstance(await peer.hear(), Ask)
        await peer.close()


async def test_a_flood_of_messages_is_bounded(tmp_path: Path, worker_id: str) -> None:
    async with shop(tmp_path, worker_id) as made:
        peer, _ = await made.guest()
        unknown = encode({"t": "noise", "x": "y" * 60_000})
        try:
            for _ in range(200):
                peer.say(unknown)
                await peer.writer.drain()
        except ConnectionError:
            pass
        await made.still_sells()
        await peer.close()


async def test_a_bid_in_another_name_is_refused(tmp_path: Path, worker_id: str) -> None:
    async with shop(tmp_path, worker_id) as made:
        peer, ask = await made.guest()
        mine = bid(ask, ATTACKER)
        peer.say(encode_message(Bid(mine.rail, VICTIM.address, PRICE, 0, LATER, None, mine.signature)))
        assert await heard_stop(peer) is StopCode.BAD_SIGNATURE
        await peer.close()


async def test_a_bid_recorded_on_one_connection_is_worthless_on_another(tmp_path: Path, worker_id: str) -> None:
    async with shop(tmp_path, worker_id) as made:
        first, ask = await made.guest()
        recorded = encode_message(bid(ask, VICTIM))
        await first.close()
        second, other = await made.guest()
        assert other.nonce != ask.nonce
        second.say(recorded)
        assert await heard_stop(second) is StopCode.BAD_SIGNATURE
        await second.close()


async def test_a_forged_cheque_is_not_counted(tmp_path: Path, worker_id: str) -> None:
    async with shop(tmp_path, worker_id) as made:
        peer, ask = await made.guest()
        peer.say(encode_message(bid(ask, ATTACKER)))
        forged = sign_cheque(RAIL, Cheque(ATTACKER.address, SELLER.address, 10**18), VICTIM)
        while not isinstance(await peer.hear(), Receipt):
            pass
        peer.say(encode_message(ChequeMessage(RAIL.id, ATTACKER.address, 10**18, forged.signature)))
        assert await heard_stop(peer) is StopCode.BAD_SIGNATURE
        assert await made.store.all_received() == []
        await peer.close()


async def test_one_cheque_sent_many_times_counts_once_and_ends_the_connection(tmp_path: Path, worker_id: str) -> None:
    async with shop(tmp_path, worker_id) as made:
        peer, ask = await made.guest()
        peer.say(encode_message(bid(ask, ATTACKER)))
        while not isinstance(await peer.hear(), Receipt):
            pass
        signed = sign_cheque(RAIL, Cheque(ATTACKER.address, SELLER.address, 5), ATTACKER)
        message = encode_message(ChequeMessage(RAIL.id, ATTACKER.address, 5, signed.signature))
        peer.say(message)
        while not (isinstance(receipt := await peer.hear(), Receipt) and receipt.cumulative == 5):
            assert receipt is not None
        for _ in range(MAX_USELESS + 1):
            peer.say(message)
            # One at a time: a burst would be cut off by the engine's own bound already.
            if await peer.hear() is None:
                break
        assert await peer.hung_up()
        (held,) = await made.store.all_received()
        assert held.cumulative == 5
        await peer.close()
