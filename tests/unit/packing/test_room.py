"""A disk with too little room is named before anything is written, and one that fills up leaves nothing half-done."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from node.packing import room
from node.packing.errors import FullError, PackingError
from node.packing.pack import pack, room_of
from node.packing.rebuild import adopt, rebuild
from node.packing.scan import scan
from node.packing.unpack import unpack
from tests.unit.packing.kit import KEYS, packed
from tests.unit.storage.test_merkle import bytes_of

MIB = 1 << 20


def leave(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(room, "disk_free", lambda folder: free)


class Filling:
    """Every descriptor's writes count; at the limit the disk is full."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
        self.left = limit
        for name in ("write", "pwrite"):
            monkeypatch.setattr(os, name, self._limited(getattr(os, name)))

    def _limited(self, real: Callable[..., int]) -> Callable[..., int]:
        def limited(descriptor: int, data: memoryview, *where: int) -> int:
            if self.left <= 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            done = real(descriptor, memoryview(data)[: self.left], *where)
            self.left -= done
            return done

        return limited


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "film"
    path.write_bytes(bytes_of("film", 4 * MIB))
    return path


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    (tmp_path / "staging").mkdir()
    return tmp_path / "staging"


def test_packing_asks_for_room_for_all_shards_before_it_writes(
    file: Path, staging: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(monkeypatch, 70 * MIB)
    with pytest.raises(FullError, match=r"^72\.1 MiB are needed on the disk of .*staging, and 70\.0 MiB are free$"):
        pack(scan(file), staging, k=3, n=6, keys=KEYS, created=0, progress=lambda _: pytest.fail("it began"))
    assert not list(staging.iterdir())
    leave(monkeypatch, 73 * MIB)
    pack(scan(file), staging, k=3, n=6, keys=KEYS, created=0)


def test_what_needs_no_room_asks_for_none(tmp_path: Path, staging: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(monkeypatch, 0)
    (tmp_path / "empty").touch()
    manifest = pack(scan(tmp_path / "empty"), staging, k=3, n=6, keys=None, created=0)
    unpack(manifest, {}, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == b""


@pytest.mark.parametrize("limit", [0, 1, 100_000, 3 * MIB])
def test_a_disk_that_fills_up_leaves_nothing_of_a_packing(
    limit: int, file: Path, staging: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        Filling(patched, limit)
        with pytest.raises(FullError, match=r"the disk of .*staging is full") as error:
            pack(scan(file), staging, k=3, n=6, keys=KEYS, created=0)
    assert "\n" not in str(error.value)
    assert not list(staging.iterdir())
    pack(scan(file), staging, k=3, n=6, keys=KEYS, created=0)


def test_restoring_asks_first_and_leaves_nothing_either(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, shards = packed(file, tmp_path)
    out = tmp_path / "out" / "again"
    out.parent.mkdir()
    with monkeypatch.context() as patched:
        leave(patched, 67 * MIB)
        with pytest.raises(FullError, match=r"68\.0 MiB are needed on the disk of .*out, and 67\.0 MiB are free"):
            unpack(manifest, shards, out, wrapping=KEYS.wrapping)
    assert not list(out.parent.iterdir())
    with monkeypatch.context() as patched:
        Filling(patched, 2 * MIB)
        with pytest.raises(FullError, match=r"the disk of .*out is full"):
            unpack(manifest, shards, out, wrapping=KEYS.wrapping)
    assert not list(out.parent.iterdir())
    unpack(manifest, shards, out, wrapping=KEYS.wrapping)
    assert out.read_bytes() == file.read_bytes()


def test_rebuilding_asks_first_and_leaves_nothing_either(
    file: Path, tmp_path: Path, staging: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, shards = packed(file, tmp_path)
    left = {number: shards[number] for number in (1, 4, 5)}
    with monkeypatch.context() as patched:
        leave(patched, 64 * MIB + 2 * room_of(manifest.shard_length) - 1)
        with pytest.raises(FullError, match=r"needed on the disk of .*staging"):
            rebuild(manifest, left, [0, 2], staging)
    assert not list(staging.iterdir())
    with monkeypatch.context() as patched:
        Filling(patched, MIB)
        with pytest.raises(FullError, match=r"the disk of .*staging is full"):
            rebuild(manifest, left, [0, 2], staging)
    assert not list(staging.iterdir())
    rebuild(manifest, left, [0, 2], staging)
    assert (staging / manifest.shards[2].root.hex()).read_bytes() == shards[2].read_bytes()


def test_a_shard_that_cannot_be_adopted_leaves_no_tree(file: Path, tmp_path: Path, staging: Path) -> None:
    manifest, shards = packed(file, tmp_path)
    root, length = manifest.shards[0].root, manifest.shard_length
    for spoiled in (shards[0].read_bytes()[:-1], shards[1].read_bytes()):
        (tmp_path / "fetched").write_bytes(spoiled)
        with pytest.raises(PackingError, match="not what its root says"):
            adopt(tmp_path / "fetched", staging, root, length)
        assert not list(staging.iterdir())
    tree = shards[0].with_suffix(".tree").read_bytes()
    adopt(shards[0], staging, root, length)
    assert (staging / f"{root.hex()}.tree").read_bytes() == tree


def test_needs_on_one_disk_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(monkeypatch, 100 * MIB)
    room.check_room((tmp_path, 18 * MIB), (tmp_path / "not" / "yet", 18 * MIB))
    with pytest.raises(FullError, match=r"104\.0 MiB are needed"):
        room.check_room((tmp_path, 20 * MIB), (tmp_path / "not" / "yet", 20 * MIB))


@pytest.mark.parametrize(
    ("size", "text"), [(1, "1 KiB"), (MIB, "1.0 MiB"), (10 * MIB + 1, "10.1 MiB"), (5 << 30, "5.0 GiB")]
)
def test_sizes_are_told_in_round_numbers_never_too_small(size: int, text: str) -> None:
    assert room._size(size) == text
