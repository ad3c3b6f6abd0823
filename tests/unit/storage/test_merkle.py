"""The tree's promises: BEP 52's root, proofs from reads alone, and nothing else passes."""

from __future__ import annotations

import json
from hashlib import sha256
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.bencode import decode
from node.engine._native import create
from node.storage.errors import ShardError
from node.storage.merkle import (
    BLOCK,
    MAX_LENGTH,
    NODE,
    TreeHasher,
    TreeLayout,
    block_count,
    holds,
    root_of,
    verify,
)

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "bep52_roots.json").read_text())["cases"]
LENGTHS = st.one_of(
    st.integers(1, 12 * BLOCK),
    st.builds(lambda blocks, more: max(1, blocks * BLOCK + more), st.integers(0, 12), st.integers(-1, 1)),
)


def bytes_of(seed: str, length: int) -> bytes:
    """The vectors' data: SHA-256 of "seed:i" for i = 0, 1, …, cut to length."""
    parts = (sha256(f"{seed}:{i}".encode()).digest() for i in count())
    return b"".join(next(parts) for _ in range(-(-length // 32)))[:length]


def tree_file(data: bytes, piece: int) -> tuple[bytes, bytes]:
    """Root and tree file of `data` fed in pieces of `piece` bytes."""
    layout = TreeLayout(len(data))
    hasher = TreeHasher(layout)
    writes = [write for at in range(0, len(data), piece) for write in hasher.update(data[at : at + piece])]
    writes += hasher.finish()
    stored = bytearray(layout.size)
    for offset, part in writes:
        assert not any(stored[offset : offset + len(part)])
        stored[offset : offset + len(part)] = part
    return hasher.root, bytes(stored)


def proof(data: bytes, stored: bytes, index: int) -> tuple[bytes, tuple[bytes, ...]]:
    layout = TreeLayout(len(data))
    offset, length = layout.block(index)
    nodes = [stored[span.offset : span.offset + span.length] for span in layout.reads(index)]
    return data[offset : offset + length], layout.path(index, nodes)


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: str(case["length"]))
def test_roots_are_those_of_bep_52(case: dict[str, object]) -> None:
    assert root_of(bytes_of(str(case["seed"]), int(str(case["length"])))).hex() == case["pieces_root"]


@pytest.mark.parametrize("length", [1, BLOCK, 5 * BLOCK + 7, 4 * 65536, 4 * 65536 + 1, 9 * 65536 - 1])
def test_root_and_piece_layer_are_those_our_engine_makes(length: int, tmp_path: Path) -> None:
    data = bytes_of("client", length)
    (tmp_path / "shard").write_bytes(data)
    made = create(str(tmp_path / "shard"), "v2", 65536, [], [], "", "", False, lambda done, total: None)
    meta = decode(made)
    root, stored = tree_file(data, 1 << 20)
    assert meta[b"info"][b"file tree"][b"shard"][b""][b"pieces root"] == root
    if length > 65536:
        offset, size = TreeLayout(length).layer(2)
        assert meta[b"piece layers"] == {root: stored[offset : offset + size]}


@given(LENGTHS, st.integers(999, 3 * BLOCK), st.data())
def test_every_block_is_proved_by_the_reads_its_layout_names(length: int, piece: int, data: st.DataObject) -> None:
    shard = bytes_of("shard", length)
    root, stored = tree_file(shard, piece)
    layout = TreeLayout(length)
    assert stored[-NODE:] == root == root_of(shard)
    index = data.draw(st.integers(0, layout.blocks - 1))
    block, path = proof(shard, stored, index)
    assert verify(root, layout.blocks, index, block, path)
    assert holds(root, length, index, block, path)


@given(LENGTHS, st.data())
def test_a_changed_proof_fails(length: int, data: st.DataObject) -> None:
    shard = bytes_of("shard", length)
    root, stored = tree_file(shard, length)
    blocks = block_count(length)
    index = data.draw(st.integers(0, blocks - 1))
    block, path = proof(shard, stored, index)
    at = data.draw(st.integers(0, len(block) - 1))
    changed = block[:at] + bytes((block[at] ^ 1,)) + block[at + 1 :]
    assert not verify(root, blocks, index, changed, path)
    assert not verify(root, blocks, index, block[:-1], path)
    assert not verify(root, blocks, index, block, (*path, bytes(NODE)))
    for level, node in enumerate(path):
        other = node[:-1] + bytes((node[-1] ^ 1,))
        assert not verify(root, blocks, index, block, (*path[:level], other, *path[level + 1 :]))
        assert not verify(root, blocks, index, block, (*path[:level], node[:-1], *path[level + 1 :]))
    for wrong in {index ^ 1, index + blocks, -1} - {index}:
        assert not verify(root, blocks, wrong, block, path)


def test_an_inner_node_is_no_leaf() -> None:
    shard = bytes_of("inner", 4 * BLOCK)
    root, stored = tree_file(shard, BLOCK)
    start = TreeLayout(4 * BLOCK).starts[1]
    children, upper = stored[: 2 * NODE], stored[start + NODE : start + 2 * NODE]
    assert verify(root, 2, 0, children, (upper,))  # such a tree of two "blocks" exists, but
    assert not verify(root, 4, 0, children, (upper,))  # the contract's block count refuses its depth


@given(st.binary(max_size=64), st.integers(), st.integers(), st.binary(max_size=99), st.lists(st.binary(max_size=33)))
def test_hostile_proofs_are_false_and_nothing_else(
    root: bytes, blocks: int, index: int, block: bytes, path: list[bytes]
) -> None:
    assert verify(root, blocks, index, block, path) is False
    assert holds(root, blocks, index, block, path) is False


def test_a_tree_over_blocks_of_odd_sizes_is_no_files() -> None:
    short, full = b"short", bytes(BLOCK)
    root = sha256(sha256(short).digest() + sha256(full).digest()).digest()
    assert verify(root, 2, 0, short, (sha256(full).digest(),))
    assert not holds(root, BLOCK + 5, 0, short, (sha256(full).digest(),))


def test_a_proof_from_a_32_gib_shard_reads_one_node_per_level() -> None:
    layout = TreeLayout(32 * 2**30)
    assert layout.size == 32 * (2**22 - 1)
    reads = layout.reads(1_234_567)
    assert len(reads) == 21
    assert all(length == NODE and offset + length <= layout.size for offset, length in reads)


@pytest.mark.parametrize("length", [0, -1, MAX_LENGTH + 1])
def test_lengths_without_a_tree_are_refused(length: int) -> None:
    with pytest.raises(ValueError, match="1 to 2\\^50 bytes"):
        TreeLayout(length)


def test_more_or_fewer_bytes_than_the_contract_says_are_refused() -> None:
    with pytest.raises(ShardError, match="more bytes"):
        TreeHasher(TreeLayout(10)).update(bytes(11))
    short = TreeHasher(TreeLayout(10))
    short.update(bytes(9))
    with pytest.raises(ShardError, match="fewer bytes"):
        short.finish()
    with pytest.raises(ShardError, match="fewer bytes"):
        root_of(b"")


def test_a_cut_tree_file_is_noticed() -> None:
    layout = TreeLayout(4 * BLOCK)
    with pytest.raises(ShardError, match="build it again"):
        layout.path(1, [bytes(32)])
    with pytest.raises(ShardError, match="build it again"):
        layout.path(1, [bytes(32), bytes(31)])
    with pytest.raises(IndexError):
        layout.reads(4)
