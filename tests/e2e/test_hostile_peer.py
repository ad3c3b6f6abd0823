"""A hostile peer over a real socket: whatever it says, the seller goes on serving others and credits nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from node.bencode import encode
from node.speed.errors import StopCode
from node.speed.messages import Ask, Clear, Message, Stop, encode_message
from tests.adversaries.buyers import fresh_key, signed_bid
from tests.adversaries.raw import RawPeer
from tests.adversaries.victim import PRICE, Victim, victim
from wallet.chains.fake import FakeChain

RAIL = FakeChain().rail
HELLO = {"rails": [RAIL.id], "v": 1}


async def guest(seller: Victim) -> tuple[RawPeer, Ask]:
    """A raw peer that has greeted and heard the ask."""
    peer = await seller.visit()
    peer.greet(HELLO)
    ask = await peer.hear()
    assert isinstance(ask, Ask)
    return peer, ask


async def still_sells(seller: Victim) -> None:
    """An honest newcomer is asked, bids, hears a price, and leaves its network's credit to the next."""
    peer, ask = await guest(seller)
    honest = fresh_key()
    await seller.deposit(honest)
    peer.tell(signed_bid(ask, RAIL, honest))
    heard: list[Message | None] = []
    while not isinstance(heard[-1] if heard else None, Clear):
        heard.append(await peer.hear())
        assert heard[-1] is not None, heard
    assert isinstance(heard[-1], Clear)
    assert heard[-1].price == PRICE
    peer.writer.close()


@asynccontextmanager
async def shop(folder: Path, worker: str) -> AsyncIterator[Victim]:
    """A seller that goes on selling, and has sold nothing, when the test is over."""
    async with victim(folder, worker, sells=True) as seller:
        yield seller
        await still_sells(seller)
        assert all(account.earned == 0 for account in seller.payments.trades.sellers.values())


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
        peer, _ = await guest(made)
        peer.say(body)
        assert await heard_stop(peer) in (StopCode.MALFORMED, None)


async def test_an_oversized_message_ends_the_connection(tmp_path: Path, worker_id: str) -> None:
    async with shop(tmp_path, worker_id) as made:
        peer, _ = await guest(made)
        peer.say(b"x" * 70_000)
        assert await peer.hung_up()


async def test_a_message_that_stops_in_the_middle_harms_nobody(tmp_path: Path, worker_id: str) -> None:
    async with shop(tmp_path, worker_id) as made:
        peer, _ = await guest(made)
        peer.writer.write((30_000).to_bytes(4, "big") + bytes((20, peer.btt_id)) + b"d1:t")
        await peer.writer.drain()
        await still_sells(made)


async def test_a_giant_or_senseless_greeting_makes_an_ordinary_peer(tmp_path: Path, worker_id: str) -> None:
    async with shop(tmp_path, worker_id) as made:
        for greeting in ("x" * 20_000, {"v": -1, "rails": []}, 7):
            peer = await made.visit()
            peer.greet(greeting)
            await peer.writer.drain()


async def test_messages_before_the_greeting_are_ignored(tmp_path: Path, worker_id: str) -> None:
    async with shop(tmp_path, worker_id) as made:
        peer = await made.visit()
        for _ in range(10):
            peer.extended(40, encode_message(Clear(1, 0, 1)))
        peer.greet(HELLO)
        assert isinstance(await peer.hear(), Ask)


async def test_a_flood_of_messages_is_bounded(tmp_path: Path, worker_id: str) -> None:
    async with shop(tmp_path, worker_id) as made:
        peer, _ = await guest(made)
        unknown = encode({"t": "noise", "x": "y" * 60_000})
        try:
            for _ in range(200):
                peer.say(unknown)
                await peer.writer.drain()
        except ConnectionError:
            pass
        await still_sells(made)
