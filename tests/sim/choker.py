"""BitTorrent's choker (BEP 3; Cohen, "Incentives Build Robustness in BitTorrent", 2003), for all peers at once.

Leechers unchoke the interested neighbours that sent them most since the last two rechokes, seeds unchoke at random
(round robin in the mean). One optimistic slot goes to a random other one and moves every third rechoke.
"""

from __future__ import annotations

import numpy as np

from tests.sim.population import Bools, Graph, Ints

RECHOKE_EVERY = 10
OPTIMISTIC_EVERY = 30
REGULAR_SLOTS = 4


class Choker:
    """Keeps `unchoked`, one flag per directed edge src→dst: src serves dst in its free part."""

    def __init__(self, graph: Graph, peers: int) -> None:
        self._graph = graph
        self._peers = peers
        self._regular = np.zeros(len(graph.src), dtype=np.bool_)
        self._optimistic = np.zeros(len(graph.src), dtype=np.bool_)
        self._recent = np.zeros(len(graph.src), dtype=np.int64)
        self._before = np.zeros(len(graph.src), dtype=np.int64)

    @property
    def unchoked(self) -> Bools:
        return self._regular | self._optimistic

    def count(self, edges: Ints, delivered: Ints) -> None:
        """What flowed freely on these edges in this round; what is paid for in money earns no reciprocation."""
        self._recent[edges] += delivered

    def step(self, now: int, rng: np.random.Generator, interested: Bools, complete: Bools) -> None:
        """Call once per round. `interested[e]`: dst wants something src has, and the edge is up."""
        if now % RECHOKE_EVERY:
            return
        graph = self._graph
        received = (self._recent + self._before)[graph.rev]
        self._before, self._recent = self._recent, np.zeros_like(self._recent)
        luck = rng.random(len(graph.src))
        score = np.where(complete[graph.src], luck, received + luck)
        self._regular = self._best(interested, score, REGULAR_SLOTS)
        if now % OPTIMISTIC_EVERY == 0:
            self._optimistic = self._best(interested & ~self._regular, luck, 1)

    def _best(self, candidates: Bools, score: np.ndarray[tuple[int], np.dtype[np.float64]], slots: int) -> Bools:
        """Per sender the `slots` candidates of highest score."""
        edges = np.flatnonzero(candidates)
        src = self._graph.src[edges]
        edges = edges[np.lexsort((-score[edges], src))]
        starts = np.searchsorted(src, np.arange(self._peers))  # `src` is sorted, as edges are
        rank = np.arange(len(edges)) - starts[self._graph.src[edges]]
        chosen = np.zeros(len(candidates), dtype=np.bool_)
        chosen[edges[rank < slots]] = True
        return chosen
