"""The `btt_speed` wire format, version 1: bencoded dictionaries inside a BEP 10 extension message.

Each message is one dictionary with the key `t` (its type). Unknown keys and unknown types are ignored, so that later
versions can add to the protocol; known keys must have the right type and range, or the whole message is malformed.
A body has at most 64 KiB (`node.ports.engine.MAX_EXTENSION_MESSAGE`), eight levels and 512 items.

| t         | from   | fields                                                                   |
|-----------|--------|--------------------------------------------------------------------------|
| `ask`     | seller | payee, nonce, rails [{id, vault}], reserve, credit, quantum, until       |
| `bid`     | buyer  | rail, payer, price, rate, until, max (optional), sig                     |
| `clear`   | seller | price, rate, round, bid (which one it answers)                            |
| `cheque`  | buyer  | rail, payer, cum, sig                                                    |
| `receipt` | seller | rail, cum, sig (of that cheque, optional), mark, bytes, amount, credit   |
| `stop`    | both   | code, text                                                               |
| `net`     | both   | rail, set, n, re: a pledge to leave mutual debt unpaid (`wallet.netting`) |

Addresses are 20 raw bytes, signatures 65 raw bytes (r, s, v with v 27 or 28), prices are token units per MiB, amounts
token units, sizes bytes, rates bytes per second, times Unix seconds.

A bid is signed (EIP-712 type `Bid` over payer, payee, price and the nonce of the ask), so that nobody can use up
another payer's credit. A receipt carries the payer's own signature back, so that a payer whose database is older than
its cheques learns the truth from proof, not from the seller's word.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from node.bencode import BencodeError, decode, encode
from node.speed.errors import MessageError, StopCode
from wallet.address import Address

VERSION = 1
MAX_MESSAGE = 64 * 1024
MAX_DEPTH = 8
MAX_ITEMS = 512
MAX_RAILS = 16
MAX_RAIL_ID = 96
MAX_TEXT = 200
NONCE_BYTES = 32
SIGNATURE_BYTES = 65
UINT256 = 2**256 - 1
UINT63 = 2**63 - 1

Wire = dict[bytes, Any]


@dataclass(frozen=True, slots=True)
class Hello:
    """Value of the `btt` key in the BEP 10 handshake: protocol version and rails this node can settle on."""

    version: int
    rails: tuple[str, ...]

    def encode(self) -> bytes:
        """Bencoded dictionary `{rails, v}`."""
        return encode({b"rails": [rail.encode() for rail in self.rails], b"v": self.version})

    @classmethod
    def decode(cls, data: bytes) -> Hello:
        """Raises `MessageError`."""
        body = _body(data)
        rails = _list(body, b"rails", MAX_RAILS)
        return cls(_int(body, b"v", UINT63), tuple(_rail_id(rail) for rail in rails))


@dataclass(frozen=True, slots=True)
class RailOffer:
    """A rail the seller accepts: CAIP-2 id and the vault contract there."""

    id: str
    vault: Address


@dataclass(frozen=True, slots=True)
class Ask:
    """The seller's terms. `nonce` is new for each connection and is what a bid signs."""

    payee: Address
    nonce: bytes
    rails: tuple[RailOffer, ...]
    reserve: int
    credit: int
    quantum: int
    until: int
    type: ClassVar[bytes] = b"ask"

    def body(self) -> Wire:
        return {
            b"credit": self.credit,
            b"nonce": self.nonce,
            b"payee": bytes(self.payee),
            b"quantum": self.quantum,
            b"rails": [{b"id": rail.id.encode(), b"vault": bytes(rail.vault)} for rail in self.rails],
            b"reserve": self.reserve,
            b"until": self.until,
        }

    @classmethod
    def parse(cls, body: Wire) -> Ask:
        rails = []
        for item in _list(body, b"rails", MAX_RAILS):
            if not isinstance(item, dict):
                raise MessageError("ask: a rail is not a dictionary")
            rails.append(RailOffer(_rail_id(item.get(b"id")), _address(item, b"vault")))
        return cls(
            payee=_address(body, b"payee"),
            nonce=_bytes(body, b"nonce", NONCE_BYTES),
            rails=tuple(rails),
            reserve=_int(body, b"reserve", UINT256),
            credit=_int(body, b"credit", UINT63),
            quantum=_int(body, b"quantum", UINT63, least=1),
            until=_int(body, b"until", UINT63),
        )


