"""TRON transactions as bytes: protocol buffers, whose `raw_data` is what is signed.

    id    sha256(raw_data)
    sign  over the id
    raw   Transaction{raw_data, signature}

Two transactions are two only if their ids differ, and there is no nonce to make them differ. So the anchor holds all
that is not the call: a reference block (TAPOS: the transaction is valid only on a chain that has it), the expiry, and a
timestamp, which nobody checks and which is therefore free to be unique.

The messages are tronpy's, compiled from java-tron's `.proto` files, so every field stands where java-tron expects it.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf ships without annotations
from tronpy.proto import tron_pb2  # type: ignore[import-untyped]  # tronpy has neither annotations nor stubs

from wallet.address import TRON_PREFIX, Address
from wallet.chains.base import Call, SignedTx, UnsignedTx
from wallet.keys import SIGNATURE_BYTES, PrivateKey

MAX_RAW = 500 * 1024
"""Bytes; java-tron refuses transactions above this size (`TRANSACTION_MAX_BYTE_SIZE`)."""
MAX_SUN = 2**63 - 1
"""The largest amount, of any token number or fee, that a transaction can name."""
RESULT_BYTES = 64
"""Bytes that each transaction is charged for its result, besides its own (`MAX_RESULT_SIZE_IN_TX`)."""

_CALLER_PAYS_PERCENT = 100
_ORIGIN_ENERGY_LIMIT = 10_000_000
"""Must be positive; it binds nothing where callers pay all (`consume_user_resource_percent` 100)."""

_TYPE_URL = "type.googleapis.com/protocol."
_ANCHOR = struct.Struct(">2s8sQQ")
_Contract = tron_pb2.Transaction.Contract


@dataclass(frozen=True, slots=True)
class Anchor:
    """Reference block (its number's last two bytes, and eight bytes of its id), expiry and timestamp in ms."""

    ref_block_bytes: bytes
    ref_block_hash: bytes
    expiration: int
    timestamp: int

    @classmethod
    def at(cls, block_id: bytes, *, expiration: int, timestamp: int) -> Anchor:
        """`block_id`: 32 bytes, of which the first eight are the number."""
        return cls(block_id[6:8], block_id[8:16], expiration, timestamp)

    @classmethod
    def unpack(cls, packed: bytes) -> Anchor:
        """Raises `ValueError`."""
        if len(packed) != _ANCHOR.size:
            raise ValueError(f"a TRON transaction's anchor has {_ANCHOR.size} bytes, not {len(packed)}")
        return cls(*_ANCHOR.unpack(packed))

    def pack(self) -> bytes:
        return _ANCHOR.pack(self.ref_block_bytes, self.ref_block_hash, self.expiration, self.timestamp)


_LONGEST = Anchor(bytes(2), bytes(8), 2**42 - 1, 2**42 - 1)
"""Times up to the year 2109 take no more bytes than these."""


def tron_bytes(address: Address) -> bytes:
    """The 21 bytes that java-tron calls an address."""
    return TRON_PREFIX + address.raw


def encode_raw_data(tx: UnsignedTx) -> bytes:
    """`raw_data`: plain transfers where the call has no data, else a contract's call with energy up to the fee's limit.

    Raises `ValueError` for amounts above 63 bits, or an anchor that is none.
    """
    return _encode(tx.call, tx.sender, tx.fee.limit * tx.fee.price, Anchor.unpack(tx.anchor))


def sign_tron(tx: UnsignedTx, key: PrivateKey) -> SignedTx:
    """Deterministic. Raises `ValueError` when the key is not the sender's, or what `encode_raw_data` raises."""
    if key.address != tx.sender:
        raise ValueError(f"the key of {key.address} cannot sign for {tx.sender}")
    raw_data = encode_raw_data(tx)
    identity = hashlib.sha256(raw_data).digest()
    raw = _whole(raw_data, key.sign_digest(identity))
    if len(raw) > MAX_RAW:
        raise ValueError(f"a transaction of {len(raw)} bytes; the network takes at most {MAX_RAW}")
    return SignedTx(tx, raw, identity)


def bandwidth(call: Call, sender: Address, fee_limit: int) -> int:
    """Bytes that this transaction will be charged for, signed by one key."""
    return len(_whole(_encode(call, sender, fee_limit, _LONGEST), bytes(SIGNATURE_BYTES))) + RESULT_BYTES


def read_expiration(raw: bytes) -> int:
    """When signed bytes expire, in ms. Raises `ValueError` for bytes that are no transaction."""
    transaction = tron_pb2.Transaction()
    try:
        transaction.ParseFromString(raw)
    except DecodeError:
        raise ValueError("the bytes are no TRON transaction") from None
    expiration: int = transaction.raw_data.expiration
    if expiration <= 0:
        raise ValueError("the bytes are no TRON transaction: they never expire")
    return expiration


def _encode(call: Call, sender: Address, fee_limit: int, anchor: Anchor) -> bytes:
    kind, parameter = _parameter(call, tron_bytes(sender))
    raw_data = tron_pb2.Transaction.raw(
        ref_block_bytes=anchor.ref_block_bytes,
        ref_block_hash=anchor.ref_block_hash,
        expiration=anchor.expiration,
        timestamp=anchor.timestamp,
        fee_limit=fee_limit if call.data else 0,
    )
    contract = raw_data.contract.add(type=_Contract.ContractType.Value(kind))
    contract.parameter.type_url = _TYPE_URL + kind
    contract.parameter.value = parameter
    encoded: bytes = raw_data.SerializeToString()
    return encoded


def _parameter(call: Call, owner: bytes) -> tuple[str, bytes]:
    """The contract's type and encoded message. Fields that are 0 take no bytes."""
    if call.creates:
        return "CreateSmartContract", _creation(call, owner)
    kind, message = _message(call, owner, tron_bytes(call.to))
    encoded: bytes = message.SerializeToString()
    return kind, encoded


def _creation(call: Call, owner: bytes) -> bytes:
    """`CreateSmartContract{owner_address, new_contract}`, which tronpy's messages lack. Callers pay all energy."""
    contract = (
        (1, owner),
        (4, call.data),
        (6, _CALLER_PAYS_PERCENT),
        (7, call.creates.encode()),
        (8, _ORIGIN_ENERGY_LIMIT),
    )
    return _fields(((1, owner), (2, _fields(contract))))


def _fields(fields: Iterable[tuple[int, int | bytes]]) -> bytes:
    """Numbered fields in protocol buffers' encoding: varints, and bytes after their length."""
    return b"".join(
        _varint(number << 3) + _varint(value)
        if isinstance(value, int)
        else _varint(number << 3 | 2) + _varint(len(value)) + value
        for number, value in fields
    )


def _varint(value: int) -> bytes:
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*groups, value))


def _message(call: Call, owner: bytes, to: bytes) -> tuple[str, Any]:
    if call.data:
        return "TriggerSmartContract", tron_pb2.TriggerSmartContract(
            owner_address=owner,
            contract_address=to,
            data=call.data,
            call_value=0 if call.trc10 else call.value,
            call_token_value=call.value if call.trc10 else 0,
            token_id=call.trc10,
        )
    if call.trc10:
        return "TransferAssetContract", tron_pb2.TransferAssetContract(
            asset_name=str(call.trc10).encode(), owner_address=owner, to_address=to, amount=call.value
        )
    return "TransferContract", tron_pb2.TransferContract(owner_address=owner, to_address=to, amount=call.value)


def _whole(raw_data: bytes, signature: bytes) -> bytes:
    transaction = tron_pb2.Transaction(signature=[signature])
    transaction.raw_data.ParseFromString(raw_data)
    encoded: bytes = transaction.SerializeToString()
    return encoded
