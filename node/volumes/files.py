"""Writing files so that they are whole or not there, and reading them in full."""

from __future__ import annotations

import os
from pathlib import Path

READ_PART = 1 << 20


def sync_folder(folder: Path) -> None:
    """Make names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make a file's content durable, whoever wrote it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: Path, content: bytes) -> None:
    """Write a small file in place of what is there; after a crash there is the old one or the new one."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(path)
    sync_folder(path.parent)


def read_small(path: Path, limit: int) -> bytes:
    """All of a small file. Raises `ValueError` for one longer than `limit`."""
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"{path} is longer than {limit} bytes")
    return content


def read_range(descriptor: int, offset: int, length: int) -> bytes:
    """`length` bytes at `offset`. Raises `EOFError` where the file ends before."""
    parts = []
    while length:
        part = os.pread(descriptor, min(length, READ_PART), offset)
        if not part:
            raise EOFError(f"the file ends at byte {offset}")
        parts.append(part)
        offset, length = offset + len(part), length - len(part)
    return b"".join(parts)