@dataclass(frozen=True, slots=True)
class Bid:
    """The buyer's offer. `ceiling` (wire key `max`) is the most this connection may cost; None = no such bound."""

    rail: str
    payer: Address
    price: int
    rate: int
    until: int
    ceiling: int | None
    signature: bytes
    type: ClassVar[bytes] = b"bid"

    def body(self) -> Wire:
        body: Wire = {
            b"payer": bytes(self.payer),
            b"price": self.price,
            b"rail": self.rail.encode(),
            b"rate": self.rate,
            b"sig": self.signature,
            b"until": self.until,
        }
        if self.ceiling is not None:
            body[b"max"] = self.ceiling
        return body

    @classmethod
    def parse(cls, body: Wire) -> Bid:
        return cls(
            rail=_rail_id(body.get(b"rail")),
            payer=_address(body, b"payer"),
            price=_int(body, b"price", UINT256),
            rate=_int(body, b"rate", UINT63),
            until=_int(body, b"until", UINT63),
            ceiling=_int(body, b"max", UINT256) if b"max" in body else None,
            signature=_bytes(body, b"sig", SIGNATURE_BYTES),
        )


@dataclass(frozen=True, slots=True)
class Clear:
    """From this mark of the stream on, blocks cost `price`. Price 0: free service. `rate` 0: no rate granted.

    `bid`: how many bids the seller has read on this connection, so that the buyer knows which of them it answers.
    """

    price: int
    rate: int
    round: int
    bid: int = 0
    type: ClassVar[bytes] = b"clear"

    def body(self) -> Wire:
        return {b"bid": self.bid, b"price": self.price, b"rate": self.rate, b"round": self.round}

    @classmethod
    def parse(cls, body: Wire) -> Clear:
        return cls(
            price=_int(body, b"price", UINT256),
            rate=_int(body, b"rate", UINT63),
            round=_int(body, b"round", UINT63),
            bid=_int(body, b"bid", UINT63),
        )


