"""What a path holds: every file and empty folder below it, or a clear word on why it cannot be stored."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from node.packing.errors import ChangedError, PackingError, UnstorableError
from node.storage.errors import ManifestError
from node.storage.manifest import MAX_FILES, FileEntry, path_key

_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@dataclass(frozen=True, slots=True)
class Source:
    """A file to be stored, as it was when it was found."""

    path: Path
    entry: FileEntry
    changed_ns: int

    def check(self, descriptor: int) -> None:
        """Raises `ChangedError` if it is not the same file any more."""
        now = os.fstat(descriptor)
        if (now.st_size, now.st_mtime_ns) != (self.entry.size, self.changed_ns):
            raise ChangedError(f"{self.path} changed while it was read")


@dataclass(frozen=True, slots=True)
class Found:
    """All of a path, sorted as a manifest wants it. A path that is a file has one entry, with an empty path."""

    name: str
    sources: tuple[Source, ...]
    folders: tuple[tuple[str, ...], ...]
    """Those that are empty; the others follow from the files."""

    @property
    def length(self) -> int:
        return sum(source.entry.size for source in self.sources)


def scan(path: Path) -> Found:
    """Look at everything below a path; nothing is followed. Raises `UnstorableError`, `PackingError`."""
    path = Path(os.path.abspath(path))  # '.' and '..' have no name; links are kept, to be refused
    sources: list[Source] = []
    folders: list[tuple[str, ...]] = []
    try:
        path_key((path.name,))
        for place, inner, status in _walk(path, ()):
            if stat.S_ISREG(status.st_mode):
                sources.append(Source(place, FileEntry(inner, status.st_size), status.st_mtime_ns))
            else:
                folders.append(inner)
            if max(len(sources), len(folders)) > MAX_FILES:
                raise UnstorableError(f"{path} holds more than {MAX_FILES} files: store its folders one by one")
        sources.sort(key=lambda source: path_key(source.entry.path))
        folders.sort(key=path_key)
    except ManifestError as error:
        raise UnstorableError(f"{path}: {error}") from None
    except OSError as error:
        raise PackingError(f"cannot read {error.filename or path} ({error.strerror})") from None
    return Found(path.name, tuple(sources), tuple(folders))


def _walk(place: Path, inner: tuple[str, ...]) -> Iterator[tuple[Path, tuple[str, ...], os.stat_result]]:
    """Files and empty folders. Not recursive: a hostile tree may be deeper than the interpreter's stack."""
    waiting = [(place, inner)]
    while waiting:
        place, inner = waiting.pop()
        status = place.lstat()
        path_key(inner)
        if not stat.S_ISDIR(status.st_mode):
            if not stat.S_ISREG(status.st_mode):
                kind = _KINDS.get(stat.S_IFMT(status.st_mode), "no ordinary file")
                raise UnstorableError(f"{place} is {kind}: only files and folders are stored")
            yield place, inner, status
            continue
        names = os.listdir(place)
        if not names:
            yield place, inner, status
        waiting += [(place / name, (*inner, name)) for name in names]
