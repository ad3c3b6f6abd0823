"""What renter and host sign for rented storage: the contract, the vouchers that pay it, and its cancellation.

All are EIP-712 structs of the `StorageMarket` contract, whose domain binds them to one market on one chain. The id of
a contract is its digest, so both signatures, every voucher and every proof name exactly these terms. Epoch e (from 0)
lasts from start + e x epoch length to the next one's begin; a voucher through epoch e says that epochs 0 to e - 1 are
paid. Like cheques, vouchers are cumulative: only the highest counts, and losing one costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

from wallet.address import Address
from wallet.amount import MAX_AMOUNT
from wallet.digests import domain_separator, mask_chain_id, typed_digest, word
from wallet.errors import BadSignatureError, ChequeError, StaleChequeError
from wallet.keys import PrivateKey, keccak256, recover

MARKET_NAME, MARKET_VERSION = "bttnode StorageMarket", "1"
BLOCK = 16 * 1024
MAX_LENGTH = 2**50
"""Of one shard: 1 PiB, 36 levels of hashes. Bounds the work of whoever was given a length."""
NOBODY = Address(bytes(20))
"""As auditor: only the renter may sign vouchers and open challenges."""

STORAGE_CONTRACT_TYPE = keccak256(
    b"StorageContract(bytes32 root,uint64 length,address renter,address host,address payee,address auditor,"
    b"uint64 start,uint32 epochs,uint32 epochLength,uint256 pricePerEpoch,uint256 collateral,uint256 nonce)"
)
VOUCHER_TYPE = keccak256(b"Voucher(bytes32 id,uint32 throughEpoch)")
CANCEL_TYPE = keccak256(b"Cancel(bytes32 id,uint32 throughEpoch)")

MAX_EPOCHS = 256
MAX_TERM = 5 * 365 * 86_400
"""Seconds. Money is never locked for longer."""
MAX_PRICE = 2**128 - 1
"""Per epoch, and of collateral, so that no sum of them comes near 256 bits."""

_UINT32, _UINT64 = 2**32 - 1, 2**64 - 1
_WORD = 32


@dataclass(frozen=True, slots=True)
class Market:
    """A `StorageMarket` contract on a chain. On TRON the address is the 20 bytes without 0x41."""

    chain_id: int
    contract: Address
    separator: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        separator = domain_separator(MARKET_NAME, MARKET_VERSION, mask_chain_id(self.chain_id), self.contract)
        object.__setattr__(self, "separator", separator)


class Signable(Protocol):
    """A struct with an EIP-712 digest in a market's domain."""

    def digest(self, market: Market) -> bytes:
        """The 32 bytes to sign."""


def sign(market: Market, message: Signable, key: PrivateKey) -> bytes:
    """65 bytes r ‖ s ‖ v."""
    return key.sign_digest(message.digest(market))


def verify(market: Market, message: Signable, signature: bytes, *signers: Address) -> Address:
    """Which of `signers` signed. Raises `BadSignatureError` when none of them did, for exactly this market."""
    signer = recover(message.digest(market), signature)
    if signer not in signers or signer == NOBODY:
        raise BadSignatureError(f"a {type(message).__name__} is not signed by whom it should be, or for another market")
    return signer


