"""The storage contracts' calls, answers and logs as bytes, by their compiled interfaces; the same on every rail.

Reading is bounded before it is general: a log or an answer that is longer than any of ours is not decoded at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from eth_abi.abi import decode, encode

from contracts.loader import load
from wallet.address import Address
from wallet.chains import abi
from wallet.chains.reading import Log
from wallet.keys import keccak256
from wallet.storage_terms import StorageContract

MAX_DATA = 1024
"""Bytes of an answer or of a log's data: the longest of ours, an announcement, has 384."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a contract: its name, and the fields' names and types, the indexed ones (in topics) first."""

    name: str
    topic: bytes
    names: tuple[str, ...]
    types: tuple[str, ...]
    indexed: int


def encode_call(contract: str, function: str, *arguments: object) -> bytes:
    """Call data. Raises `ValueError` for what the function cannot take."""
    found = abi.functions(contract)[function]
    try:
        return found.selector + encode(found.types, [_plain(argument) for argument in arguments])
    except Exception as error:  # eth_abi has a tree of its own
        raise ValueError(f"{function} cannot take this: {error}") from None


def decode_answer(contract: str, function: str, answer: bytes) -> tuple[Any, ...]:
    """What a view function gave: numbers, bytes, booleans, `Address`es, and tuples of them. Raises `ValueError`."""
    return _decode(abi.functions(contract)[function].results, answer)


def decode_log(contract: str, log: Log) -> tuple[str, Mapping[str, Any]] | None:
    """The event in a log and its fields by their names; None for one the contract does not have.

    Text comes as bytes: whoever wrote it may have written no text. Raises `ValueError` for a broken log.
    """
    event = events(contract).get(log.topics[0]) if log.topics else None
    if event is None:
        return None
    if len(log.topics) != 1 + event.indexed:
        raise ValueError(f"{event.name}: {len(log.topics)} topics where {1 + event.indexed} are due")
    values = (
        *_decode(event.types[: event.indexed], b"".join(log.topics[1:])),
        *_decode(event.types[event.indexed :], log.data),
    )
    return event.name, dict(zip(event.names, values, strict=True))


@cache
def events(contract: str) -> Mapping[bytes, Event]:
    """A contract's events by their topics."""
    made = (_event(entry) for entry in load(contract).abi if entry["type"] == "event")
    return {event.topic: event for event in made}


def topic(contract: str, name: str) -> bytes:
    """The first topic of an event."""
    return next(event.topic for event in events(contract).values() if event.name == name)


def _event(entry: Any) -> Event:
    inputs = sorted(entry["inputs"], key=lambda item: not item["indexed"])  # stable: the order within both stays
    signature = f"{entry['name']}({','.join(item['type'] for item in entry['inputs'])})"
    return Event(
        name=entry["name"],
        topic=keccak256(signature.encode()),
        names=tuple(item["name"] for item in inputs),
        types=tuple(item["type"].replace("string", "bytes") for item in inputs),
        indexed=sum(item["indexed"] for item in inputs),
    )


def _decode(types: Sequence[str], data: bytes) -> tuple[Any, ...]:
    if len(data) > MAX_DATA:
        raise ValueError(f"{len(data)} bytes where {MAX_DATA} are the most")
    try:
        values = decode(types, data)
    except Exception as error:  # as above; whatever it is, this is not what the contract gives
        raise ValueError(f"not what the contract gives ({type(error).__name__})") from None
    return tuple(_typed(kind, value) for kind, value in zip(types, values, strict=True))


def _typed(kind: str, value: Any) -> Any:
    return Address.parse(value) if kind == "address" else value


def _plain(value: object) -> object:
    """A value as eth_abi takes it."""
    match value:
        case Address():
            return value.raw
        case StorageContract():
            return tuple(_plain(getattr(value, item.name)) for item in fields(value))
        case _:
            return value
