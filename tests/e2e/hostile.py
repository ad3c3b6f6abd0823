"""A BitTorrent peer made of a raw socket, for saying what no proper client would say (BEP 3, BEP 10)."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from dataclasses import dataclass
from typing import Any

from node.bencode import decode, encode
from node.speed.messages import Message, decode_message

OUR_ID = 7
"""The id under which we want to receive `btt_speed` messages."""
DEADLINE = 20.0


@dataclass
class RawPeer:
    """One connection. `btt_id` is the id the node wants to receive `btt_speed` under."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    btt_id: int = 0

    @classmethod
    async def connect(cls, host: str, port: int, info_hash: bytes, local: str) -> RawPeer:
        """TCP and the BitTorrent handshake, with the extension bit set."""
        reader, writer = await asyncio.open_connection(host, port, local_addr=(local, 0))
        reserved = bytearray(8)
        reserved[5] |= 0x10
        writer.write(b"\x13BitTorrent protocol" + bytes(reserved) + info_hash + b"-XX0000-" + bytes(12))
        peer = cls(reader, writer)
        async with asyncio.timeout(DEADLINE):
            await reader.readexactly(68)
        return peer

    def frame(self, payload: bytes) -> None:
        self.writer.write(struct.pack(">I", len(payload)) + payload)

    def extended(self, number: int, body: bytes) -> None:
        self.frame(bytes((20, number)) + body)

    def greet(self, btt: Any, *, number: int = OUR_ID) -> None:
        """The extension handshake; `btt` is the value of that key."""
        self.extended(0, encode({"m": {"btt_speed": number}, "btt": btt, "v": "raw"}))

    def say(self, body: bytes) -> None:
        """A `btt_speed` message with this body."""
        self.extended(self.btt_id, body)

    async def frames(self) -> bytes | None:
        """The next message's payload, or None when the node has hung up."""
        try:
            (length,) = struct.unpack(">I", await self.reader.readexactly(4))
            return await self.reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def hear(self) -> Message | None:
        """The next `btt_speed` message, or None when the node has hung up."""
        async with asyncio.timeout(DEADLINE):
            while True:
                payload = await self.frames()
                if payload is None:
                    return None
                if payload[:2] == b"\x14\x00":
                    handshake = decode(payload[2:])
                    self.btt_id = handshake.get(b"m", {}).get(b"btt_speed", 0)
                elif payload[:2] == bytes((20, OUR_ID)):
                    message = decode_message(payload[2:])
                    if message is not None:
                        return message

    async def hung_up(self) -> bool:
        """Waits until the node closes the connection."""
        while await self.hear() is not None:
            pass
        return True

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()
