"""What renter, host and auditor say to each other: the bodies of the storage calls between nodes, version 1.

| call        | body                | answer      | from → to                        |
|-------------|---------------------|-------------|----------------------------------|
| `terms`     | `TermsCall`         | `Quote`     | renter → host                    |
| `propose`   | `Proposal`          | `Consent`   | renter → host                    |
| `challenge` | `ChallengeCall`     | `AnswerBody`| renter or auditor → host         |
| `voucher`   | `VoucherCall`       | `Taken`     | renter or auditor → host         |
| `cancel`    | `CancelCall`        | `Consent`   | either side → the other          |
| `label`     | `LabelCall`         | none        | renter → host                    |
| `recall`    | `RecallCall`        | `Recalled`  | renter → host                    |

A body is a JSON object. Numbers that a float holds exactly (sizes, times, indices) are numbers; amounts, chain ids and
nonces of contracts are decimal strings; short bytes are 0x and hex digits, long ones base64. Unknown keys are ignored,
so that later versions can add some; a known key must be there and have its type and range, or the message is refused.
Reading checks form and bounds only: who signed, and whether to agree, is for `terms`, `audit` and
`wallet.storage_terms`. Calls are POSTs to `path(call)`; each may be repeated and then has the same effect once.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, ClassVar, NamedTuple, Self

from node.storage.audit import MAX_SAMPLE, Challenge, Proof
from node.storage.errors import EvidenceError, MessageError
from node.storage.label import MAX_LABEL
from node.storage.merkle import BLOCK, NODE, PADDING
from node.storage.terms import PriceTable
from wallet.address import Address
from wallet.amount import MAX_AMOUNT
from wallet.errors import WalletError
from wallet.keys import SIGNATURE_BYTES
from wallet.storage_terms import Cancel, Market, StorageContract, Voucher

MAX_NUMBER = 2**53 - 1
"""What every JSON reader keeps exactly."""
MAX_PEERS = 8
MAX_PEER = 80
MAX_URL = 256
CONTRACT_BYTES = 384

Body = dict[str, Any]


def path(call: str) -> str:
    """Where a call of the table above goes."""
    return f"/storage/v1/{call}"


_HEX = re.compile(r"0x(?:[0-9a-f]{2})*\Z")
_DECIMAL = re.compile(r"(?:0|[1-9][0-9]{0,77})\Z")
_URL = re.compile(r"https?://[!-~]+\Z")
_PEER = re.compile(r"(?:[0-9.]{7,15}|\[[0-9a-f:.]{2,45}\]):[1-9][0-9]{0,4}\Z")


class Field(NamedTuple):
    """How one value is written to JSON and read back; `read` raises `ValueError` or a subclass."""

    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


def _hex(size: int) -> Field:
    def read(value: Any) -> bytes:
        if not isinstance(value, str) or len(value) != 2 + 2 * size or not _HEX.match(value):
            raise ValueError(f"wanted 0x and {2 * size} hex digits")
        return bytes.fromhex(value[2:])

    return Field(lambda data: "0x" + data.hex(), read)


def _base64(most: int) -> Field:
    def read(value: Any) -> bytes:
        if not isinstance(value, str) or len(value) > -(-most // 3) * 4:
            raise ValueError(f"wanted base64 of at most {most} bytes")
        data = b64decode(value.encode("ascii", "replace"), validate=True)
        if len(data) > most or b64encode(data).decode() != value:
            raise ValueError("not canonical base64")
        return data

    return Field(lambda data: b64encode(data).decode(), read)


def _number(most: int = MAX_NUMBER, least: int = 0) -> Field:
    def read(value: Any) -> int:
        if type(value) is not int or not least <= value <= most:
            raise ValueError(f"wanted a whole number, {least} to {most}")
        return value

    return Field(lambda number: number, read)


def _read_decimal(value: Any) -> int:
    if not isinstance(value, str) or not _DECIMAL.match(value) or int(value) > MAX_AMOUNT:
        raise ValueError("wanted a string of decimal digits, up to 256 bits")
    return int(value)


def _read_peer(value: Any) -> str:
    if isinstance(value, str) and len(value) <= MAX_PEER and _PEER.match(value):
        host, _, port = value.rpartition(":")
        with suppress(ValueError):
            ip_address(host.strip("[]"))
            if int(port) < 2**16:
                return value
    raise ValueError("wanted an IP address and port, such as 192.0.2.1:6881")


def _read_url(value: Any) -> str:
    if not isinstance(value, str) or len(value) > MAX_URL or not _URL.match(value):
        raise ValueError(f"wanted an HTTP URL of at most {MAX_URL} characters")
    return value


def _list(item: Field, most: int, least: int = 0) -> Field:
    def read(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list) or not least <= len(value) <= most:
            raise ValueError(f"wanted a list of {least} to {most}")
        return tuple(item.read(each) for each in value)

    return Field(lambda values: [item.write(each) for each in values], read)


def _optional(item: Field, missing: Any = None) -> Field:
    """One that earlier versions did not send; where it is not there, it reads as `missing`."""
    return Field(
        lambda value: None if value is None else item.write(value),
        lambda value: missing if value is None else item.read(value),
    )


def _record(kind: Callable[..., Any], fields: Mapping[str, Field]) -> Field:
    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError("wanted an object")  # noqa: TRY004 # one kind of error for all that is not the form
        return kind(**{name: _named(name, field, value) for name, field in fields.items()})

    return Field(lambda record: {name: field.write(getattr(record, name)) for name, field in fields.items()}, read)


def _named(name: str, field: Field, body: Mapping[str, Any]) -> Any:
    try:
        return field.read(body.get(name))
    except ValueError as error:
        raise MessageError(f"{name}: {error}") from None


_WORD, _SIGNATURE = _hex(32), _hex(SIGNATURE_BYTES)
_ADDRESS = Field(lambda address: "0x" + address.raw.hex(), lambda value: Address(_hex(20).read(value)))
_AMOUNT = Field(str, _read_decimal)
_MARKET = _record(Market, {"chain_id": _AMOUNT, "contract": _ADDRESS})
_TERMS = Field(
    lambda contract: _hex(CONTRACT_BYTES).write(contract.pack()),
    lambda value: StorageContract.unpack(_hex(CONTRACT_BYTES).read(value)),
)
_TABLE = _record(
    PriceTable,
    {
        "host": _ADDRESS,
        "payee": _ADDRESS,
        "storage_price": _AMOUNT,
        "upload_price": _AMOUNT,
        "download_price": _AMOUNT,
        "collateral_percent": _number(),
        "epoch_length": _number(),
        "min_epochs": _number(),
        "max_epochs": _number(),
        "free": _number(),
        "until": _number(),
    },
)
_CHALLENGE = _record(
    Challenge,
    {
        "id": _WORD,
        "nonce": _WORD,
        "indices": _list(_number(), MAX_SAMPLE, 1),
        "issued": _number(),
        "deadline": _number(),
    },
)
_PROOF = _record(Proof, {"block": _base64(BLOCK), "path": _list(_hex(NODE), len(PADDING) - 1)})
_CLAIM = {"id": _WORD, "through_epoch": _number(2**32 - 1)}


def read_market(value: Any) -> Market:
    """A market as the messages name it. Raises `MessageError`."""
    try:
        market: Market = _MARKET.read(value)
    except (WalletError, ValueError) as error:
        raise MessageError(f"market: {error}") from None
    return market


class _Message:
    """A dataclass whose `FIELDS` say how it is written and read."""

    FIELDS: ClassVar[Mapping[str, Field]]
    __slots__ = ()

    def body(self) -> Body:
        """The JSON object to send."""
        return {name: field.write(getattr(self, name)) for name, field in self.FIELDS.items()}

    @classmethod
    def parse(cls, body: Any) -> Self:
        """Raises `MessageError`, and nothing else, for any JSON value."""
        try:
            message: Self = _record(cls, cls.FIELDS).read(body)
        except (MessageError, EvidenceError, WalletError, ValueError) as error:
            raise MessageError(f"{cls.__name__}: {error}") from error
        return message


@dataclass(frozen=True, slots=True)
class TermsCall(_Message):
    """Asks for the prices on one market: a host may be on several."""

    FIELDS: ClassVar = {"market": _MARKET}
    market: Market


@dataclass(frozen=True, slots=True)
class Quote(_Message):
    """A host's price table for one market, with its signature. `peers`: "IP:port" of the host's engine."""

    FIELDS: ClassVar = {
        "market": _MARKET,
        "table": _TABLE,
        "signature": _SIGNATURE,
        "peers": _optional(_list(Field(str, _read_peer), MAX_PEERS), ()),
    }
    market: Market
    table: PriceTable
    signature: bytes
    peers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Proposal(_Message):
    """A contract that the renter signed, and where to fetch the shard.

    `peers`: "IP:port" of the renter's engine, or of hosts that have the shard; `renews`: the id of the contract on the
    same root that this one follows.
    """

    FIELDS: ClassVar = {
        "market": _MARKET,
        "contract": _TERMS,
        "signature": _SIGNATURE,
        "peers": _list(Field(str, _read_peer), MAX_PEERS),
        "renews": _optional(_WORD),
    }
    market: Market
    contract: StorageContract
    signature: bytes
    peers: tuple[str, ...]
    renews: bytes | None = None


@dataclass(frozen=True, slots=True)
class Consent(_Message):
    """The other side's signature over the same contract or cancellation."""

    FIELDS: ClassVar = {"signature": _SIGNATURE}
    signature: bytes


