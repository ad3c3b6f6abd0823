"""A swarm under a virtual clock: rounds of one second, from arrival to the last download."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tests.sim.choker import Choker
from tests.sim.flow import shared
from tests.sim.market import Buyer, Market, Sale
from tests.sim.pieces import Pieces
from tests.sim.population import NEVER, Bools, Graph, Ints, Population

EVERYTHING = np.int64(2**50)


@dataclass(frozen=True, slots=True)
class Torrent:
    """`pieces` of `piece_length` bytes; the number of pieces is a multiple of 64."""

    pieces: int = 256
    piece_length: int = 256 * 1024

    @property
    def size(self) -> int:
        return self.pieces * self.piece_length


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run. Per peer: `took` rounds from arrival to completion (NaN: never), `received` and `sent` bytes.

    `history`: rounds x groups, cumulative bytes received by each group the caller named.
    """

    rounds: int
    took: NDArray[np.float64]
    received: Ints
    sent: Ints
    history: Ints


class Simulation:
    """One run. `groups` name sets of peers (flags) whose progress is recorded every round."""

    def __init__(
        self,
        seed: int,
        people: Population,
        graph: Graph,
        torrent: Torrent,
        *,
        market: Market | None = None,
        groups: Sequence[Bools] = (),
    ) -> None:
        self.now = 0
        self.people, self.graph, self.market = people, graph, market
        self.pieces = Pieces(torrent.pieces, torrent.piece_length, people.seeds, graph)
        self._choker = Choker(graph, people.size)
        self._rng = np.random.default_rng([seed, 1])
        self._groups = groups
        self._history: list[list[int]] = []
        self.received = np.zeros(people.size, dtype=np.int64)
        self.sent = np.zeros(people.size, dtype=np.int64)
        self._finished_at = np.where(people.seeds, 0, NEVER)
        self._gone = np.zeros(people.size, dtype=np.bool_)

    def run(self, rounds: int, *, until: Callable[[Simulation], bool] | None = None) -> Outcome:
        """Until everybody who has not left is complete, `until` says so, or `rounds` are over."""
        while self.now < rounds and not self._done() and not (until and until(self)):
            self.step()
        took = np.where(self._finished_at < NEVER, self._finished_at - self.people.arrives, np.nan).astype(np.float64)
        history = np.array(self._history, dtype=np.int64).reshape(len(self._history), len(self._groups))
        return Outcome(self.now, took, self.received, self.sent, history)

    def step(self) -> None:
        """One second."""
        present = self._come_and_go()
        graph, complete = self.graph, self.pieces.complete
        edges = np.flatnonzero(present[graph.src] & present[graph.dst] & ~complete[graph.dst])
        interested = np.zeros(len(graph.src), dtype=np.bool_)
        interested[edges] = self.pieces.interest(graph, edges)
        up, down = self.people.up.copy(), self.people.down.copy()
        sold = self._sell(interested, up, down)
        self._choker.step(self.now, self._rng, interested, complete)
        free = interested & self._choker.unchoked
        free[sold] = False  # everything on a priced connection is metered
        self._give(np.flatnonzero(free), up, down)
        self._finished_at[self.pieces.complete & (self._finished_at == NEVER)] = self.now + 1
        self._history.append([int(self.received[group].sum()) for group in self._groups])
        self.now += 1

    def _done(self) -> bool:
        return bool((self.pieces.complete | self._gone).all())

    def _come_and_go(self) -> Bools:
        people = self.people
        waited = self.now - people.arrives
        complete = self.pieces.complete
        lingered = complete & (self.now - self._finished_at > people.lingers)
        leaving = ~self._gone & ~people.seeds & (lingered | (~complete & (waited > people.gives_up)))
        if leaving.any():
            self.pieces.leave(np.flatnonzero(leaving))
            self._gone |= leaving
        return (waited >= 0) & ~self._gone

    def _sell(self, interested: Bools, up: Ints, down: Ints) -> Ints:
        """Paid service of this round; takes what it used from `up` and `down` and returns the priced edges."""
        if self.market is None:
            return np.empty(0, dtype=np.int64)
        sales: list[Sale] = self.market.sell(self.now, self.people.up, self.pieces.left(), interested)
        edges = np.array([sale.edge for sale in sales], dtype=np.int64)
        limits = np.array([sale.limit for sale in sales], dtype=np.int64)
        used = self._move(edges, limits, up, down)
        self.market.deliver(self.now, sales, used, self.people.up)
        return edges

    def _give(self, edges: Ints, up: Ints, down: Ints) -> None:
        """Free service: what is left of every line, in equal parts to the unchoked."""
        used = self._move(edges, np.full(len(edges), EVERYTHING), up, down)
        self._choker.count(edges, used)

    def _move(self, edges: Ints, demand: Ints, up: Ints, down: Ints) -> Ints:
        src, dst = self.graph.src[edges], self.graph.dst[edges]
        amount = shared(src, dst, demand, up, down)
        used = self.pieces.deliver(self.graph, edges, amount, self._rng)
        for peer, line, total in ((src, up, self.sent), (dst, down, self.received)):
            moved = np.bincount(peer, weights=used, minlength=self.people.size).astype(np.int64)
            line -= moved
            total += moved
        return used


def swarm_market(graph: Graph, buyers: Mapping[int, Buyer], reserve: int, *, measured: bool = False) -> Market | None:
    """No market where nobody buys: the control run."""
    return Market(graph, buyers, reserve=reserve, measured=measured) if buyers else None
