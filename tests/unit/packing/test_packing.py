"""What is stored comes back byte for byte, from any k shards, or not at all."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Mapping
from pathlib import Path

import pytest

from node.packing.errors import (
    CancelledByUserError,
    ChangedError,
    OccupiedError,
    PackingError,
    UnstorableError,
)
from node.packing.pack import Keys, pack
from node.packing.scan import scan
from node.packing.unpack import BadShardError, unpack
from node.storage.errors import SealError, ShardError
from node.storage.manifest import Manifest
from node.storage.merkle import TreeLayout, root_of
from tests.unit.packing.kit import KEYS, make_tree, packed, snapshot
from tests.unit.storage.test_merkle import bytes_of
from tests.unit.storage.test_torrent import tree_of

KIB, MIB = 1 << 10, 1 << 20
SIZES = [0, 1, 16 * KIB - 1, 16 * KIB, 16 * KIB + 1, MIB - 1, MIB, MIB + 1, 3 * MIB - 48, 3 * MIB + 1, 7 * MIB + 13]


@pytest.mark.parametrize("public", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_a_file_of_any_size_comes_back_from_any_k_shards(size: int, public: bool, tmp_path: Path) -> None:
    file = tmp_path / "film.mkv"
    file.write_bytes(bytes_of("file", size))
    manifest, shards = packed(file, tmp_path, public=public)
    left = dict(random.Random(size).sample(sorted(shards.items()), min(3, len(shards))))
    unpack(manifest, left, tmp_path / "again.mkv", wrapping=KEYS.wrapping)
    assert (tmp_path / "again.mkv").read_bytes() == file.read_bytes()
    assert not list(tmp_path.glob(".*"))


def test_a_wide_code_that_leaves_memory_for_one_stripe_only_works_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.packing.pack.MEMORY", 0)
    monkeypatch.setattr("node.packing.unpack.MEMORY", 0)
    file = tmp_path / "film.mkv"
    file.write_bytes(bytes_of("file", 10 * MIB))
    manifest, shards = packed(file, tmp_path)
    unpack(manifest, {n: shards[n] for n in (1, 3, 5)}, tmp_path / "again.mkv", wrapping=KEYS.wrapping)
    assert (tmp_path / "again.mkv").read_bytes() == file.read_bytes()


TREE = {
    "a/b/c.txt": 5,
    "a/b.txt": 100_000,
    "leer/darunter": None,
    "ünïcødé/日本語/😀.bin": 3 * MIB,
    "空": 0,
    "a/empty": 0,
    "z" * 200: 17,
    "-rf": 1,
    " spaces ": 2,
}


def test_a_folder_comes_back_with_its_names_empty_files_and_empty_folders(tmp_path: Path) -> None:
    folder = make_tree(tmp_path / "Bücher", TREE)
    manifest, shards = packed(folder, tmp_path, 2, 5)
    assert manifest.name == "Bücher"
    unpack(manifest, {n: shards[n] for n in (1, 4)}, tmp_path / "again", wrapping=KEYS.wrapping)
    assert snapshot(tmp_path / "again") == snapshot(folder)


def test_ten_thousand_small_files_come_back(tmp_path: Path) -> None:
    folder = make_tree(tmp_path / "many", {f"{i % 100:02}/{i:05}.txt": i % 50 for i in range(10_000)})
    manifest, shards = packed(folder, tmp_path)
    unpack(manifest, {n: shards[n] for n in (0, 3, 5)}, tmp_path / "again", wrapping=KEYS.wrapping)
    assert snapshot(tmp_path / "again") == snapshot(folder)


@pytest.mark.parametrize("content", [{}, {"x": None}, {"x": 0}])
def test_what_holds_nothing_comes_back_too(content: Mapping[str, int | None], tmp_path: Path) -> None:
    folder = tmp_path / "nothing"
    folder.mkdir()
    make_tree(folder, content)
    for public in (False, True):
        manifest, shards = packed(folder, tmp_path, public=public)
        out = tmp_path / f"again{public}"
        unpack(manifest, shards, out, wrapping=KEYS.wrapping)
        assert snapshot(out) == snapshot(folder)


def test_shards_have_the_roots_and_trees_that_the_manifest_and_the_swarm_know(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(bytes_of("file", 4 * MIB))
    manifest, shards = packed(file, tmp_path, 2, 4)
    for number, path in shards.items():
        data = path.read_bytes()
        assert len(data) == manifest.shard_length
        assert root_of(data) == manifest.shards[number].root
        tree = path.with_suffix(".tree").read_bytes()
        assert (len(tree), tree) == (TreeLayout(len(data)).size, tree_of(data))
    assert len(list(shards[0].parent.iterdir())) == 8


def test_hosts_see_nothing_of_what_is_sealed(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"secret words " * 10_000)
    _, sealed = packed(file, tmp_path)
    _, public = packed(file, tmp_path, public=True)
    assert not any(b"secret words" in path.read_bytes() for path in sealed.values())
    assert any(b"secret words" in path.read_bytes() for path in public.values())


@pytest.mark.parametrize("public", [False, True])
@pytest.mark.parametrize("where", [0, 1_000_000, -1])
def test_a_damaged_shard_is_named_and_nothing_is_restored(where: int, public: bool, tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(bytes_of("file", 5 * MIB))
    manifest, shards = packed(file, tmp_path, public=public)
    data = bytearray(shards[4].read_bytes())
    data[where] ^= 1
    shards[4].write_bytes(data)
    with pytest.raises(BadShardError, match="shard 4") as error:
        unpack(manifest, {n: shards[n] for n in (1, 2, 4)}, tmp_path / "again", wrapping=KEYS.wrapping)
    assert error.value.number == 4
    assert not (tmp_path / "again").exists()
    assert not list(tmp_path.glob(".*"))
    unpack(manifest, {n: shards[n] for n in (1, 2, 5)}, tmp_path / "again", wrapping=KEYS.wrapping)


@pytest.mark.parametrize("case", ["short", "gone"])
def test_a_shard_that_is_not_whole_is_named(case: str, tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(bytes_of("file", MIB))
    manifest, shards = packed(file, tmp_path)
    if case == "short":
        os.truncate(shards[2], 10)
    else:
        shards[2].unlink()
    with pytest.raises(BadShardError) as error:
        unpack(manifest, {n: shards[n] for n in (0, 1, 2)}, tmp_path / "again", wrapping=KEYS.wrapping)
    assert error.value.number == 2


def test_too_few_shards_are_too_few(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"x")
    manifest, shards = packed(file, tmp_path)
    with pytest.raises(ShardError, match="2 shards are left and 3 are needed"):
        unpack(manifest, {n: shards[n] for n in (0, 1)}, tmp_path / "again", wrapping=KEYS.wrapping)


def test_another_wallet_cannot_open_it(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"x")
    manifest, shards = packed(file, tmp_path)
    with pytest.raises(SealError, match="another wallet"):
        unpack(manifest, shards, tmp_path / "again", wrapping=bytes(32))


@pytest.mark.parametrize("kind", ["file", "folder", "dangling link"])
def test_nothing_that_is_there_is_overwritten(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"x")
    manifest, shards = packed(file, tmp_path)
    out = tmp_path / "out"
    if kind == "file":
        out.touch()
    elif kind == "folder":
        out.mkdir()
    else:
        out.symlink_to("nowhere")
    with pytest.raises(OccupiedError, match="exists"):
        unpack(manifest, shards, out, wrapping=KEYS.wrapping)


@pytest.mark.parametrize("kind", ["link", "pipe", "socket", "link to a folder"])
def test_what_is_neither_file_nor_folder_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    folder = make_tree(tmp_path / "folder", {"fine": 1, "inner/fine": 1})
    odd = folder / "inner" / "odd"
    listener = socket.socket(socket.AF_UNIX)
    if kind == "link":
        odd.symlink_to(folder / "fine")
    elif kind == "link to a folder":
        odd.symlink_to(folder)
    elif kind == "pipe":
        os.mkfifo(odd)
    else:
        listener.bind(str(odd))
    listener.close()
    with pytest.raises(UnstorableError, match=r"inner/odd is a (symbolic link|pipe|socket)"):
        scan(folder)
    with pytest.raises(UnstorableError):
        scan(odd)


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (Path(os.fsdecode(bytes(folder) + b"/caf\xe9"))).touch()
    with pytest.raises(UnstorableError, match="not text"):
        scan(folder)


@pytest.mark.parametrize("path", ["/", "nothing here"])
def test_a_path_that_cannot_be_stored_is_one_line(path: str, tmp_path: Path) -> None:
    with pytest.raises(PackingError) as error:
        scan(tmp_path / path)
    assert "\n" not in str(error.value)


def test_a_file_that_changes_meanwhile_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(bytes(MIB))
    found = scan(file)
    (tmp_path / "staging").mkdir()
    grown = False

    def grow(done: int) -> None:
        nonlocal grown
        if not grown:
            grown = True
            with file.open("ab") as more:
                more.write(b"more")

    with pytest.raises(ChangedError, match="changed while"):
        pack(found, tmp_path / "staging", k=2, n=3, keys=None, created=0, progress=grow)
    assert list((tmp_path / "staging").iterdir()) == []


def test_a_call_that_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(bytes_of("file", 7 * MIB))
    (tmp_path / "staging").mkdir()
    with pytest.raises(CancelledByUserError):
        pack(scan(file), tmp_path / "staging", k=2, n=3, keys=KEYS, created=0, cancelled=lambda: True)
    assert list((tmp_path / "staging").iterdir()) == []
    manifest, shards = packed(file, tmp_path)
    with pytest.raises(CancelledByUserError):
        unpack(manifest, shards, tmp_path / "again", wrapping=KEYS.wrapping, cancelled=lambda: True)
    assert not (tmp_path / "again").exists()
    assert not list(tmp_path.glob(".*"))


def test_what_an_earlier_attempt_left_does_not_matter(tmp_path: Path) -> None:
    folder = make_tree(tmp_path / "folder", {"a": 1, "b/c": 2})
    manifest, shards = packed(folder, tmp_path)
    make_tree(tmp_path / ".again.restoring", {"a": 99, "x": 1})
    unpack(manifest, shards, tmp_path / "again", wrapping=KEYS.wrapping)
    assert snapshot(tmp_path / "again") == snapshot(folder)


def test_progress_counts_plain_bytes_to_the_end(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(bytes(7 * MIB + 5))
    (tmp_path / "staging").mkdir()
    told: list[int] = []
    manifest = pack(scan(file), tmp_path / "staging", k=2, n=3, keys=KEYS, created=0, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 7 * MIB + 5
    told.clear()
    shards = {n: tmp_path / "staging" / shard.root.hex() for n, shard in enumerate(manifest.shards)}
    unpack(manifest, shards, tmp_path / "again", wrapping=KEYS.wrapping, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 7 * MIB + 5


def test_the_manifest_is_enough_with_the_wallets_key(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"enough")
    manifest, shards = packed(file, tmp_path)
    again = Manifest.decode(manifest.encode())
    unpack(again, shards, tmp_path / "again", wrapping=KEYS.wrapping)
    assert (tmp_path / "again").read_bytes() == b"enough"
    assert "1f" not in repr(Keys(bytes(32), bytes([31]) * 32))
