"""The demo's files: made up, hashed, taken away."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

CHUNK = 1 << 20


def generate(path: Path, size: int, seed: int) -> None:
    """Write `size` bytes that do not compress and are the same in every run."""
    source = random.Random(seed)  # noqa: S311 - test data, not a secret
    with path.open("wb") as file:
        for offset in range(0, size, CHUNK):
            file.write(source.randbytes(min(CHUNK, size - offset)))


def sha256(path: Path) -> str:
    """Hexadecimal; of nothing where there is no such file, which differs from every file's."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
