"""Trees of files, and how they compare."""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import count
from pathlib import Path

from node.packing.pack import Keys, pack
from node.packing.scan import scan
from node.storage.manifest import Manifest
from tests.unit.storage.test_merkle import bytes_of

KEYS = Keys(bytes(range(32)), bytes(reversed(range(32))))
_numbers = count()


def make_tree(folder: Path, content: Mapping[str, int | None]) -> Path:
    """Files of so many bytes; None: an empty folder."""
    for name, size in content.items():
        path = folder / name
        if size is None:
            path.mkdir(parents=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes_of(name, size))
    return folder


def snapshot(path: Path) -> dict[str, bytes | None]:
    """All below a path, by relative names."""
    if path.is_file():
        return {"": path.read_bytes()}
    found: dict[str, bytes | None] = {}
    for place, folders, files in os.walk(path):
        inner = Path(place).relative_to(path)
        found |= {str(inner / name): (Path(place) / name).read_bytes() for name in files}
        if not folders and not files:
            found[str(inner)] = None
    return found


def packed(
    path: Path, folder: Path, k: int = 3, n: int = 6, *, public: bool = False
) -> tuple[Manifest, dict[int, Path]]:
    """The manifest, and the shards' files by number."""
    staging = folder / f"staging{next(_numbers)}"
    staging.mkdir()
    manifest = pack(scan(path), staging, k=k, n=n, keys=None if public else KEYS, created=1_800_000_000)
    return manifest, {number: staging / shard.root.hex() for number, shard in enumerate(manifest.shards)}