@dataclass(frozen=True, slots=True)
class StorageContract:
    """One shard on one host. Field names and order are those of the Solidity struct.

    `root`: BEP 52 root of the shard; `length`: its bytes; `payee` gets the host's money; `auditor` may vouch and
    challenge besides the renter; `start`: Unix seconds; `epoch_length`: seconds; `price_per_epoch` and `collateral`:
    token units; `nonce` tells equal terms apart. Raises `ChequeError` for terms that no market opens,
    and for a shard of more than 1 PiB.
    """

    root: bytes
    length: int
    renter: Address
    host: Address
    payee: Address
    auditor: Address
    start: int
    epochs: int
    epoch_length: int
    price_per_epoch: int
    collateral: int
    nonce: int

    def __post_init__(self) -> None:
        if len(self.root) != _WORD:
            raise ChequeError(f"storage contract: a root has 32 bytes, not {len(self.root)}")
        for name, least, most in (
            ("length", 1, MAX_LENGTH),
            ("start", 0, _UINT64),
            ("epochs", 1, MAX_EPOCHS),
            ("epoch_length", 1, _UINT32),
            ("price_per_epoch", 0, MAX_PRICE),
            ("collateral", 0, MAX_PRICE),
            ("nonce", 0, MAX_AMOUNT),
        ):
            _bounded(f"storage contract: {name}", getattr(self, name), least, most)
        if self.epochs * self.epoch_length > MAX_TERM:
            raise ChequeError("storage contract: it lasts longer than five years")
        if self.payee == NOBODY:
            raise ChequeError("storage contract: it pays nobody")

    @property
    def blocks(self) -> int:
        return -(-self.length // BLOCK)

    @property
    def escrow(self) -> int:
        """What the renter locks, and the most the host earns."""
        return self.epochs * self.price_per_epoch

    @property
    def end(self) -> int:
        """Unix seconds when the last epoch ends."""
        return self.start + self.epochs * self.epoch_length

    def exit_fee(self, epochs: int) -> int:
        """What a host that leaves after `epochs` epochs pays of its collateral, rounded down (`Terms.exitFee`)."""
        return self.collateral * (self.epochs - epochs) // (2 * self.epochs)

    def epoch_at(self, moment: int) -> int:
        """The running epoch: below 0 before the start, `epochs` or more after the end."""
        return (moment - self.start) // self.epoch_length

    def epoch_start(self, epoch: int) -> int:
        """Unix seconds."""
        return self.start + epoch * self.epoch_length

    def provable_at(self, moment: int) -> int | None:
        """The epoch a host may prove on chain: the one that ended last, for as long as the next one lasts."""
        epoch = self.epoch_at(moment) - 1
        return epoch if 0 <= epoch < self.epochs else None

    def words(self) -> tuple[bytes, ...]:
        """Twelve ABI words: the fields are static, so this is also the struct's ABI encoding."""
        return tuple(word(getattr(self, name)) for name in _CONTRACT_FIELDS)

    def pack(self) -> bytes:
        """384 bytes, for files and wires; `unpack` reads them."""
        return b"".join(self.words())

    @classmethod
    def unpack(cls, data: bytes) -> StorageContract:
        """Raises `ChequeError` unless these are the words of a possible contract."""
        if len(data) != len(_CONTRACT_FIELDS) * _WORD:
            raise ChequeError(f"a packed storage contract has {len(_CONTRACT_FIELDS) * _WORD} bytes, not {len(data)}")
        words = (data[at : at + _WORD] for at in range(0, len(data), _WORD))
        values = {name: _READ[kind](raw) for (name, kind), raw in zip(_CONTRACT_FIELDS.items(), words, strict=True)}
        return cls(**values)

    def digest(self, market: Market) -> bytes:
        """The contract's id, and what renter and host sign."""
        return typed_digest(market.separator, STORAGE_CONTRACT_TYPE, *self.words())


_CONTRACT_FIELDS = {item.name: str(item.type) for item in fields(StorageContract)}
"""Name → annotation, in the struct's order."""


def _read_address(raw: bytes) -> Address:
    if any(raw[:12]):
        raise ChequeError("storage contract: an address is longer than 20 bytes")
    return Address(raw[12:])


_READ: dict[str, Callable[[bytes], Any]] = {
    "bytes": bytes,
    "int": lambda raw: int.from_bytes(raw, "big"),
    "Address": _read_address,
}


@dataclass(frozen=True, slots=True)
class Voucher:
    """Epochs 0 to `through_epoch` - 1 of contract `id` are paid. Raises `ChequeError` for what it cannot hold."""

    id: bytes
    through_epoch: int

    def __post_init__(self) -> None:
        _check_claim("voucher", self.id, self.through_epoch)

    def digest(self, market: Market) -> bytes:
        return typed_digest(market.separator, VOUCHER_TYPE, word(self.id), word(self.through_epoch))


@dataclass(frozen=True, slots=True)
class Cancel:
    """Both sides end contract `id`: epochs before `through_epoch` are paid, the rest of the money goes back."""

    id: bytes
    through_epoch: int

    def __post_init__(self) -> None:
        _check_claim("cancellation", self.id, self.through_epoch)

    def digest(self, market: Market) -> bytes:
        return typed_digest(market.separator, CANCEL_TYPE, word(self.id), word(self.through_epoch))


def accept_voucher(market: Market, contract: StorageContract, voucher: Voucher, signature: bytes, held: int) -> int:
    """What the voucher adds, in token units, for a host that holds one through epoch `held` (0: none).

    Raises `ChequeError` for another contract or more epochs than it has, `StaleChequeError` unless it is higher, and
    `BadSignatureError` unless renter or auditor signed it.
    """
    if voucher.id != contract.digest(market):
        raise ChequeError("the voucher is for another contract")
    if voucher.through_epoch > contract.epochs:
        raise ChequeError(f"the voucher pays {voucher.through_epoch} epochs of a contract of {contract.epochs}")
    if voucher.through_epoch <= held:
        raise StaleChequeError(f"the voucher pays {voucher.through_epoch} epochs, and {held} are paid already")
    verify(market, voucher, signature, contract.renter, contract.auditor)
    return (voucher.through_epoch - held) * contract.price_per_epoch


def _check_claim(name: str, contract_id: bytes, through_epoch: int) -> None:
    if len(contract_id) != _WORD:
        raise ChequeError(f"{name}: an id has 32 bytes, not {len(contract_id)}")
    _bounded(f"{name}: its epoch", through_epoch, 0, _UINT32)


def _bounded(what: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise ChequeError(f"{what} is {value}, out of {least} to {most}")
