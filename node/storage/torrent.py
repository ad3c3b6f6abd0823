"""The torrent of a shard (BEP 52): a function of its root and length, so that nobody has to send it.

Renter, host and whoever repairs later make the same info dictionary by themselves. A host that was given root and
length needs no metadata, and what the swarm sends can be nothing else: it has the root. A shard's name is its root in
hex, so that shards can share a folder. The torrent is private (BEP 27): the peers of a shard are the parties to a
contract, who find each other by themselves, and nobody else.

Piece length: the smallest power of two that makes at most 2,048 pieces, within 16 KiB and 1 MiB. Small pieces pass
their hash soon, and so are paid soon: a piece above a newcomer's credit of 1 MiB could not be.
"""

from __future__ import annotations

from hashlib import sha256

from node.bencode import encode
from node.storage.merkle import BLOCK, NODE, Span, TreeLayout

MOST_PIECES = 2048
MAX_PIECE = 1 << 20


def piece_length(length: int) -> int:
    """Bytes of a piece of a shard of `length` bytes."""
    wanted = -(-length // MOST_PIECES)
    return min(MAX_PIECE, max(BLOCK, 1 << (wanted - 1).bit_length()))


def pieces(length: int) -> int:
    """How many pieces a shard of `length` bytes has."""
    return -(-length // piece_length(length))


def info(root: bytes, length: int) -> bytes:
    """The bencoded info dictionary. Raises `ValueError` for a root or length that no shard has."""
    if len(root) != NODE:
        raise ValueError(f"a root has {NODE} bytes, not {len(root)}")
    TreeLayout(length)
    name = root.hex().encode()
    return encode(
        {
            b"file tree": {name: {b"": {b"length": length, b"pieces root": root}}},
            b"meta version": 2,
            b"name": name,
            b"piece length": piece_length(length),
            b"private": 1,
        }
    )


def info_hash(root: bytes, length: int) -> bytes:
    """32 bytes: SHA-256 of the info dictionary."""
    return sha256(info(root, length)).digest()


def piece_layer(length: int) -> Span | None:
    """Where the tree file has the layer that `torrent` needs; None where it needs none, as one piece is all."""
    piece = piece_length(length)
    return None if length <= piece else TreeLayout(length).layer((piece // BLOCK).bit_length() - 1)


def torrent(root: bytes, length: int, layer: bytes = b"") -> bytes:
    """The torrent file. `layer`: the bytes that `piece_layer` names; without them, for those who fetch the shard.

    A fetching peer asks the others for the layer and checks it against the root (BEP 52, hash request).
    """
    span = piece_layer(length)
    if len(layer) not in (0, 0 if span is None else span.length):
        raise ValueError(f"the layer has {len(layer)} bytes, not {0 if span is None else span.length}")
    # The info dictionary goes in as it was hashed.
    return b"d4:info" + info(root, length) + b"12:piece layers" + encode({root: layer} if layer else {}) + b"e"
