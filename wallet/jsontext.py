"""JSON from strangers, whose depth is bounded before it is parsed.

Python's parser recurses, and its own limit is no protection: importing web3 or eth_account raises the limit of the
whole process to 100 000 (py_ecc does), with which deeply nested brackets overrun the stack.
"""

from __future__ import annotations

import json
from typing import Any

MAX_DEPTH = 64
"""A full block has 5 levels on EVM chains and 8 on TRON; our own messages have fewer."""

_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


class DepthError(ValueError):
    """More than `MAX_DEPTH` brackets stand open at once."""


def load(raw: bytes) -> Any:
    """Any JSON value. Raises `DepthError`, and `ValueError` for what is no JSON."""
    if depth(raw) > MAX_DEPTH:
        raise DepthError(f"JSON nested deeper than {MAX_DEPTH}")
    return json.loads(raw)


def depth(raw: bytes) -> int:
    """The deepest nesting of brackets; those in strings count, too."""
    now = deepest = 0
    for bracket in raw.translate(None, _NO_BRACKETS):
        if bracket in b"[{":
            now += 1
            deepest = max(deepest, now)
        else:
            now -= 1
    return deepest
