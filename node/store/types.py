"""Column types: how domain values lie in the database."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Any, Generic, TypeVar

from sqlalchemy import Dialect, LargeBinary, String
from sqlalchemy.types import TypeDecorator

from wallet.address import Address
from wallet.amount import MAX_AMOUNT
from wallet.storage_terms import StorageContract

AMOUNT_BYTES = 32
HASH_BYTES = 32


class Amount256(TypeDecorator[int]):
    """0 .. 2^256 - 1 as 32 bytes, big-endian: no database has such integers, and this way they still sort."""

    impl = LargeBinary(AMOUNT_BYTES)
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> bytes | None:
        if value is None:
            return None
        if not 0 <= value <= MAX_AMOUNT:
            raise OverflowError("an amount does not fit 256 bits")
        return value.to_bytes(AMOUNT_BYTES, "big")

    def process_result_value(self, value: Any, dialect: Dialect) -> int | None:
        return None if value is None else int.from_bytes(value, "big")


class AddressBytes(TypeDecorator[Address]):
    """The 20 bytes of an address."""

    impl = LargeBinary(20)
    cache_ok = True

    def process_bind_param(self, value: Address | None, dialect: Dialect) -> bytes | None:
        return None if value is None else value.raw

    def process_result_value(self, value: Any, dialect: Dialect) -> Address | None:
        return None if value is None else Address(value)


class OptionalAddress(TypeDecorator[Address]):
    """An address that may be missing, as 20 zero bytes then: a primary key has no NULL."""

    impl = LargeBinary(20)
    cache_ok = True

    def process_bind_param(self, value: Address | None, dialect: Dialect) -> bytes:
        return bytes(20) if value is None else value.raw

    def process_result_value(self, value: Any, dialect: Dialect) -> Address | None:
        return Address(value) if any(value) else None


class PathBytes(TypeDecorator[Path]):
    """A path as the file system's own bytes: file names need not be valid text."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: Path | None, dialect: Dialect) -> bytes | None:
        return None if value is None else os.fsencode(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Path | None:
        return None if value is None else Path(os.fsdecode(value))


class HashList(TypeDecorator[tuple[bytes, ...]]):
    """32-byte hashes, one after the other."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: tuple[bytes, ...] | None, dialect: Dialect) -> bytes | None:
        if value is None:
            return None
        if any(len(entry) != HASH_BYTES for entry in value):
            raise ValueError(f"a hash has {HASH_BYTES} bytes")
        return b"".join(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> tuple[bytes, ...] | None:
        if value is None:
            return None
        return tuple(value[start : start + HASH_BYTES] for start in range(0, len(value), HASH_BYTES))


class PackedTerms(TypeDecorator[StorageContract]):
    """A storage contract as its packed words."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: StorageContract | None, dialect: Dialect) -> bytes | None:
        return None if value is None else value.pack()

    def process_result_value(self, value: Any, dialect: Dialect) -> StorageContract | None:
        return None if value is None else StorageContract.unpack(value)


class Words(TypeDecorator[tuple[str, ...]]):
    """Texts without white space, such as addresses of peers, with a space between them."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: tuple[str, ...] | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        if any(word.split() != [word] for word in value):
            raise ValueError("a word has a letter, and no white space")
        return " ".join(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> tuple[str, ...] | None:
        return None if value is None else tuple(value.split())


EnumT = TypeVar("EnumT", bound=StrEnum)


class EnumText(TypeDecorator[EnumT], Generic[EnumT]):
    """A `StrEnum` as its text, so that a new member needs no migration."""

    impl = String
    cache_ok = True

    def __init__(self, enum: type[EnumT]) -> None:
        super().__init__()
        self.enum = enum

    def process_bind_param(self, value: EnumT | None, dialect: Dialect) -> str | None:
        return None if value is None else value.value

    def process_result_value(self, value: Any, dialect: Dialect) -> EnumT | None:
        return None if value is None else self.enum(value)
