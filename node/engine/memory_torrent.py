"""A torrent of the in-memory engine: its pieces on disk, verified by their version 1 hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from node.bencode import decode
from node.ports.engine import TorrentInfo

BLOCK = 16 * 1024
MAX_TORRENT = 64 << 20


class MemoryTorrent:
    """Data in memory while it is incomplete, written out piece by piece as pieces pass."""

    def __init__(
        self, info: TorrentInfo, data: bytes, save_path: Path, *, paused: bool, wanted: Sequence[int] | None = None
    ) -> None:
        self.info = info
        self.data = data
        self.save_path = save_path
        self.paused = paused
        self.downloaded = 0
        self.uploaded = 0
        self.first: int | None = None
        """A piece that is wanted before the others."""
        found: dict[bytes, Any] = decode(data, max_bytes=MAX_TORRENT, max_depth=32, max_items=4_000_000)[b"info"]
        hashes: bytes = found[b"pieces"]
        self.hashes = [hashes[i : i + 20] for i in range(0, len(hashes), 20)]
        self.have = bytearray(len(self.hashes))
        self.wanted = list(range(len(self.hashes))) if wanted is None else sorted(set(wanted))
        if wanted is not None and not (self.wanted and 0 <= self.wanted[0] <= self.wanted[-1] < len(self.hashes)):
            raise ValueError(f"wanted: some of the pieces 0 to {len(self.hashes) - 1}")
        self.layout = self._layout(found)
        self.length = sum(length for _, length in self.layout)
        self._partial: dict[int, bytearray] = {}
        self._missing: dict[int, set[int]] = {}
        self._requested: set[tuple[int, int]] = set()

    def _layout(self, info: dict[bytes, Any]) -> list[tuple[Path | None, int]]:
        """(file or None for padding, length) in stream order (BEP 3, BEP 47)."""
        root = self.save_path / info[b"name"].decode()
        if b"files" not in info:
            return [(root, info[b"length"])]
        return [
            (
                None if b"p" in entry.get(b"attr", b"") else root.joinpath(*(part.decode() for part in entry[b"path"])),
                entry[b"length"],
            )
            for entry in info[b"files"]
        ]

    @property
    def complete(self) -> bool:
        return all(self.have)

    @property
    def finished(self) -> bool:
        """Whether all that is wanted is here."""
        return all(self.have[piece] for piece in self.wanted)

    @property
    def done_bytes(self) -> int:
        padding = sum(length for path, length in self.layout if path is None)
        done = sum(self.size_of(piece) for piece, here in enumerate(self.have) if here)
        return max(0, done - padding) if self.complete else min(done, self.info.total_bytes)

    def size_of(self, piece: int) -> int:
        return min(self.info.piece_length, self.length - piece * self.info.piece_length)

    def load(self, *, trust: bool, claimed: bytes | None) -> None:
        """Find out what is on disk: trust all of it, trust what resume data claims, or hash it."""
        for piece in range(len(self.hashes)):
            if trust or (claimed is not None and claimed[piece]):
                self.have[piece] = 1
            else:
                data = self.piece(piece)
                self.have[piece] = hashlib.sha1(data, usedforsecurity=False).digest() == self.hashes[piece]

    def piece(self, piece: int) -> bytes:
        """A piece as it is on disk, zeros where nothing is."""
        return b"".join(self._read(path, offset, length) for path, offset, length in self._spans(piece))

    @staticmethod
    def _read(path: Path | None, offset: int, length: int) -> bytes:
        data = b""
        if path is not None and path.exists():
            with path.open("rb") as file:
                file.seek(offset)
                data = file.read(length)
        return data.ljust(length, b"\0")

    def _spans(self, piece: int) -> list[tuple[Path | None, int, int]]:
        """(file, offset in it, length) that make up a piece."""
        start, left = piece * self.info.piece_length, self.size_of(piece)
        spans, at = [], 0
        for path, length in self.layout:
            if start < at + length and left:
                offset = start - at
                part = min(length - offset, left)
                spans.append((path, offset, part))
                start, left = start + part, left - part
            at += length
        return spans

    def missing_blocks(self, available: bytearray) -> int:
        """How many blocks are missing here that somebody who has `available` can send."""
        return sum(
            len(self._missing[piece]) if piece in self._missing else -(-self.size_of(piece) // BLOCK)
            for piece in self.wanted
            if available[piece] and not self.have[piece]
        )

    def next_request(self, available: bytearray) -> tuple[int, int] | None:
        """The next block to ask for from somebody who has `available`: (piece, offset)."""
        order = self.wanted if self.first is None else (self.first, *self.wanted)
        for piece in order:
            if self.have[piece] or not available[piece]:
                continue
            missing = self._missing.setdefault(piece, set(range(0, self.size_of(piece), BLOCK)))
            for offset in sorted(missing):
                if (piece, offset) not in self._requested:
                    self._requested.add((piece, offset))
                    return piece, offset
        return None

    def give_back(self, piece: int, offset: int) -> None:
        """A request that was not served after all."""
        self._requested.discard((piece, offset))

    def store(self, piece: int, offset: int, data: bytes) -> bool | None:
        """Take a block. True: its piece passed; False: it failed and is wanted again; None: more to come."""
        if self.have[piece]:
            return None
        buffer = self._partial.setdefault(piece, bytearray(self.size_of(piece)))
        buffer[offset : offset + len(data)] = data
        missing = self._missing.setdefault(piece, set(range(0, self.size_of(piece), BLOCK)))
        missing.discard(offset)
        self._requested.discard((piece, offset))
        if missing:
            return None
        del self._partial[piece], self._missing[piece]
        if hashlib.sha1(buffer, usedforsecurity=False).digest() != self.hashes[piece]:
            return False
        self._write(piece, bytes(buffer))
        self.have[piece] = 1
        return True

    def _write(self, piece: int, data: bytes) -> None:
        at = 0
        for path, offset, length in self._spans(piece):
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("r+b" if path.exists() else "w+b") as file:
                    file.seek(offset)
                    file.write(data[at : at + length])
            at += length
