"""Many light peers in one process: `python -m tests.bench.payers SPEC`, SPEC being `Crowd` as JSON.

Each is a real socket with an address in a /24 network of its own, speaks BitTorrent and `btt_speed`, and asks for one
block after the other. A payer bids, pays by the same rule as the node's buyer (a cheque per quantum, earlier while the
credit is small), and renews its bid at another price now and then. What comes is counted and thrown away: these are
not what is measured.

Each line on standard input is answered by one JSON line: bytes received by all, how many are served, and how many are
served at a price. The end of input ends the process.
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import struct
import sys
import time
from dataclasses import dataclass
from typing import Any

from node.bencode import decode, encode
from node.speed.messages import Ask, Bid, ChequeMessage, Clear, Receipt, decode_message, encode_message
from node.speed.meter import Meter
from tests.adversaries.raw import EXTENDED, OUR_ID, Plain
from wallet.address import Address
from wallet.amount import cost
from wallet.cheque import Cheque, Rail, bid_digest, sign_cheque
from wallet.keys import PrivateKey

BLOCK = 16 * 1024
PIPELINE = 32
"""Blocks asked for at a time."""
REFILL = PIPELINE // 2
FIRST_KEY = 3000
HANDSHAKE = 68
NETWORK = 10
"""The peers have the addresses 127.NETWORK.n.1."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """Who comes where. Prices in units per MiB, rates in bytes per second; `rebid` in seconds."""

    count: int
    pays: bool
    host: str
    port: int
    info_hash: str
    size: int
    piece: int
    chain_id: int
    vault: str
    rail: str
    lowest: int
    highest: int
    wanted: int
    rebid: float


def payer_key(index: int) -> PrivateKey:
    """The key of the payer with this index; its deposit has to be in the vault."""
    return PrivateKey((FIRST_KEY + index).to_bytes(32, "big"))


class Peer(asyncio.Protocol):
    """One connection; the index decides key, address and dice."""

    def __init__(self, crowd: Crowd, index: int) -> None:
        self.received = 0
        self.choked = True
        self.meter = Meter()
        self._crowd = crowd
        self._key = payer_key(index)
        self._dice = random.Random(index)
        self._rail = Rail(crowd.rail, crowd.chain_id, Address.parse(crowd.vault))
        self._wanted = crowd.wanted * self._dice.randint(500, 1500) // 1000
        self._next = self._dice.randrange(crowd.size // BLOCK) * BLOCK
        self._asked = 0
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._greeted = False
        self._btt_id = 0
        self._ask: Ask | None = None
        self._credit = 0
        self._paid = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        reserved = b"\0\0\0\0\0\x10\0\0"
        name = b"-XX0000-" + secrets.token_bytes(12)
        transport.write(b"\x13BitTorrent protocol" + reserved + bytes.fromhex(self._crowd.info_hash) + name)
        btt = {"rails": [self._rail.id], "v": 1}
        self._extended(0, encode({"m": {"btt_speed": OUR_ID}, "btt": btt, "v": "light"}))
        self._frame(bytes((Plain.INTERESTED,)))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.choked = True

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._greeted:
            if len(self._buffer) < HANDSHAKE:
                return
            self._greeted = True
            del self._buffer[:HANDSHAKE]
        self._frames()
        self._pay()
        self._request()

    def renew(self) -> None:
        """Bid, at another price than before."""
        ask = self._ask
        if ask is None or self._transport is None:
            return
        price = self._dice.randint(self._crowd.lowest, self._crowd.highest)
        digest = bid_digest(self._rail, self._key.address, ask.payee, price, ask.nonce)
        until = int(time.time()) + 3600
        signature = self._key.sign_digest(digest)
        bid = Bid(self._rail.id, self._key.address, price, self._wanted, until, None, signature)
        self._extended(self._btt_id, encode_message(bid))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _frames(self) -> None:
        """Take the whole messages out of the buffer; blocks are only counted."""
        start, buffer = 0, self._buffer
        while len(buffer) - start > 4:
            (length,) = struct.unpack_from(">I", buffer, start)
            if len(buffer) - start - 4 < length:
                break
            if length and buffer[start + 4] == Plain.PIECE:
                self._block(length - 9)
            elif length:
                self._take(bytes(buffer[start + 4 : start + 4 + length]))
            start += 4 + length
        del buffer[:start]

    def _block(self, length: int) -> None:
        self.received += length
        self._asked -= 1
        self.meter.advance(self.meter.mark + length)

    def _take(self, payload: bytes) -> None:
        match payload[0]:
            case Plain.UNCHOKE:
                self.choked, self._asked = False, 0
            case Plain.CHOKE:
                self.choked = True
            case 20 if payload[1] == 0:
                self._btt_id = decode(payload[2:]).get(b"m", {}).get(b"btt_speed", 0)
            case 20 if payload[1] == OUR_ID:
                self._hear(decode_message(payload[2:]))
            case _:
                pass

    def _hear(self, message: Any) -> None:
        match message:
            case Ask() as ask:
                self._ask, self._credit = ask, ask.credit
                if self._crowd.pays:
                    self.renew()
            case Clear() as clear:
                self.meter.set_price(clear.price, self.meter.mark)
            case Receipt() as receipt:
                self._credit = receipt.credit
            case _:
                pass

    def _pay(self) -> None:
        ask, price = self._ask, self.meter.price
        due = self.meter.amount - self._paid
        if ask is None or due <= 0:
            return
        if price and due < min(cost(ask.quantum, price), cost(self._credit, price) * 3 // 4):
            return
        self._paid = self.meter.amount
        signed = sign_cheque(self._rail, Cheque(self._key.address, ask.payee, self._paid), self._key)
        message = ChequeMessage(self._rail.id, self._key.address, self._paid, signed.signature)
        self._extended(self._btt_id, encode_message(message))

    def _request(self) -> None:
        if self.choked or self._transport is None or self._asked > PIPELINE - REFILL:
            return
        frames = []
        for _ in range(PIPELINE - self._asked):
            piece, offset = divmod(self._next, self._crowd.piece)
            frames.append(struct.pack(">IBIII", 13, Plain.REQUEST, piece, offset, BLOCK))
            self._next = (self._next + BLOCK) % self._crowd.size
        self._asked = PIPELINE
        self._transport.write(b"".join(frames))

    def _extended(self, number: int, body: bytes) -> None:
        self._frame(bytes((EXTENDED, number)) + body)

    def _frame(self, payload: bytes) -> None:
        if self._transport is not None:
            self._transport.write(struct.pack(">I", len(payload)) + payload)


async def _rebid(crowd: Crowd, peers: list[Peer]) -> None:
    """One after the other, so that each has its turn every `rebid` seconds."""
    while True:
        for peer in peers:
            await asyncio.sleep(crowd.rebid / len(peers))
            peer.renew()


async def _serve(crowd: Crowd) -> None:
    loop = asyncio.get_running_loop()
    peers = [Peer(crowd, index) for index in range(crowd.count)]
    for index, peer in enumerate(peers):
        address = (f"127.{NETWORK}.{index}.1", 0)
        await loop.create_connection(lambda peer=peer: peer, crowd.host, crowd.port, local_addr=address)  # type: ignore[misc]
    rebids = asyncio.create_task(_rebid(crowd, peers)) if crowd.pays else None
    while await loop.run_in_executor(None, sys.stdin.readline):
        figures = {
            "received": sum(peer.received for peer in peers),
            "served": sum(not peer.choked for peer in peers),
            "priced": sum(peer.meter.price > 0 for peer in peers),
            "paid": sum(peer.meter.bytes for peer in peers),
        }
        print(json.dumps(figures), flush=True)
    if rebids is not None:
        rebids.cancel()
    for peer in peers:
        peer.close()


if __name__ == "__main__":
    asyncio.run(_serve(Crowd(**json.loads(sys.argv[1]))))
