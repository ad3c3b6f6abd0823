"""Legacy transactions as bytes: RLP, signed as EIP-155 says. BTTC takes no other kind with a gas price.

    sign over  keccak(rlp(nonce, gas price, gas, to, value, data, chain id, 0, 0))
    raw        rlp(nonce, gas price, gas, to, value, data, v, r, s),  v = 35 + 2 x chain id + recovery bit
    id         keccak(raw)

Done here rather than with a library that wants the secret itself: the key signs a digest and keeps its secret.
"""

from __future__ import annotations

from dataclasses import dataclass

import rlp  # type: ignore[import-untyped]  # it has neither annotations nor stubs

from wallet.address import Address
from wallet.chains.base import SignedTx, UnsignedTx
from wallet.errors import BadSignatureError
from wallet.keys import PrivateKey, keccak256, recover

MAX_RAW = 128 * 1024
"""Bytes; nodes refuse transactions above this size (geth's `txMaxSize`)."""


@dataclass(frozen=True, slots=True)
class LegacyTx:
    """What a network reads out of raw bytes."""

    nonce: int
    price: int
    gas: int
    to: Address
    value: int
    data: bytes
    sender: Address
    hash: bytes


def sign_legacy(tx: UnsignedTx, chain_id: int, key: PrivateKey) -> SignedTx:
    """Deterministic. Raises `ValueError` when the key is not the sender's, or the data is too long."""
    if key.address != tx.sender:
        raise ValueError(f"the key of {key.address} cannot sign for {tx.sender}")
    body = [
        _number(tx.nonce),
        _number(tx.fee.price),
        _number(tx.fee.limit),
        b"" if tx.call.creates else tx.call.to.raw,
        _number(tx.call.value),
        tx.call.data,
    ]
    digest = keccak256(rlp.encode([*body, _number(chain_id), b"", b""]))
    signature = key.sign_digest(digest)
    v = 35 + 2 * chain_id + signature[64] - 27
    r, s = (int.from_bytes(part, "big") for part in (signature[:32], signature[32:64]))
    raw: bytes = rlp.encode([*body, _number(v), _number(r), _number(s)])
    if len(raw) > MAX_RAW:
        raise ValueError(f"a transaction of {len(raw)} bytes; networks take at most {MAX_RAW}")
    return SignedTx(tx, raw, keccak256(raw))


def read_legacy(raw: bytes, chain_id: int) -> LegacyTx:
    """The inverse. Raises `ValueError` for bytes that are not such a transaction of this chain."""
    if len(raw) > MAX_RAW:
        raise ValueError("the transaction is too long")
    try:
        fields = rlp.decode(raw)
    except rlp.DecodingError:
        raise ValueError("the transaction is not RLP") from None
    if not isinstance(fields, list) or len(fields) != 9 or not all(isinstance(field, bytes) for field in fields):
        raise ValueError("not a legacy transaction")
    nonce, price, gas, to, value, data, v, r, s = fields
    bit = int.from_bytes(v, "big") - 35 - 2 * chain_id
    if bit not in (0, 1) or len(to) != 20 or len(r) > 32 or len(s) > 32:
        raise ValueError("signed for another chain, or without a receiver")
    digest = keccak256(rlp.encode([*fields[:6], _number(chain_id), b"", b""]))
    try:
        sender = recover(digest, r.rjust(32, b"\0") + s.rjust(32, b"\0") + bytes((27 + bit,)))
    except BadSignatureError as error:
        raise ValueError(str(error)) from None
    numbers = [int.from_bytes(field, "big") for field in (nonce, price, gas, value)]
    return LegacyTx(numbers[0], numbers[1], numbers[2], Address(to), numbers[3], data, sender, keccak256(raw))


def _number(value: int) -> bytes:
    """RLP's integers: big-endian without leading zeros. Raises `OverflowError` for a negative one."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")
