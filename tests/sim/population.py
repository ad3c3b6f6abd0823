"""Who is in the swarm: capacities, arrivals and who knows whom. Everything follows from one seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

KBIT = 125
"""Bytes per second in one kbit/s."""


@dataclass(frozen=True, slots=True)
class AccessClass:
    """A kind of access line. Capacities in bytes per second; `fraction` of the peers have it."""

    down: int
    up: int
    fraction: float


BROADBAND_MIX = (
    AccessClass(784 * KBIT, 128 * KBIT, 0.20),
    AccessClass(1_500 * KBIT, 384 * KBIT, 0.40),
    AccessClass(3_000 * KBIT, 1_000 * KBIT, 0.25),
    AccessClass(10_000 * KBIT, 5_000 * KBIT, 0.15),
)
"""Access lines of file-sharing peers as used by Bharambe, Herley and Padmanabhan, "Analyzing and Improving a BitTorrent
Network's Performance Mechanisms" (INFOCOM 2006), who derived them from the Gnutella measurements of Saroiu, Gummadi and
Gribble (MMCN 2002). Lines are faster today; what matters here, the spread and up being a fraction of down, remains."""

EQUALS = (AccessClass(10_000 * KBIT, 1_000 * KBIT, 1.0),)
"""A swarm of equals with scarce upload: every peer could receive ten times what it can send."""


@dataclass(frozen=True, slots=True)
class Population:
    """Arrays of one entry per peer. Capacities in bytes per second, times in rounds."""

    up: Ints
    down: Ints
    arrives: Ints
    seeds: Bools
    """Have everything from the start and never leave."""
    lingers: Ints
    """Rounds a peer goes on seeding after it is complete."""
    gives_up: Ints
    """Round after arrival at which an incomplete peer leaves."""

    @property
    def size(self) -> int:
        return len(self.up)


NEVER = np.int64(2**40)


def population(
    rng: np.random.Generator,
    peers: int,
    *,
    mix: Sequence[AccessClass] = EQUALS,
    seeds: int = 1,
    seed_up: int = 10_000 * KBIT,
    arrival_span: int = 0,
    linger: float = 0,
    patience: float = 0,
    twins: int = 0,
) -> Population:
    """`peers` peers, of which the last `seeds` are seeds.

    Arrivals are uniform over `arrival_span` rounds; `linger` and `patience` are means of exponential times in rounds
    (0: leave at once when complete, and never give up before). Peers 2k and 2k+1 for k < `twins` are alike in all.
    """
    kind = rng.choice(len(mix), size=peers, p=[access.fraction for access in mix])
    up = np.array([access.up for access in mix], dtype=np.int64)[kind]
    down = np.array([access.down for access in mix], dtype=np.int64)[kind]
    arrives = rng.integers(0, arrival_span + 1, size=peers)
    lingers = rng.exponential(linger, size=peers).astype(np.int64) if linger else np.zeros(peers, dtype=np.int64)
    gives_up = rng.exponential(patience, size=peers).astype(np.int64) if patience else np.full(peers, NEVER)
    for column in (up, down, arrives, lingers, gives_up):
        column[1 : 2 * twins : 2] = column[0 : 2 * twins : 2]
    is_seed = np.zeros(peers, dtype=np.bool_)
    is_seed[peers - seeds :] = True
    up[is_seed], arrives[is_seed] = seed_up, 0
    lingers[is_seed], gives_up[is_seed] = NEVER, NEVER
    return Population(up, down, arrives, is_seed, lingers, gives_up)


@dataclass(frozen=True, slots=True)
class Graph:
    """Directed edges, sorted by `src`; `rev[e]` is the edge in the other direction."""

    src: Ints
    dst: Ints
    rev: Ints

    def out_of(self, peer: int) -> slice:
        """The edges that leave `peer`."""
        first, last = np.searchsorted(self.src, [peer, peer + 1])
        return slice(int(first), int(last))


def random_graph(rng: np.random.Generator, peers: int, degree: int, *, seeds: int = 1, twins: int = 0) -> Graph:
    """Everybody asks the tracker for `degree`/2 random others, so knows about `degree`, and one of the last `seeds`.

    Without a seed in reach, a neighbourhood whose other members have left would never complete; real peers announce
    again. Twins know the same peers.
    """
    house = np.arange(peers)
    house[1 : 2 * twins : 2] = house[0 : 2 * twins : 2]
    houses = np.unique(house)
    half = min(max(1, degree // 2), len(houses) - 1)
    a = np.concatenate([np.repeat(houses, half), houses])
    b = houses[rng.integers(0, len(houses), size=len(a))]
    b[len(houses) * half :] = peers - 1 - rng.integers(0, seeds, size=len(houses))
    pairs = np.unique(np.stack([np.minimum(a, b), np.maximum(a, b)])[:, a != b], axis=1)
    # A pair of twins that knows another house knows everybody in it.
    first, second = [pairs[0]], [pairs[1]]
    paired = house[0 : 2 * twins : 2]
    a_twin, b_twin = np.isin(pairs[0], paired), np.isin(pairs[1], paired)
    for chosen, da, db in ((a_twin, 1, 0), (b_twin, 0, 1), (a_twin & b_twin, 1, 1)):
        first.append(pairs[0][chosen] + da)
        second.append(pairs[1][chosen] + db)
    one, two = np.concatenate(first), np.concatenate(second)
    src, dst = np.concatenate([one, two]), np.concatenate([two, one])
    order = np.lexsort((dst, src))
    src, dst = src[order], dst[order]
    # Sorted by (dst, src), the k-th edge is the reverse of the k-th edge sorted by (src, dst).
    rev = np.lexsort((src, dst))
    return Graph(src, dst, rev)


def star(peers: int) -> Graph:
    """Everybody knows the last peer only: one seller and its buyers."""
    hub = np.full(peers - 1, peers - 1)
    others = np.arange(peers - 1)
    src, dst = np.concatenate([others, hub]), np.concatenate([hub, others])
    rev = np.concatenate([np.arange(peers - 1, 2 * peers - 2), np.arange(peers - 1)])
    return Graph(src, dst, rev)
