"""One seller with many buyers, for questions about prices: a star around a seed whose torrent outlasts every run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from node.speed.newcomers import Newcomers
from node.speed.strategy import Aim, Strategy
from tests.sim.market import Buyer, Market
from tests.sim.population import NEVER, Ints, Population, star
from tests.sim.simulation import Simulation, Torrent

ENDLESS = Torrent(pieces=64, piece_length=2**30)
DEEP_POCKET = 2**80
"""A balance that never bounds a bid."""
VALUE_MEDIAN, VALUE_SIGMA = 1_000, 0.7
"""What buyers value a MiB at, in units: log-normal, as willingness to pay usually is taken to be."""


def values(rng: np.random.Generator, buyers: int) -> list[int]:
    """What each buyer would pay for a MiB at most."""
    return [int(value) for value in rng.lognormal(np.log(VALUE_MEDIAN), VALUE_SIGMA, buyers)]


def honest(value: int, wanted: int = 0) -> Buyer:
    """Bids what it values a MiB at, whatever is left of its balance; `wanted` as in `Buyer`."""
    return Buyer(Aim(Strategy.WHITEPAPER, value), DEEP_POCKET, value, wanted)


def counter(
    seed: int,
    buyers: Sequence[Buyer],
    down: Sequence[int],
    *,
    up: int,
    reserve: int,
    shill: int | None = None,
    newcomers: Newcomers | None = None,
    host: Callable[[int], str] = str,
    measured: bool = False,
) -> Simulation:
    """Buyers with lines of `down` bytes per second before one seller of `up`; `shill`: the seller's own bid."""
    peers = len(buyers) + 1
    nothing: Ints = np.zeros(peers, dtype=np.int64)
    seeds = np.arange(peers) == peers - 1
    ups = nothing.copy()
    ups[-1] = up
    people = Population(
        up=ups,
        down=np.array([*down, up], dtype=np.int64),
        arrives=nothing,
        seeds=seeds,
        lingers=np.full(peers, NEVER),
        gives_up=np.full(peers, NEVER),
    )
    graph = star(peers)
    shills: Mapping[int, int] = {} if shill is None else {peers - 1: shill}
    market = Market(
        graph,
        dict(enumerate(buyers)),
        reserve=reserve,
        measured=measured,
        shills=shills,
        newcomers=newcomers,
        host=host,
    )
    return Simulation(seed, people, graph, ENDLESS, market=market)


def book_of(simulation: Simulation) -> Market:
    """The market of a counter."""
    if simulation.market is None:
        raise ValueError("this simulation has no market")
    return simulation.market


def competitive_price(worth: Sequence[int], down: Sequence[int], capacity: int, reserve: int) -> int:
    """The price at which demand meets `capacity` (bytes per second) if everybody bids its worth for its whole line."""
    left = capacity
    for value, line in sorted(zip(worth, down, strict=True), reverse=True):
        if value < reserve:
            break
        left -= min(line, capacity)
        if left < 0:
            return value
    return reserve
