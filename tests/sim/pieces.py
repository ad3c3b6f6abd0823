"""Who has which piece: bit fields of all peers, interest per edge, and rarest first.

Bytes that arrive for one piece from several neighbours add up (blocks of one piece may come from anybody), so nothing
is ever fetched twice. A new choice is the rarest piece, begun or not, as in libtorrent's picker; a peer that has begun
too many pieces finishes those first. (Were begun pieces always first, the few pieces that all have would keep everybody
busy after a flash crowd, rare ones would spread ten times slower, and payers would find nothing to buy.)
"""

from __future__ import annotations

import numpy as np

from tests.sim.population import Bools, Graph, Ints

WORD = 64
BEGUN = np.float32(2**20)
"""What finishing first gains in rank: more than there are peers."""
PARTIALS, PARTIAL_BYTES = (3, 2), 32 * 2**20
"""More begun pieces than this per neighbour, or than these bytes, are too many (libtorrent 2.0,
`piece_picker::pick_pieces`)."""
MAX_PASSES = 64
"""Pieces one edge can complete in a round, a bound for the loop."""


class Pieces:
    """`count` pieces of `size` bytes; `have` is peers x words of 64 bits, `progress` peers x count in bytes."""

    def __init__(self, count: int, size: int, complete: Bools, graph: Graph) -> None:
        if count % WORD:
            raise ValueError(f"the number of pieces must be a multiple of {WORD}, not {count}")
        peers = len(complete)
        self.count, self.size = count, size
        self.have = np.zeros((peers, count // WORD), dtype=np.uint64)
        self.have[complete] = ~np.uint64(0)
        self.progress = np.zeros((peers, count), dtype=np.int32)
        self.owned = np.where(complete, count, 0).astype(np.int64)
        self.holders = np.full(count, int(complete.sum()), dtype=np.int64)
        """How many present peers have each piece."""
        self._current = np.full(len(graph.src), -1, dtype=np.int64)
        """The piece each edge works on."""
        neighbours = np.bincount(graph.dst, minlength=peers)
        self._enough = np.minimum(neighbours * PARTIALS[0] // PARTIALS[1], PARTIAL_BYTES // size)
        """More begun pieces than this, and a peer finishes them first."""

    @property
    def total(self) -> int:
        """Bytes of the whole torrent."""
        return self.count * self.size

    @property
    def complete(self) -> Bools:
        whole: Bools = self.owned == self.count
        return whole

    def left(self) -> Ints:
        """Bytes each peer still wants."""
        left: Ints = self.total - self.owned * self.size - self.progress.sum(axis=1, dtype=np.int64)
        return left

    def interest(self, graph: Graph, edges: Ints) -> Bools:
        """For each of these edges src→dst: has src a piece that dst lacks?"""
        src, dst = graph.src[edges], graph.dst[edges]
        found = np.zeros(len(edges), dtype=np.bool_)
        for word in range(self.have.shape[1]):
            column = self.have[:, word]
            found |= (column[src] & ~column[dst]) != 0
        return found

    def holdings(self, peers: Ints) -> Bools:
        """len(peers) x count: which of them has which piece."""
        packed = self.have[peers].view(np.uint8)
        held: Bools = np.unpackbits(packed, axis=1, bitorder="little").view(np.bool_)
        return held

    def leave(self, peers: Ints) -> None:
        """These peers are gone: their copies count no more."""
        self.holders -= self.holdings(peers).sum(axis=0)

    def deliver(self, graph: Graph, edges: Ints, amount: Ints, rng: np.random.Generator) -> Ints:
        """`amount[i]` bytes may flow on edges[i]; returns what was of use. Rarest pieces first."""
        left = amount.copy()
        active = np.flatnonzero(left > 0)
        for _ in range(MAX_PASSES):
            if not len(active):
                break
            active = self._pass(graph, edges, left, active, rng)
        return amount - left

    def _pass(self, graph: Graph, edges: Ints, left: Ints, active: Ints, rng: np.random.Generator) -> Ints:
        """Every active edge works on one piece; returns the entries that have bytes left and may find another piece."""
        piece = self._pick(graph, edges[active], rng)
        active, piece = active[piece >= 0], piece[piece >= 0]
        # Several edges may work on the same piece of one receiver: they fill it one after the other.
        slot = graph.dst[edges[active]] * self.count + piece
        order = np.argsort(slot, kind="stable")
        active, slot = active[order], slot[order]
        cells, first, group = np.unique(slot, return_index=True, return_inverse=True)
        progress = self.progress.reshape(-1)
        offer = np.minimum(left[active], self.size)
        before = np.cumsum(offer) - offer
        before -= before[first][group]
        used = np.clip(self.size - progress[cells].astype(np.int64)[group] - before, 0, offer)
        left[active] -= used
        progress[cells] += np.bincount(group, weights=used, minlength=len(cells)).astype(np.int32)
        self._finish(cells[progress[cells] >= self.size])
        return active[left[active] > 0]

    def _pick(self, graph: Graph, edges: Ints, rng: np.random.Generator) -> Ints:
        """The piece each edge works on: the one it has begun while it lasts, else a new choice; -1 = nothing useful."""
        piece = self._current[edges]
        word, bit = np.divmod(np.maximum(piece, 0), WORD)
        held = (self.have[graph.dst[edges], word] >> bit.astype(np.uint64)) & np.uint64(1)
        fresh = np.flatnonzero((piece < 0) | (held != 0))
        if len(fresh):
            s, d = graph.src[edges[fresh]], graph.dst[edges[fresh]]
            useful = self.holdings(s) & ~self.holdings(d)
            # The fraction breaks ties at random.
            rank = self.holders.astype(np.float32) + rng.random(useful.shape, dtype=np.float32)
            begun = self.progress[d] > 0
            rank -= BEGUN * (begun & (begun.sum(axis=1) > self._enough[d])[:, None])
            rank[~useful] = np.inf
            chosen = rank.argmin(axis=1)
            piece[fresh] = np.where(useful[np.arange(len(fresh)), chosen], chosen, -1)
            self._current[edges] = piece
        return piece

    def _finish(self, cells: Ints) -> None:
        peer, piece = np.divmod(cells, self.count)
        word, bit = np.divmod(piece, WORD)
        np.bitwise_or.at(self.have, (peer, word), np.uint64(1) << bit.astype(np.uint64))
        self.progress.reshape(-1)[cells] = 0
        self.owned += np.bincount(peer, minlength=len(self.owned))
        self.holders += np.bincount(piece, minlength=self.count)
