"""SHA-256 of equal pieces of a buffer, one after the other: the whole arithmetic of a Merkle tree.

The compiled function works outside the interpreter's lock and two pieces at a time; `plain` says in Python what it
does, and does it where it has not been built.
"""

from __future__ import annotations

from hashlib import sha256

Buffer = bytes | bytearray | memoryview


def plain(data: Buffer, piece: int) -> bytes:
    """32 bytes for every `piece` bytes of `data`, the last piece shorter. Raises `ValueError` for a piece of none."""
    if piece < 1:
        raise ValueError("a piece has at least 1 byte")
    view = memoryview(data)
    return b"".join(sha256(view[at : at + piece]).digest() for at in range(0, len(view), piece))


try:
    from node.storage._digests import digests as digests
except ImportError:
    digests = plain