@dataclass(frozen=True, slots=True)
class Appointment(_Message):
    """A contract for its auditor, with both signatures; `url`: the host's API. It travels as a file, too."""

    FIELDS: ClassVar = {
        "market": _MARKET,
        "contract": _TERMS,
        "renter_signature": _SIGNATURE,
        "host_signature": _SIGNATURE,
        "url": Field(str, _read_url),
    }
    market: Market
    contract: StorageContract
    renter_signature: bytes
    host_signature: bytes
    url: str


@dataclass(frozen=True, slots=True)
class ChallengeCall(_Message):
    """An audit's challenge with its signature."""

    FIELDS: ClassVar = {"challenge": _CHALLENGE, "signature": _SIGNATURE}
    challenge: Challenge
    signature: bytes


@dataclass(frozen=True, slots=True)
class AnswerBody(_Message):
    """Blocks and paths in the order of the challenge's indices, with the host's signature."""

    FIELDS: ClassVar = {"proofs": _list(_PROOF, MAX_SAMPLE), "signature": _SIGNATURE}
    proofs: tuple[Proof, ...]
    signature: bytes


@dataclass(frozen=True, slots=True)
class VoucherCall(_Message):
    """A voucher with its signature."""

    FIELDS: ClassVar = {"voucher": _record(Voucher, _CLAIM), "signature": _SIGNATURE}
    voucher: Voucher
    signature: bytes


