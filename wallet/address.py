"""20-byte account addresses and their two text forms.

EVM: `0x` and 40 hex digits, checksummed by letter case (EIP-55). TRON: base58check of 0x41 and the same 20 bytes, or 42
hex digits that start with 41. Inside the node an address is always the 20 bytes; text is for people and wires.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import base58
from Crypto.Hash import keccak

from wallet.errors import AddressError, quoted

TRON_PREFIX = b"\x41"
_EVM = re.compile(r"0[xX]([0-9a-fA-F]{40})\Z")
_TRON_HEX = re.compile(r"41([0-9a-fA-F]{40})\Z")
_TRON = re.compile(r"T[1-9A-HJ-NP-Za-km-z]{33}\Z")
_LONGEST = 42


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """20 raw bytes. Raises `AddressError` for any other length."""

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != 20:
            raise AddressError(f"an address has 20 bytes, not {len(self.raw)}")

    @classmethod
    def parse(cls, text: str) -> Address:
        """Either text form. Mixed case must carry a right EIP-55 checksum, base58 a right check sum."""
        text = text.strip()
        if match := _EVM.match(text):
            digits = match.group(1)
            address = cls(bytes.fromhex(digits))
            if digits not in (digits.lower(), digits.upper()) and address.evm[2:] != digits:
                raise AddressError(f"{text}: the checksum does not match (EIP-55): a character is mistyped")
            return address
        if match := _TRON_HEX.match(text):
            return cls(bytes.fromhex(match.group(1)))
        if _TRON.match(text):
            try:
                raw = base58.b58decode_check(text)
            except ValueError:
                raise AddressError(f"{text}: the checksum does not match: a character is mistyped") from None
            if len(raw) == 21 and raw[:1] == TRON_PREFIX:
                return cls(raw[1:])
        # What is longer than an address may be a key or a mnemonic pasted into the wrong place: it is not repeated.
        shown = quoted(text) if len(text) <= _LONGEST else f"a text of {len(text)} characters"
        raise AddressError(f"{shown} is not an address: expected 0x and 40 hex digits, or T and 33 characters")

    @classmethod
    def parse_on(cls, text: str, *, tron: bool) -> Address:
        """`parse`, and the text form must be that of the network money is sent on.

        Both forms name the same key, but a receiver who gave the other form may not watch this network at all.
        """
        address = cls.parse(text)
        if tron and text.strip()[:1] == "0":
            raise AddressError(f"{address.evm} is an EVM address, and this network is TRON: ask for one with T")
        if not tron and text.strip()[:1] != "0":
            raise AddressError(
                f"{address.tron} is a TRON address, and this network is an EVM chain: ask for one with 0x"
            )
        return address

    @property
    def evm(self) -> str:
        """`0x…` with the EIP-55 checksum."""
        return _eip55(self.raw)

    @property
    def tron(self) -> str:
        """`T…` in base58check."""
        return base58.b58encode_check(TRON_PREFIX + self.raw).decode()

    @property
    def tron_hex(self) -> str:
        """`41…`, 42 lower-case hex digits, as java-tron writes it."""
        return (TRON_PREFIX + self.raw).hex()

    def __bytes__(self) -> bytes:
        return self.raw

    def __str__(self) -> str:
        return self.evm


@lru_cache(maxsize=4096)
def _eip55(raw: bytes) -> str:
    digits = raw.hex()
    check = keccak.new(digest_bits=256, data=digits.encode()).hexdigest()
    return "0x" + "".join(d.upper() if int(c, 16) > 7 else d for d, c in zip(digits, check, strict=False))
