"""The vault's and the token's calls, events and refusals as bytes. Shared by every rail: all run the same contracts.

Names and types come from the compiled contracts. All but `cashMany` is made of 32-byte words, which are put together
and taken apart right here; only `cashMany` needs a general encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from eth_abi.abi import decode, encode

from contracts.loader import load
from wallet.address import Address
from wallet.chains.base import (
    Authorised,
    BouncedCheque,
    CashedCheque,
    Deposited,
    Locked,
    NoticeCancelled,
    NoticeGiven,
    RejectedCheque,
    Rejection,
    RevertedError,
    Revoked,
    Unlocked,
    UnlockRequested,
    VaultEvent,
    Withdrawn,
)
from wallet.cheque import SignedCheque
from wallet.digests import word
from wallet.keys import compact_signature, keccak256

VAULT, TOKEN, MARKET, REGISTRY = "ChequeVault", "TestBTT", "StorageMarket", "HostRegistry"
"""Contracts whose interfaces are used here; of the token only what ERC-20 has."""
WORD = 32
NOBODY = Address(bytes(20))

_CHEQUES = "((address,address,uint256),bytes32,bytes32)[]"

_EVENTS: Mapping[str, Callable[..., VaultEvent]] = {
    "Deposited": Deposited,
    "NoticeGiven": NoticeGiven,
    "NoticeCancelled": NoticeCancelled,
    "Withdrawn": Withdrawn,
    "Locked": Locked,
    "UnlockRequested": UnlockRequested,
    "Unlocked": Unlocked,
    "Authorised": Authorised,
    "Revoked": Revoked,
    "Cashed": CashedCheque,
    "Bounced": BouncedCheque,
    "Rejected": RejectedCheque,
}

_REASONS: Mapping[str, str] = {
    "Error(string)": "{0}",
    "NotCovered(uint256,uint256)": "{1} units wanted, {0} are free in the vault",
    "NotCovered(address,uint256,uint256)": "{2} units wanted, the market's balance of {0} is {1}",
    "NotYet(uint256)": "not before {0} (Unix time)",
    "TooLate(uint256)": "too late since {0} (Unix time)",
    "NothingThere()": "there is nothing to move",
    "ChequeRejected(uint8)": "the cheque is rejected: {0}",
    "WrongStatus(uint8)": "the storage contract is {0}",
    "BadTerms(uint8)": "the storage contract's terms cannot be: {0}",
    "BadAddress(address)": "address {0} is not allowed here",
    "SafeERC20FailedOperation(address)": "the token refused the transfer",
    "ERC20InsufficientBalance(address,uint256,uint256)": "the wallet holds {1} units of the token, {2} are needed",
    "ERC20InsufficientAllowance(address,uint256,uint256)": (
        "the contract may take {1} units of the token, {2} are needed"
    ),
}
"""Refusals in words, of what they carry in its order. Another one is shown by its name in the contract."""

_CODES: Mapping[str, Sequence[str]] = {
    "ChequeRejected(uint8)": ("for no reason", *(reason.name.lower().replace("_", " ") for reason in Rejection)),
    "WrongStatus(uint8)": ("unknown", "active", "called off", "completed", "cancelled", "failed"),
    "BadTerms(uint8)": ("length", "payee", "start", "epochs", "term", "amounts"),
}
"""What a refusal's number stands for: the contracts' enums."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function or custom error: its selector, and the names and types of what it takes and, a function, gives."""

    name: str
    selector: bytes
    names: tuple[str, ...]
    types: tuple[str, ...]
    results: tuple[str, ...] = ()

    @property
    def signature(self) -> str:
        """Such as `transfer(address,uint256)`."""
        return f"{self.name}({','.join(self.types)})"


@dataclass(frozen=True, slots=True)
class _Event:
    indexed: int
    """Fields in topics; in all our events they come first."""
    types: tuple[str, ...]
    make: Callable[..., VaultEvent]


# --- calls ----------------------------------------------------------------------------------------------------------


def call_data(signature: str, *arguments: int | Address | str) -> bytes:
    """Selector and arguments of a function such as `transfer(address,uint256)`; addresses may be text."""
    return selector(signature) + b"".join(
        word(Address.parse(argument) if isinstance(argument, str) else argument) for argument in arguments
    )


@cache
def selector(signature: str) -> bytes:
    """The four bytes that choose a function or name an error."""
    return keccak256(signature.encode())[:4]


def cash_data(cheques: Sequence[SignedCheque], recipient: Address) -> bytes:
    """`cashMany`: selector and arguments. Raises `BadSignatureError` for a signature no vault would take."""
    rows = [
        ((c.cheque.payer.raw, c.cheque.payee.raw, c.cheque.cumulative), *compact_signature(c.signature))
        for c in cheques
    ]
    return selector(f"cashMany({_CHEQUES},address)") + encode([_CHEQUES, "address"], [rows, recipient.raw])


def split_words(data: bytes, count: int) -> tuple[int, ...]:
    """The first words of a call's answer as numbers. Raises `ValueError` where it is shorter."""
    if len(data) < WORD * count:
        raise ValueError(f"{len(data)} bytes where {WORD * count} are due")
    return tuple(int.from_bytes(data[WORD * i : WORD * (i + 1)], "big") for i in range(count))


