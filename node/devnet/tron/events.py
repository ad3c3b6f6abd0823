"""Events as TronGrid tells them: named and decoded by the ABI that was deployed with the contract.

`/v1/contracts/{address}/events` and its kind are not the node's but TronGrid's; every client reads events there. Values
are text: numbers in decimal, addresses as 0x and 40 hex digits, bytes as hex. Each stands under its place and, where it
has one, its name. An indexed value of dynamic length is only a hash in the log and is shown as that. An event that the
ABI does not have, or that does not decode, has no name and no values: the ABI is the deployer's, and may be anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from eth_abi.abi import decode as decode_abi
from eth_abi.exceptions import DecodingError, ParseError
from eth_utils.crypto import keccak

from node.devnet.records import Event
from node.devnet.tron.protojson import Json, message_json
from node.devnet.tron.records import Log
from node.devnet.tron.schema import decode
from node.devnet.tron.views import address_json

_DYNAMIC = ("string", "bytes")


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    type: str
    indexed: bool

    @property
    def abi_type(self) -> str:
        """TRON's own type for TRC-10 numbers is a word like any other."""
        return self.type.replace("trcToken", "uint256")

    @property
    def hashed(self) -> bool:
        """Whether a topic holds only the hash of such a value."""
        return self.type in _DYNAMIC or self.type.endswith("]") or self.type.startswith("tuple")


@dataclass(frozen=True, slots=True)
class Description:
    """An event of an ABI."""

    name: str
    parameters: tuple[Parameter, ...]

    @property
    def topic(self) -> bytes:
        return keccak(text=f"{self.name}({','.join(parameter.type for parameter in self.parameters)})")

    def __str__(self) -> str:
        written = (f"{p.type}{' indexed' * p.indexed} {p.name}".rstrip() for p in self.parameters)
        return f"{self.name}({', '.join(written)})"


@lru_cache(maxsize=256)
def descriptions(abi: bytes) -> Mapping[bytes, Description]:
    """First topic → event, for a serialised `SmartContract.ABI`."""
    entries: Sequence[Json] = message_json("ABI", decode("ABI", abi), False).get("entrys", [])
    found = (
        Description(
            entry.get("name", ""),
            tuple(
                Parameter(item.get("name", ""), item.get("type", ""), item.get("indexed", False))
                for item in entry.get("inputs", [])
            ),
        )
        for entry in entries
        if entry.get("type") == "Event" and not entry.get("anonymous")
    )
    return {description.topic: description for description in found}


def describe(event: Event, abi: bytes) -> Description | None:
    return descriptions(abi).get(event.topics[0]) if event.topics else None


def values(event: Event, description: Description) -> list[object] | None:
    """The event's values in the order of its parameters; None where the log does not hold them."""
    indexed = [parameter for parameter in description.parameters if parameter.indexed]
    plain = [parameter for parameter in description.parameters if not parameter.indexed]
    if len(indexed) != len(event.topics) - 1:
        return None
    try:
        data = iter(decode_abi([parameter.abi_type for parameter in plain], event.data))
        topics = iter(
            [
                topic if parameter.hashed else decode_abi([parameter.abi_type], topic)[0]
                for parameter, topic in zip(indexed, event.topics[1:], strict=True)
            ]
        )
    except (DecodingError, ParseError, ValueError, TypeError, OverflowError):
        return None
    return [_shown(next(topics if parameter.indexed else data)) for parameter in description.parameters]


def _shown(value: Any) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, (list, tuple)):
        return [_shown(item) for item in value]
    return str(value)


def event_json(log: Log, abi: bytes, *, solid: bool) -> Json:
    """One event. `_unconfirmed` is there, and true, only as long as the block is not solidified."""
    description = describe(log.event, abi)
    found = None if description is None else values(log.event, description)
    named: Json = {}
    types: Json = {}
    if description is not None and found is not None:
        for place, (parameter, value) in enumerate(zip(description.parameters, found, strict=True)):
            named[str(place)] = value
            if parameter.name:
                named[parameter.name] = value
            types[parameter.name or str(place)] = parameter.type
    contract = address_json(log.event.address, visible=True)
    event: Json = {
        "block_number": log.block,
        "block_timestamp": log.timestamp,
        "caller_contract_address": contract,
        "contract_address": contract,
        "event_index": log.index,
        "event_name": "" if description is None else description.name,
        "result": named,
        "result_type": types,
        "event": "" if description is None else str(description),
        "transaction_id": log.transaction.hex(),
    }
    return event if solid else {**event, "_unconfirmed": True}