@dataclass(frozen=True, slots=True)
class ChequeMessage:
    """A cumulative cheque to the payee of the ask."""

    rail: str
    payer: Address
    cumulative: int
    signature: bytes
    type: ClassVar[bytes] = b"cheque"

    def body(self) -> Wire:
        return {
            b"cum": self.cumulative,
            b"payer": bytes(self.payer),
            b"rail": self.rail.encode(),
            b"sig": self.signature,
        }

    @classmethod
    def parse(cls, body: Wire) -> ChequeMessage:
        return cls(
            rail=_rail_id(body.get(b"rail")),
            payer=_address(body, b"payer"),
            cumulative=_int(body, b"cum", UINT256),
            signature=_bytes(body, b"sig", SIGNATURE_BYTES),
        )


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the seller has booked: the highest cheque it holds, and its account of this connection at `mark`.

    `mark` is a count of block bytes the seller had sent; `priced` of them (wire key `bytes`) had a price, at `amount`
    together. `credit` is how many unpaid bytes the seller allows now.
    """

    rail: str
    cumulative: int
    signature: bytes
    mark: int
    priced: int
    amount: int
    credit: int
    type: ClassVar[bytes] = b"receipt"

    def body(self) -> Wire:
        body: Wire = {
            b"amount": self.amount,
            b"bytes": self.priced,
            b"credit": self.credit,
            b"cum": self.cumulative,
            b"mark": self.mark,
            b"rail": self.rail.encode(),
        }
        if self.signature:
            body[b"sig"] = self.signature
        return body

    @classmethod
    def parse(cls, body: Wire) -> Receipt:
        return cls(
            rail=_rail_id(body.get(b"rail")),
            cumulative=_int(body, b"cum", UINT256),
            signature=_bytes(body, b"sig", SIGNATURE_BYTES) if b"sig" in body else b"",
            mark=_int(body, b"mark", UINT63),
            priced=_int(body, b"bytes", UINT63),
            amount=_int(body, b"amount", UINT256),
            credit=_int(body, b"credit", UINT63),
        )


@dataclass(frozen=True, slots=True)
class Stop:
    """The trade on this connection ends. An unknown code reads as `BYE`: its text still tells the user."""

    code: StopCode
    text: str
    type: ClassVar[bytes] = b"stop"

    def body(self) -> Wire:
        return {b"code": int(self.code), b"text": self.text.encode()[:MAX_TEXT].decode(errors="ignore").encode()}

    @classmethod
    def parse(cls, body: Wire) -> Stop:
        code = _int(body, b"code", UINT63)
        text = body.get(b"text", b"")
        if not isinstance(text, bytes) or len(text) > MAX_TEXT:
            raise MessageError(f"stop: text is not a string of at most {MAX_TEXT} bytes")
        known = _STOP_CODES.get(code, StopCode.BYE)
        printable = "".join(c if c.isprintable() else " " for c in text.decode(errors="replace"))
        return cls(known, printable)


@dataclass(frozen=True, slots=True)
class Net:
    """The sender leaves `amount` (wire key `set`) of its debt unpaid as long as the receiver does the same.

    `number` (`n`) counts the sender's pledges on this connection; `seen` (`re`): the receiver's newest that has come.
    """

    rail: str
    amount: int
    number: int
    seen: int
    type: ClassVar[bytes] = b"net"

    def body(self) -> Wire:
        return {b"n": self.number, b"rail": self.rail.encode(), b"re": self.seen, b"set": self.amount}

    @classmethod
    def parse(cls, body: Wire) -> Net:
        return cls(
            rail=_rail_id(body.get(b"rail")),
            amount=_int(body, b"set", UINT256),
            number=_int(body, b"n", UINT63),
            seen=_int(body, b"re", UINT63),
        )


_STOP_CODES = {int(code): code for code in StopCode}

Message = Ask | Bid | Clear | ChequeMessage | Receipt | Stop | Net

_PARSERS: Mapping[bytes, Callable[[Wire], Message]] = {
    kind.type: kind.parse for kind in (Ask, Bid, Clear, ChequeMessage, Receipt, Stop, Net)
}


def encode_message(message: Message) -> bytes:
    """The body of a BEP 10 extension message. Canonical: equal messages have equal bytes."""
    return encode({b"t": message.type, **message.body()})


def decode_message(data: bytes) -> Message | None:
    """Parse a body; None for a message type this version does not know. Raises `MessageError` for anything else."""
    body = _body(data)
    kind = body.get(b"t")
    if not isinstance(kind, bytes):
        raise MessageError("message has no type")
    parser = _PARSERS.get(kind)
    return None if parser is None else parser(body)


def _body(data: bytes) -> Wire:
    try:
        body = decode(data, max_bytes=MAX_MESSAGE, max_depth=MAX_DEPTH, max_items=MAX_ITEMS)
    except BencodeError as error:
        raise MessageError(f"not a bencoded message: {error}") from None
    if not isinstance(body, dict):
        raise MessageError("message is not a dictionary")
    return body


def _int(body: Wire, key: bytes, most: int, least: int = 0) -> int:
    value = body.get(key)
    if not isinstance(value, int) or not least <= value <= most:
        raise MessageError(f"{key.decode()}: not a whole number in its range")
    return value


def _bytes(body: Wire, key: bytes, length: int) -> bytes:
    value = body.get(key)
    if not isinstance(value, bytes) or len(value) != length:
        raise MessageError(f"{key.decode()}: not a string of {length} bytes")
    return value


def _address(body: Wire, key: bytes) -> Address:
    return Address(_bytes(body, key, 20))


def _list(body: Wire, key: bytes, most: int) -> list[Any]:
    value = body.get(key)
    if not isinstance(value, list) or len(value) > most:
        raise MessageError(f"{key.decode()}: not a list of at most {most} items")
    return value


def _rail_id(value: object) -> str:
    if not isinstance(value, bytes) or not 0 < len(value) <= MAX_RAIL_ID:
        raise MessageError("rail: not a CAIP-2 name")
    try:
        text = value.decode("ascii")
    except UnicodeDecodeError:
        raise MessageError("rail: not a CAIP-2 name") from None
    if not all(c.isalnum() or c in ":-_/." for c in text):
        raise MessageError("rail: not a CAIP-2 name")
    return text