@cache
def functions(contract: str) -> Mapping[str, Function]:
    """A contract's functions by name; none of ours has two of one name."""
    return {entry["name"]: _function(entry) for entry in _abi(contract) if entry["type"] == "function"}


TRANSFER = keccak256(b"Transfer(address,address,uint256)")
"""First topic of a token's `Transfer` (EIP-20, TIP-20); source and receiver are the next two."""


# --- events ---------------------------------------------------------------------------------------------------------


def decode_event(topics: Sequence[bytes], data: bytes) -> VaultEvent | None:
    """The vault's event in a log, None for a foreign one. Raises `ValueError` for a broken one."""
    event = _events().get(topics[0]) if topics else None
    if event is None:
        return None
    if len(topics) != 1 + event.indexed:
        raise ValueError(f"{len(topics)} topics where {1 + event.indexed} are due")
    words = (*(split_words(topic, 1)[0] for topic in topics[1:]), *split_words(data, len(event.types) - event.indexed))
    return event.make(*(_value(kind, number) for kind, number in zip(event.types, words, strict=True)))


def encode_event(event: VaultEvent) -> tuple[tuple[bytes, ...], bytes]:
    """Topics and data of the vault's event: `decode_event` turned round."""
    topic, layout = next((topic, layout) for topic, layout in _events().items() if layout.make is type(event))
    words = [word(getattr(event, item.name)) for item in fields(event)]
    return (topic, *words[: layout.indexed]), b"".join(words[layout.indexed :])


@cache
def _events() -> Mapping[bytes, _Event]:
    table = {}
    for entry in _abi(VAULT):
        if entry["type"] == "event":
            topic = keccak256(_signature(entry).encode())
            indexed = sum(field["indexed"] for field in entry["inputs"])
            table[topic] = _Event(indexed, tuple(field["type"] for field in entry["inputs"]), _EVENTS[entry["name"]])
    return table


def _value(kind: str, number: int) -> int | Address:
    if kind != "address":
        return number
    if number >> 160:
        raise ValueError("a word that should be an address has more than 20 bytes")
    return Address(number.to_bytes(20, "big"))


# --- refusals -------------------------------------------------------------------------------------------------------


def refusal(data: bytes) -> RevertedError:
    """A contract's refusal, from the bytes it gave back."""
    known = errors().get(data[:4])
    error = RevertedError(f"the contract refuses: {revert_reason(data)}")
    error.refusal = "" if known is None else known.name
    return error


def revert_reason(data: bytes) -> str:
    """Why a contract refused, in words, from the bytes it gave back."""
    if not data:
        return "it gave no reason"
    error = errors().get(data[:4])
    if error is None:
        return f"for a reason this program does not know (0x{data[:4].hex()})"
    try:
        values = decode(error.types, data[4:])
    except Exception:  # eth_abi has a tree of its own; whatever it is, the reason cannot be read
        return f"{error.name}, with details that cannot be read"
    plain = [_plain(value) for value in values]
    codes = _CODES.get(error.signature, ())
    if codes and values[0] < len(codes):
        plain[0] = codes[values[0]]
    if error.signature in _REASONS:
        return _REASONS[error.signature].format(*plain)
    return f"{error.name}({', '.join(plain)})"


@cache
def errors() -> Mapping[bytes, Function]:
    """Custom errors of our contracts and the token, and the language's own two, by selector."""
    entries = (entry for name in (VAULT, TOKEN, MARKET, REGISTRY) for entry in _abi(name))
    found = (_function(entry) for entry in (*entries, *_BUILT_IN) if entry["type"] == "error")
    return {error.selector: error for error in found}


_BUILT_IN: Sequence[Mapping[str, Any]] = (
    {"type": "error", "name": "Error", "inputs": [{"name": "text", "type": "string"}]},
    {"type": "error", "name": "Panic", "inputs": [{"name": "code", "type": "uint256"}]},
)


def _plain(value: object) -> str:
    """One line of printable characters, not too long: a contract may put anything there."""
    return "".join(c if c.isprintable() else "?" for c in str(value)[:200])


# --- the compiled interface -----------------------------------------------------------------------------------------


@cache
def _abi(contract: str) -> Sequence[Any]:
    return load(contract).abi


def _function(entry: Mapping[str, Any]) -> Function:
    names = tuple(field["name"] for field in entry["inputs"])
    types = tuple(_type(field) for field in entry["inputs"])
    results = tuple(_type(field) for field in entry.get("outputs", ()))
    return Function(entry["name"], selector(_signature(entry)), names, types, results)


def _signature(entry: Mapping[str, Any]) -> str:
    return f"{entry['name']}({','.join(_type(field) for field in entry['inputs'])})"


def _type(field: Mapping[str, Any]) -> str:
    """The canonical type: a tuple by its parts."""
    kind: str = field["type"]
    if kind.startswith("tuple"):
        return f"({','.join(_type(part) for part in field['components'])}){kind.removeprefix('tuple')}"
    return kind