@dataclass(frozen=True, slots=True)
class Taken(_Message):
    """A host has the voucher. `gain`: token units it adds; `leaving`: Unix second until which the host asks to be
    relieved of the contract, before it leaves alone; 0: it stays. It is said here because a host may not be able to
    reach its renter, which is often behind a router, but hears from it in every epoch.
    """

    FIELDS: ClassVar = {"gain": _optional(_AMOUNT, 0), "leaving": _optional(_number(), 0)}
    gain: int = 0
    leaving: int = 0


@dataclass(frozen=True, slots=True)
class CancelCall(_Message):
    """A cancellation that one side has signed."""

    FIELDS: ClassVar = {"cancel": _record(Cancel, _CLAIM), "signature": _SIGNATURE}
    cancel: Cancel
    signature: bytes


@dataclass(frozen=True, slots=True)
class LabelCall(_Message):
    """Keep this sealed label with contract `id`, in place of one with a lower number."""

    FIELDS: ClassVar = {"id": _WORD, "number": _number(least=1), "data": _base64(MAX_LABEL)}
    id: bytes
    number: int
    data: bytes


@dataclass(frozen=True, slots=True)
class RecallCall(_Message):
    """Asks for what a renter that has lost everything but its key has to know of contract `id`."""

    FIELDS: ClassVar = {"id": _WORD}
    id: bytes


@dataclass(frozen=True, slots=True)
class Recalled(_Message):
    """The host's signature over the contract; the highest voucher it has, through how many epochs and with its
    signature (0 and None: no voucher); the label (number 0 and b"": none)."""

    FIELDS: ClassVar = {
        "signature": _SIGNATURE,
        "through_epoch": _number(2**32 - 1),
        "voucher": _optional(_SIGNATURE),
        "number": _number(),
        "data": _base64(MAX_LABEL),
    }
    signature: bytes
    through_epoch: int
    voucher: bytes | None
    number: int
    data: bytes
