"""A BitTorrent peer made of a raw socket, for saying what no proper client would say (BEP 3, BEP 10)."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from node.bencode import decode, encode
from node.speed.messages import Message, decode_message, encode_message

OUR_ID = 7
"""The id under which we want to receive `btt_speed` messages."""
DEADLINE = 20.0
EXTENDED = 20


class Plain(IntEnum):
    """The messages of BEP 3 that matter here, by number."""

    CHOKE = 0
    UNCHOKE = 1
    INTERESTED = 2
    BITFIELD = 5
    REQUEST = 6
    PIECE = 7


@dataclass(frozen=True, slots=True)
class Block:
    """A `piece` message."""

    piece: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Request:
    """The node wants a block."""

    piece: int
    offset: int
    length: int


Heard = Message | Block | Request | Plain


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
        writer.write(b"\x13BitTorrent protocol" + bytes(reserved) + info_hash + b"-XX0000-" + secrets.token_bytes(12))
        peer = cls(reader, writer)
        async with asyncio.timeout(DEADLINE):
            await reader.readexactly(68)
        return peer

    # --- saying ------------------------------------------------------------------------------------------------------

    def frame(self, payload: bytes) -> None:
        self.writer.write(struct.pack(">I", len(payload)) + payload)

    def plain(self, kind: Plain, body: bytes = b"") -> None:
        self.frame(bytes((kind,)) + body)

    def extended(self, number: int, body: bytes) -> None:
        self.frame(bytes((EXTENDED, number)) + body)

    def greet(self, btt: Any, *, number: int = OUR_ID) -> None:
        """The extension handshake; `btt` is the value of that key."""
        self.extended(0, encode({"m": {"btt_speed": number}, "btt": btt, "v": "raw"}))

    def say(self, body: bytes) -> None:
        """A `btt_speed` message with this body."""
        self.extended(self.btt_id, body)

    def tell(self, message: Message) -> None:
        self.say(encode_message(message))

    def request(self, piece: int, offset: int, length: int) -> None:
        self.plain(Plain.REQUEST, struct.pack(">III", piece, offset, length))

    def block(self, piece: int, offset: int, data: bytes) -> None:
        self.plain(Plain.PIECE, struct.pack(">II", piece, offset) + data)

    # --- hearing -----------------------------------------------------------------------------------------------------

    async def frames(self) -> bytes | None:
        """The next message's payload, or None when the node has hung up."""
        try:
            (length,) = struct.unpack(">I", await self.reader.readexactly(4))
            return await self.reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def next(self) -> Heard | None:
        """The next message of any kind that matters here, or None when the node has hung up."""
        async with asyncio.timeout(DEADLINE):
            while (payload := await self.frames()) is not None:
                if (heard := self._parse(payload)) is not None:
                    return heard
        return None

    async def hear(self) -> Message | None:
        """The next `btt_speed` message, or None when the node has hung up."""
        while isinstance(heard := await self.next(), Block | Request | Plain):
            pass
        return heard

    async def hung_up(self) -> bool:
        """Waits until the node closes the connection."""
        while await self.next() is not None:
            pass
        return True

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()

    def _parse(self, payload: bytes) -> Heard | None:
        match payload[:1]:
            case b"":
                return None
            case b"\x14" if payload[1] == 0:
                self.btt_id = decode(payload[2:]).get(b"m", {}).get(b"btt_speed", 0)
                return None
            case b"\x14":
                return decode_message(payload[2:]) if payload[1] == OUR_ID else None
            case b"\x06":
                return Request(*struct.unpack(">III", payload[1:]))
            case b"\x07":
                piece, offset = struct.unpack(">II", payload[1:9])
                return Block(piece, offset, payload[9:])
        return Plain(payload[0]) if payload[0] in (Plain.CHOKE, Plain.UNCHOKE, Plain.INTERESTED) else None
