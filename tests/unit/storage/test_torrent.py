"""A shard's torrent follows from root and length alone, and the engine makes the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.bencode import decode
from node.engine._native import create
from node.storage import torrent
from node.storage.merkle import BLOCK, MAX_LENGTH, TreeHasher, TreeLayout, root_of
from tests.unit.storage.test_merkle import bytes_of

MIB = 1 << 20


def tree_of(data: bytes) -> bytes:
    layout = TreeLayout(len(data))
    hasher, tree = TreeHasher(layout), bytearray(layout.size)
    for write in [*hasher.update(data), *hasher.finish()]:
        tree[write.offset : write.offset + len(write.data)] = write.data
    return bytes(tree)


@pytest.mark.parametrize("length", [1, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK, 3 * MIB + 7, 33 * MIB, 70 * MIB + 1])
def test_the_engine_makes_the_same_torrent_of_the_shard(length: int, tmp_path: Path) -> None:
    data = bytes_of("torrent", min(length, MIB)) * (length // MIB + 1)
    data = data[:length]
    root = root_of(data)
    (tmp_path / root.hex()).write_bytes(data)
    piece = torrent.piece_length(length)
    made = create(str(tmp_path / root.hex()), "v2", piece, [], [], "", "", True, lambda done, total: None)
    span = torrent.piece_layer(length)
    layer = tree_of(data)[span.offset : span.offset + span.length] if span else b""
    ours = decode(torrent.torrent(root, length, layer), max_bytes=1 << 26)
    theirs = decode(made, max_bytes=1 << 26)
    assert ours[b"info"] == theirs[b"info"]
    assert ours[b"piece layers"] == theirs.get(b"piece layers", {})


@given(st.integers(1, MAX_LENGTH))
def test_pieces_are_few_and_small_enough_to_be_paid(length: int) -> None:
    piece = torrent.piece_length(length)
    assert piece & (piece - 1) == 0
    assert BLOCK <= piece <= MIB
    assert -(-length // piece) <= torrent.MOST_PIECES or piece == MIB
    assert piece == BLOCK or -(-length // (piece // 2)) > torrent.MOST_PIECES


def test_other_shards_have_other_torrents() -> None:
    hashes = {torrent.info_hash(root_of(bytes([n])), length) for n in range(3) for length in (1, 2)}
    assert len(hashes) == 6


@pytest.mark.parametrize(("root", "length"), [(b"short", 1), (bytes(32), 0), (bytes(32), MAX_LENGTH + 1)])
def test_what_no_shard_has_is_refused(root: bytes, length: int) -> None:
    with pytest.raises(ValueError, match="has"):
        torrent.info(root, length)


def test_a_layer_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="layer"):
        torrent.torrent(bytes(32), 3 * BLOCK * torrent.MOST_PIECES, bytes(32))
