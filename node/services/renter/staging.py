"""The folder where an object's shards wait until hosts have them: one file per shard, named by its root.

A file that has its root as its name is whole (`node.packing`), so the folder itself says what can be seeded and placed.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from node.storage.manifest import Manifest


class Staging:
    """All objects' folders below one. These calls are short; none reads a shard."""

    def __init__(self, base: Path) -> None:
        self.base = base

    def folder(self, object_id: str) -> Path:
        """Of one object; made where it is missing."""
        folder = self.base / object_id
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def empty(self, object_id: str) -> Path:
        """The folder, without what an interrupted packing left."""
        shutil.rmtree(self.base / object_id, ignore_errors=True)
        return self.folder(object_id)

    def staged(self, object_id: str, manifest: Manifest) -> set[int]:
        """The numbers of the shards that are there."""
        folder = self.base / object_id
        return {number for number, shard in enumerate(manifest.shards) if (folder / shard.root.hex()).is_file()}

    def free(self, object_id: str, roots: Iterable[bytes]) -> None:
        """Delete shards that hosts have."""
        for root in roots:
            shard = self.base / object_id / root.hex()
            shard.unlink(missing_ok=True)
            shard.with_name(f"{shard.name}.tree").unlink(missing_ok=True)

    def remove(self, object_id: str) -> None:
        """Delete the folder with all that is in it."""
        shutil.rmtree(self.base / object_id, ignore_errors=True)

    def strays(self, known: Iterable[str]) -> list[str]:
        """Folders of objects that are not known any more."""
        if not self.base.is_dir():
            return []
        return sorted({path.name for path in self.base.iterdir() if path.is_dir()} - set(known))
