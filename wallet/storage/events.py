"""What happened in the storage contracts. Fields are those of the contracts' events, in their order.

The contracts are ours, but hosts write into their logs what they like: a URL that is no line of text comes as an empty
one, and terms that no node of ours would deal with (a shard of more than 1 PiB) are passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from wallet.address import Address
from wallet.chains.abi import MARKET, REGISTRY
from wallet.chains.reading import Log
from wallet.errors import ChequeError
from wallet.storage.calls import MAX_ENDPOINT
from wallet.storage.codec import decode_log
from wallet.storage_terms import Market, StorageContract


class Status(IntEnum):
    """Where a contract is in the market's books."""

    UNKNOWN = 0
    ACTIVE = 1
    CALLED_OFF = 2
    COMPLETED = 3
    CANCELLED = 4
    FAILED = 5


# --- the market -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Deposited:
    account: Address
    source: Address
    amount: int


@dataclass(frozen=True, slots=True)
class Withdrawn:
    account: Address
    to: Address
    amount: int


@dataclass(frozen=True, slots=True)
class Opened:
    """In force, with all of its terms: they can be found again with nothing but a key."""

    id: bytes
    terms: StorageContract


@dataclass(frozen=True, slots=True)
class Settled:
    """`epochs` more are paid, for `amount`."""

    id: bytes
    payee: Address
    through_epoch: int
    epochs: int
    amount: int


@dataclass(frozen=True, slots=True)
class ProofBegun:
    """The hash of `seed_block` chooses what is to be shown for `epoch`."""

    id: bytes
    epoch: int
    seed_block: int


@dataclass(frozen=True, slots=True)
class Proved:
    id: bytes
    payee: Address
    epoch: int
    index: int
    amount: int


@dataclass(frozen=True, slots=True)
class Challenged:
    """`answer_by`: the last second (Unix) for an answer."""

    id: bytes
    challenger: Address
    index: int
    answer_by: int


@dataclass(frozen=True, slots=True)
class Answered:
    id: bytes
    payee: Address
    index: int
    bond: int


@dataclass(frozen=True, slots=True)
class Exiting:
    """It ends after `epochs`; `fee` and `refund` are the renter's."""

    id: bytes
    epochs: int
    fee: int
    refund: int


@dataclass(frozen=True, slots=True)
class HandedOver:
    id: bytes
    successor: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing is locked any more. What payees got is in `Settled`, `Proved` and `Answered`."""

    id: bytes
    status: Status
    to_renter: int
    to_host: int


ContractEvent = Opened | Settled | ProofBegun | Proved | Challenged | Answered | Exiting | HandedOver | Ended
MarketEvent = Deposited | Withdrawn | ContractEvent


def market_event(market: Market, log: Log) -> MarketEvent | None:
    """The market's event in a log; None for other contracts' and for terms out of our bounds.

    Raises `ValueError` for a log that the market cannot have written.
    """
    found = decode_log(MARKET, log) if log.address == market.contract else None
    if found is None:
        return None
    name, given = found
    if name == "Opened":
        return _opened(market, given)
    if name == "Ended":
        given = {**given, "status": Status(given["status"])}
    return _MARKET[name](*given.values())


def _opened(market: Market, given: Mapping[str, Any]) -> Opened | None:
    try:
        terms = StorageContract(
            root=given["root"],
            length=given["length"],
            renter=given["renter"],
            host=given["host"],
            payee=given["payee"],
            auditor=given["auditor"],
            start=given["start"],
            epochs=given["epochs"],
            epoch_length=given["epochLength"],
            price_per_epoch=given["pricePerEpoch"],
            collateral=given["collateral"],
            nonce=given["nonce"],
        )
    except ChequeError:
        return None
    if terms.digest(market) != given["id"]:
        raise ValueError("a contract was opened under an id that is not its own")
    return Opened(given["id"], terms)


_MARKET: Mapping[str, Callable[..., MarketEvent]] = {
    "Deposited": Deposited,
    "Withdrawn": Withdrawn,
    "Settled": Settled,
    "ProofBegun": ProofBegun,
    "Proved": Proved,
    "Challenged": Challenged,
    "Answered": Answered,
    "Exiting": Exiting,
    "HandedOver": HandedOver,
    "Ended": Ended,
}


def earned(events: Iterable[MarketEvent], contract_id: bytes) -> int:
    """Token units that went to a contract's payee: for epochs, and bonds of challenges it answered."""
    amounts = {Settled: "amount", Proved: "amount", Answered: "bond"}
    return sum(
        getattr(event, amounts[type(event)])
        for event in events
        if isinstance(event, (Settled, Proved, Answered)) and event.id == contract_id
    )


# --- the registry ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Staked:
    """`total`: all that the host has put down now."""

    host: Address
    amount: int
    total: int


@dataclass(frozen=True, slots=True)
class Announced:
    """`signer` signs for the API at `endpoint`, a printable line, empty where the host wrote none. `price_table`: the
    hash of its table, zeros for none. The latest announcement counts."""

    host: Address
    signer: Address
    endpoint: str
    price_table: bytes


@dataclass(frozen=True, slots=True)
class ExitBegun:
    """Off the list; `leaves_at`: Unix seconds from which on the stake may leave."""

    host: Address
    leaves_at: int


@dataclass(frozen=True, slots=True)
class ExitCancelled:
    """On the list again, as announced last."""

    host: Address


@dataclass(frozen=True, slots=True)
class StakeWithdrawn:
    host: Address
    to: Address
    amount: int


RegistryEvent = Staked | Announced | ExitBegun | ExitCancelled | StakeWithdrawn


def registry_event(registry: Address, log: Log) -> RegistryEvent | None:
    """The registry's event in a log, None for other contracts'. Raises `ValueError` for one it cannot have written."""
    found = decode_log(REGISTRY, log) if log.address == registry else None
    if found is None:
        return None
    name, given = found
    if name == "Announced":
        given = {**given, "endpoint": _line(given["endpoint"])}
    return _REGISTRY[name](*given.values())


_REGISTRY: Mapping[str, Callable[..., RegistryEvent]] = {
    "Staked": Staked,
    "Announced": Announced,
    "ExitBegun": ExitBegun,
    "ExitCancelled": ExitCancelled,
    "Withdrawn": StakeWithdrawn,
}


def _line(raw: bytes) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return ""
    return text if len(raw) <= MAX_ENDPOINT and text.isprintable() else ""
