"""Bencoding (BEP 3), strict and bounded, for untrusted bytes.

Canonical form only: dictionary keys unique and sorted, integers without leading zeros or "-0", no trailing bytes. So
two equal values have equal bytes, and a signature or hash over them means one thing. The decoder's work is bounded by
`max_bytes`, its stack by `max_depth`, its memory by `max_items`; integers by what 256 bits can hold. The encoder writes
canonical form only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MAX_INTEGER = 2**256 - 1
MAX_DIGITS = len(str(MAX_INTEGER))


class BencodeError(ValueError):
    """The bytes are not canonical bencoding, or larger than allowed. One line."""


def encode(value: object) -> bytes:
    """Encode int, bytes, str (as UTF-8), sequences, and mappings with bytes or str keys.

    Raises `TypeError` for what bencoding cannot express, `ValueError` for a text with a lone surrogate or two keys that
    become the same bytes. Size, depth and numbers are the caller's to keep within what the other side decodes.
    """
    parts: list[bytes] = []
    _encode(value, parts)
    return b"".join(parts)


def _encode(value: object, parts: list[bytes]) -> None:
    if isinstance(value, bool):
        raise TypeError("bencoding has no booleans")
    if isinstance(value, int):
        parts.append(b"i%de" % value)
    elif isinstance(value, (bytes, bytearray, memoryview)):
        data = bytes(value)
        parts += (b"%d:" % len(data), data)
    elif isinstance(value, str):
        _encode(value.encode(), parts)
    elif isinstance(value, Mapping):
        items = {key.encode() if isinstance(key, str) else key: item for key, item in value.items()}
        if not all(isinstance(key, bytes) for key in items):
            raise TypeError("bencoded keys are strings")
        if len(items) != len(value):
            raise ValueError("two keys of a mapping are the same string")
        parts.append(b"d")
        for key in sorted(items):
            _encode(key, parts)
            _encode(items[key], parts)
        parts.append(b"e")
    elif isinstance(value, Sequence):
        parts.append(b"l")
        for item in value:
            _encode(item, parts)
        parts.append(b"e")
    else:
        raise TypeError(f"cannot bencode {type(value).__name__}")


def decode(data: bytes, *, max_bytes: int = 1 << 20, max_depth: int = 16, max_items: int = 65536) -> Any:
    """Decode one value: int, bytes, list, or dict with bytes keys. Raises `BencodeError`, and nothing else.

    `max_items` counts values at every level, keys excepted (each has a value). `max_depth` counts levels, a bare value
    being one; each costs two Python frames, so it should stay below a hundred or so.
    """
    if len(data) > max_bytes:
        raise BencodeError(f"longer than {max_bytes} bytes")
    reader = _Reader(data, max_items)
    value = reader.value(max_depth)
    if reader.at != len(data):
        raise BencodeError(f"trailing bytes after byte {reader.at}")
    return value


class _Reader:
    def __init__(self, data: bytes, max_items: int) -> None:
        self.data = data
        self.at = 0
        self.items_left = max_items

    def value(self, depth: int) -> Any:
        if depth == 0:
            raise BencodeError("nested too deeply")
        if self.items_left == 0:
            raise BencodeError("too many items")
        self.items_left -= 1
        kind = self.data[self.at : self.at + 1]
        if kind.isdigit():
            return self.string()
        if kind == b"i":
            self.at += 1
            return self.number(b"e", signed=True)
        if kind == b"l":
            self.at += 1
            items = []
            while not self.ended():
                items.append(self.value(depth - 1))
            return items
        if kind == b"d":
            self.at += 1
            return self.dictionary(depth)
        raise BencodeError(f"unexpected byte at {self.at}" if kind else "ends too early")

    def dictionary(self, depth: int) -> dict[bytes, Any]:
        result: dict[bytes, Any] = {}
        last: bytes | None = None
        while not self.ended():
            if not self.data[self.at : self.at + 1].isdigit():
                raise BencodeError(f"a dictionary key is not a string at byte {self.at}")
            key = self.string()
            if last is not None and key <= last:
                raise BencodeError(f"dictionary keys are not sorted and unique at byte {self.at}")
            last = key
            result[key] = self.value(depth - 1)
        return result

    def ended(self) -> bool:
        if self.data[self.at : self.at + 1] == b"e":
            self.at += 1
            return True
        return False

    def string(self) -> bytes:
        length = self.number(b":", signed=False)
        start = self.at
        if length > len(self.data) - start:
            raise BencodeError("a string is longer than the data")
        self.at += length
        return self.data[start : self.at]

    def number(self, end: bytes, *, signed: bool) -> int:
        stop = self.data.find(end, self.at, self.at + MAX_DIGITS + 2)
        if stop < 0:
            raise BencodeError(f"a number at byte {self.at} does not end or is too long")
        text = self.data[self.at : stop]
        digits = text[1:] if signed and text[:1] == b"-" else text
        if not digits.isdigit() or (digits[0] == 0x30 and len(text) > 1):
            raise BencodeError(f"not a canonical number at byte {self.at}")
        number = int(text)
        if not -MAX_INTEGER <= number <= MAX_INTEGER:
            raise BencodeError(f"a number at byte {self.at} is out of range")
        self.at = stop + 1
        return number
