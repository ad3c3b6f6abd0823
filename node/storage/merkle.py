"""The tree that transfer, contract and proof share (BEP 52).

A file is cut into blocks of 16 KiB, the last one shorter. A leaf is SHA-256 of a block as it is; a parent is
SHA-256(left ‖ right); missing leaves up to the next power of two are 32 zero bytes. The root is what the swarm checks,
what a contract commits to, and what a proof ends at.

    level 2                 root                    a file of 3 blocks: 4 leaves, one of them padding;
    level 1          n0             n1              the tree file is  leaf0 leaf1 leaf2 n0 n1 root
    level 0      leaf0 leaf1    leaf2  (0…0)

The number of blocks fixes the depth, so every path has one length and no inner node can pass as a leaf. A padding leaf
has no block, so whoever claims more blocks than the root has cannot be proved to; a host checks the root it signs for
against the bytes it received.

Only nodes above at least one real block are written, level after level from the leaves; the others are known constants.
The layout follows from the file's length alone, so nodes are appended at their final places while the file streams by
(memory: one node per level), and a proof from a 32 GiB shard reads one block and 21 x 32 bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import accumulate
from typing import NamedTuple

from node.storage.digests import digests
from node.storage.errors import ShardError
from wallet.storage_terms import BLOCK as BLOCK
from wallet.storage_terms import MAX_LENGTH as MAX_LENGTH

NODE = 32


class Span(NamedTuple):
    """A range of a file: where to read."""

    offset: int
    length: int


class Write(NamedTuple):
    """Bytes for a place in the tree file."""

    offset: int
    data: bytes


def block_count(length: int) -> int:
    """Blocks of a file of `length` bytes. Raises `ValueError` outside 1 to `MAX_LENGTH`: an empty file has no tree."""
    if not 1 <= length <= MAX_LENGTH:
        raise ValueError(f"a shard has 1 to 2^50 bytes, not {length}")
    return -(-length // BLOCK)


def depth_of(blocks: int) -> int:
    """Nodes on the path of a proof: log2 of `blocks`, rounded up."""
    return (blocks - 1).bit_length()


def _parent(left: bytes, right: bytes) -> bytes:
    return sha256(left + right).digest()


def _paddings() -> tuple[bytes, ...]:
    nodes = [bytes(NODE)]
    for _ in range(depth_of(block_count(MAX_LENGTH))):
        nodes.append(_parent(nodes[-1], nodes[-1]))
    return tuple(nodes)


PADDING = _paddings()
"""The root of an all-padding subtree, by level."""


@dataclass(frozen=True, slots=True)
class TreeLayout:
    """Where the nodes of a file of `length` bytes are in its tree file. Raises `ValueError` as `block_count`."""

    length: int
    counts: tuple[int, ...] = field(init=False, repr=False, compare=False)
    """Written nodes of each level, leaves first."""
    starts: tuple[int, ...] = field(init=False, repr=False, compare=False)
    """Offset of each level, and at the end the size of the tree file."""

    def __post_init__(self) -> None:
        blocks = block_count(self.length)
        counts = tuple(-(-blocks // 2**level) for level in range(depth_of(blocks) + 1))
        object.__setattr__(self, "counts", counts)
        object.__setattr__(self, "starts", tuple(accumulate((NODE * count for count in counts), initial=0)))

    @property
    def blocks(self) -> int:
        return self.counts[0]

    @property
    def depth(self) -> int:
        return len(self.counts) - 1

    @property
    def size(self) -> int:
        """Bytes of the tree file: about 1/256 of the shard."""
        return self.starts[-1]

    def layer(self, level: int) -> Span:
        """All nodes of a level: with level = log2(piece length / 16 KiB), the `piece layers` string of a v2 torrent."""
        return Span(self.starts[level], NODE * self.counts[level])

    def block(self, index: int) -> Span:
        """Where block `index` is in the shard itself. Raises `IndexError`."""
        self._check(index)
        return Span(index * BLOCK, min(BLOCK, self.length - index * BLOCK))

    def reads(self, index: int) -> tuple[Span, ...]:
        """What to read of the tree file to prove block `index`: at most one node per level. Raises `IndexError`."""
        return tuple(
            Span(self.starts[level] + NODE * sibling, NODE)
            for level, sibling in enumerate(self._siblings(index))
            if sibling < self.counts[level]
        )

    def path(self, index: int, nodes: Sequence[bytes]) -> tuple[bytes, ...]:
        """The proof's path, leaf's sibling first, from what was read at `reads(index)`.

        Raises `ShardError` when a node is short, as after the tree file was cut.
        """
        given = iter(nodes)
        path = tuple(
            next(given, b"") if sibling < self.counts[level] else PADDING[level]
            for level, sibling in enumerate(self._siblings(index))
        )
        if any(len(node) != NODE for node in path) or next(given, None) is not None:
            raise ShardError("the tree file is shorter than its shard needs: build it again from the shard")
        return path

    def _siblings(self, index: int) -> list[int]:
        self._check(index)
        return [(index >> level) ^ 1 for level in range(self.depth)]

    def _check(self, index: int) -> None:
        if not 0 <= index < self.blocks:
            raise IndexError(f"block {index} of {self.blocks}")


class TreeHasher:
    """Computes root and tree of a file that comes in pieces of any size. Memory: one block and one node per level.

    With a layout, `update` and `finish` say what to write where; without (`None`), only the root is computed.
    """

    def __init__(self, layout: TreeLayout | None = None) -> None:
        self._layout = layout
        self._length = 0
        self._tail = bytearray()
        self._odd: list[bytes] = []
        """By level: the last node if it has no sibling yet, else nothing."""
        self._written: list[int] = []
        self._root: bytes | None = None

    def update(self, data: bytes | bytearray | memoryview) -> list[Write]:
        """Hash the next bytes; whole blocks are not copied. Raises `ShardError` past the layout's length."""
        view = memoryview(data)
        self._length += len(view)
        if self._root is not None or (self._layout is not None and self._length > self._layout.length):
            raise ShardError("more bytes than the shard should have")
        leaves = b""
        at = 0
        if self._tail:
            at = min(BLOCK - len(self._tail), len(view))
            self._tail += view[:at]
            if len(self._tail) < BLOCK:
                return []
            leaves = digests(self._tail, BLOCK)
            self._tail.clear()
        whole = at + (len(view) - at) // BLOCK * BLOCK
        leaves += digests(view[at:whole], BLOCK)
        self._tail += view[whole:]
        return self._rise(leaves)

    def finish(self) -> list[Write]:
        """Hash the last block and pad, once. Raises `ShardError` when bytes are missing, or there were none."""
        if self._root is not None:
            raise ValueError("the tree is finished")
        if not self._length or (self._layout is not None and self._length != self._layout.length):
            raise ShardError("fewer bytes than the shard should have")
        depth = depth_of(block_count(self._length))
        writes = self._rise(digests(self._tail, BLOCK))
        for level in range(depth):
            odd = self._odd[level] if level < len(self._odd) else b""
            if odd:
                self._odd[level] = b""
                writes += self._rise(_parent(odd, PADDING[level]), level + 1)
        self._root = self._odd[depth]
        return writes

    @property
    def root(self) -> bytes:
        """32 bytes, after `finish`."""
        if self._root is None:
            raise ValueError("the root is known after finish()")
        return self._root

    def _rise(self, nodes: bytes, level: int = 0) -> list[Write]:
        """Add `nodes`, one after the other, to the right of `level`, and the parents they complete to those above."""
        writes = []
        while nodes:
            if level == len(self._odd):
                self._odd.append(b"")
                self._written.append(0)
            if self._layout is not None:
                writes.append(Write(self._layout.starts[level] + NODE * self._written[level], nodes))
            self._written[level] += len(nodes) // NODE
            nodes = self._odd[level] + nodes
            paired = len(nodes) // (2 * NODE) * (2 * NODE)
            self._odd[level] = nodes[paired:]
            nodes = digests(memoryview(nodes)[:paired], 2 * NODE)
            level += 1
        return writes


def root_of(data: bytes) -> bytes:
    """The root of bytes at hand. Raises `ShardError` for none."""
    hasher = TreeHasher()
    hasher.update(data)
    hasher.finish()
    return hasher.root


def verify(root: bytes, blocks: int, index: int, block: bytes, path: Sequence[bytes]) -> bool:
    """Whether `block` is block `index` of a tree of `blocks` leaves with this root. Never raises on hostile input."""
    if not 0 <= index < blocks or not 1 <= len(block) <= BLOCK or len(path) != depth_of(blocks):
        return False
    node = sha256(block).digest()
    for sibling in path:
        if len(sibling) != NODE:
            return False
        node = _parent(sibling, node) if index & 1 else _parent(node, sibling)
        index >>= 1
    return node == root


def holds(root: bytes, length: int, index: int, block: bytes, path: Sequence[bytes]) -> bool:
    """`verify` for a file of `length` bytes, as the market contract does it: the block must also have its size there.

    A tree over blocks of odd sizes would otherwise pass here and fail on chain.
    """
    size = min(BLOCK, length - index * BLOCK)
    return len(block) == size and verify(root, -(-length // BLOCK), index, block, path)
