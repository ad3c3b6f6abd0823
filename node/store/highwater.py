"""The high-water mark: a small file beside the keys that remembers how far the database had come.

Theory. Whoever puts an old copy of the database back makes the node forget cheques it has signed. The database counts
its money transactions; after each commit the count goes into this file, which is kept with the keys, not with the
database. If at the next start the file is ahead of the database, the database has been rolled back. The file is
written after the commit and never synced, so it may lag behind, which only makes it less sharp; it can never lead.

Two records are written in turn, so that a torn write costs one step and not the mark. A record is 32 bytes: magic (8),
count (8, big-endian), zeros (12), CRC-32 of the 28 before (4).
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

_MAGIC = b"bttnHWM1"
_BODY = struct.Struct(">8sQ12x")
_CHECK = struct.Struct(">I")
RECORD = _BODY.size + _CHECK.size


class HighWaterError(Exception):
    """The file is there, but it holds no mark."""


class HighWater:
    """The open file. Raises `OSError`."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def read(self) -> int | None:
        """The mark; None for an empty file. Raises `HighWaterError` for a file that holds something else."""
        data = os.pread(self._file, 2 * RECORD, 0)
        if not data.strip(b"\0"):
            # Also what is left of a new file after a power cut.
            return None
        marks = [_decode(data[start : start + RECORD]) for start in (0, RECORD)]
        known = [mark for mark in marks if mark is not None]
        if not known:
            raise HighWaterError("no high-water mark can be read")
        return max(known)

    def write(self, sequence: int) -> None:
        body = _BODY.pack(_MAGIC, sequence)
        os.pwrite(self._file, body + _CHECK.pack(zlib.crc32(body)), sequence % 2 * RECORD)

    def close(self) -> None:
        os.close(self._file)


def _decode(record: bytes) -> int | None:
    if len(record) != RECORD:
        return None
    body, check = record[: _BODY.size], record[_BODY.size :]
    magic, sequence = _BODY.unpack(body)
    if magic != _MAGIC or check != _CHECK.pack(zlib.crc32(body)):
        return None
    return int(sequence)
