"""The vault's and the token's calls as bytes. Shared by every rail: both chains run the same contracts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from eth_abi.abi import decode, encode

from wallet.address import Address
from wallet.chains.base import (
    BouncedCheque,
    CashedCheque,
    Deposited,
    NoticeGiven,
    RejectedCheque,
    VaultEvent,
    Withdrawn,
)
from wallet.cheque import SignedCheque
from wallet.keys import keccak256

CHEQUE = "(address,address,uint256)"


def call_data(signature: str, *arguments: object) -> bytes:
    """Selector and ABI-encoded arguments of a function such as `transfer(address,uint256)`."""
    selector = keccak256(signature.encode())[:4]
    types = _split(signature[signature.index("(") + 1 : -1])
    return selector + encode(types, [_plain(argument) for argument in arguments])


def cash_many_data(cheques: Sequence[SignedCheque], recipient: Address) -> bytes:
    rows = [((c.cheque.payer.evm, c.cheque.payee.evm, c.cheque.cumulative), c.signature) for c in cheques]
    return call_data(f"cashMany(({CHEQUE},bytes)[],address)", rows, recipient)


def decode_words(types: Sequence[str], data: bytes) -> tuple[int, ...]:
    """Static integers of a call's answer. Raises `ValueError` for an answer that is too short."""
    if len(data) < 32 * len(types):
        raise ValueError(f"an answer of {len(data)} bytes where {32 * len(types)} are due")
    return tuple(int(value) for value in decode(list(types), data))


def _split(types: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for index, character in enumerate(types):
        if character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
        elif character == "," and depth == 0:
            parts.append(types[start:index])
            start = index + 1
    return [*parts, types[start:]] if types else []


def _plain(value: object) -> object:
    return value.evm if isinstance(value, Address) else value


def topic(signature: str) -> bytes:
    return keccak256(signature.encode())


def _address(word: bytes) -> Address:
    return Address(word[-20:])


def _words(data: bytes) -> list[int]:
    return [int.from_bytes(data[i : i + 32], "big") for i in range(0, len(data) - 31, 32)]


_Decoder = Callable[[Sequence[bytes], bytes], VaultEvent]

_EVENTS: Mapping[bytes, _Decoder] = {
    topic("Deposited(address,address,uint256)"): lambda t, d: Deposited(_address(t[1]), _words(d)[0]),
    topic("NoticeGiven(address,uint256,uint256)"): lambda t, d: NoticeGiven(_address(t[1]), *_words(d)[:2]),
    topic("Withdrawn(address,address,uint256)"): lambda t, d: Withdrawn(_address(t[1]), _words(d)[0]),
    topic("Cashed(address,address,address,uint256,uint256)"): lambda t, d: CashedCheque(
        _address(t[1]), _address(t[2]), _address(d[:32]), *_words(d)[1:3]
    ),
    topic("Bounced(address,address,uint256,uint256,uint256)"): lambda t, d: BouncedCheque(
        _address(t[1]), _address(t[2]), *_words(d)[:3]
    ),
    topic("Rejected(address,address,uint8)"): lambda t, d: RejectedCheque(_address(t[1]), _address(t[2]), _words(d)[0]),
}


def decode_event(topics: Sequence[bytes], data: bytes) -> VaultEvent | None:
    """The vault's event in a log, or None for one this node does not use. Raises `ValueError` for a broken one."""
    decoder = _EVENTS.get(topics[0]) if topics else None
    if decoder is None:
        return None
    try:
        return decoder(topics, data)
    except (IndexError, TypeError) as error:
        raise ValueError(f"a vault log is too short: {error}") from None


_ERRORS: Mapping[bytes, tuple[str, str]] = {
    keccak256(b"NotCovered(uint256,uint256)")[:4]: ("{1} wanted, {0} free in the vault", "uint256,uint256"),
    keccak256(b"NotYet(uint256)")[:4]: ("not before {0} (Unix time)", "uint256"),
    keccak256(b"NothingThere()")[:4]: ("nothing there to move", ""),
    keccak256(b"ChequeRejected(uint8)")[:4]: ("cheque rejected, reason {0}", "uint8"),
    keccak256(b"BadAddress(address)")[:4]: ("address {0} is not allowed here", "address"),
    keccak256(b"SafeERC20FailedOperation(address)")[:4]: ("the token refused the transfer", "address"),
    keccak256(b"ERC20InsufficientBalance(address,uint256,uint256)")[:4]: (
        "the wallet holds {1} units, {2} are needed",
        "address,uint256,uint256",
    ),
    keccak256(b"ERC20InsufficientAllowance(address,uint256,uint256)")[:4]: (
        "the vault may take {1} units, {2} are needed: approve first",
        "address,uint256,uint256",
    ),
    keccak256(b"Error(string)")[:4]: ("{0}", "string"),
    keccak256(b"Panic(uint256)")[:4]: ("panic code {0}", "uint256"),
}


def revert_reason(data: bytes) -> str:
    """A contract's refusal in words; hex for one this wallet does not know."""
    known = _ERRORS.get(data[:4])
    if known is None:
        return f"no reason given ({data[:4].hex()})" if data else "no reason given"
    text, types = known
    try:
        values = decode(types.split(","), data[4:]) if types else ()
    except Exception:  # eth_abi has a tree of its own; any failure means the same here
        return f"unreadable reason ({data[:36].hex()})"
    return text.format(*(str(value)[:200] for value in values))
