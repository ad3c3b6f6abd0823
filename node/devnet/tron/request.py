"""A request to the TRON door, taken apart: whatever came by query or body, read with bounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from node.devnet.tron.chain import TronChain
from node.devnet.tron.protojson import BadJsonError, Json, address_in, flag_in, hex_in, int_in, shown, text_in

_ADDRESS_BYTES, _ID_BYTES = 21, 32
_LONGEST_TEXT = 1_000


@dataclass(frozen=True, slots=True)
class Request:
    """`visible`: base58 and text rather than hex. `solid`: asked of `/walletsolidity`, so only of what is final.

    Readers raise `BadJsonError`.
    """

    parameters: Json
    visible: bool = False
    solid: bool = False

    def has(self, key: str) -> bool:
        """Whether something other than nothing was given."""
        return self.parameters.get(key) not in (None, "")

    def address(self, key: str) -> bytes:
        """The core's 20 bytes."""
        address = address_in(self._given(key), self.visible)
        if len(address) != _ADDRESS_BYTES or address[0] != 0x41:
            raise BadJsonError(f"Invalid address: {shown(self.parameters[key])}")
        return address[1:]

    def id(self, key: str) -> bytes:
        """A transaction's or block's 32 bytes."""
        value = hex_in(self._given(key))
        if len(value) != _ID_BYTES:
            raise BadJsonError(f"not an id of 64 hex digits: {shown(self.parameters[key])}")
        return value

    def number(self, key: str, default: int | None = None, *, least: int = 0, most: int = 2**63 - 1) -> int:
        if default is not None and not self.has(key):
            return default
        value = int_in(self._given(key))
        if not least <= value <= most:
            raise BadJsonError(f"{key} is {value}: {least} to {most} are possible")
        return value

    def flag(self, key: str, default: bool) -> bool:
        return flag_in(self.parameters[key]) if self.has(key) else default

    def text(self, key: str) -> str:
        value = self._given(key)
        text = text_in(value, visible=True).decode()
        if len(text) > _LONGEST_TEXT:
            raise BadJsonError(f"{key} is not a short text: {shown(value)}")
        return text

    def _given(self, key: str) -> object:
        if not self.has(key):
            raise BadJsonError(f"{key} isn't set.")
        return self.parameters[key]


Handler = Callable[[TronChain, Request], Any]
"""A method: JSON out, `BadJsonError` or `DevnetError` for what cannot be answered."""
