"""What does a simulated peer cost, in time and memory, from 10^2 to 10^4 peers?

Each size runs in its own process, so that the peak of its memory is its own. One seed for each hundred peers keeps the
swarms of all sizes alike.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.axes import Axes

from node.speed.strategy import Aim, Strategy
from tests.sim.market import Buyer
from tests.sim.population import BROADBAND_MIX, population, random_graph
from tests.sim.report import Report, Tell, at_most
from tests.sim.simulation import Simulation, Torrent, swarm_market
from wallet.amount import MIB

SEEDS = 1
SIZES = (100, 300, 1_000, 3_000, 10_000)
DEGREE = 40
TORRENT = Torrent(pieces=64)
ARRIVALS = 300
PAYING = 0.05
HIGHEST, RESERVE = 5_000, 1_000
MAX_ROUNDS = 20_000
GOAL = 2.0
MEMORY_GOAL = 64
"""KiB per peer: ten thousand peers fit into a gigabyte."""


@dataclass(frozen=True, slots=True)
class Load:
    """One whole run: `seconds` of one core, `memory` in bytes above what the process had before."""

    peers: int
    rounds: int
    seconds: float
    memory: int
    ratio: float

    @property
    def microseconds(self) -> float:
        """Per peer and round."""
        return self.seconds / self.rounds / self.peers * 1e6


def load(peers: int, seed: int) -> Load:
    """A swarm of `peers`, of which a twentieth pays, until all are complete."""
    before = _peak()
    start = time.process_time()
    rng = np.random.default_rng([seed, 6])
    seeds, twins = peers // 100, int(peers * PAYING)
    people = population(rng, peers, mix=BROADBAND_MIX, arrival_span=ARRIVALS, linger=60, seeds=seeds, twins=twins)
    graph = random_graph(rng, peers, DEGREE, seeds=seeds, twins=twins)
    aim = Aim(Strategy.WHITEPAPER, HIGHEST)
    buyers = {peer: Buyer(aim, HIGHEST * TORRENT.size // MIB) for peer in range(0, 2 * twins, 2)}
    simulation = Simulation(seed, people, graph, TORRENT, market=swarm_market(graph, buyers, RESERVE))
    outcome = simulation.run(MAX_ROUNDS)
    ratio = float(np.median(outcome.took[1 : 2 * twins : 2] / outcome.took[0 : 2 * twins : 2]))
    return Load(peers, outcome.rounds, time.process_time() - start, _peak() - before, ratio)


def _peak() -> int:
    """The largest resident set of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def run(seeds: int, tell: Tell) -> Report:
    loads: list[list[Load]] = []
    spawned = multiprocessing.get_context("spawn")
    for peers in SIZES:
        runs = []
        for seed in range(seeds):
            with spawned.Pool(1) as pool:
                runs.append(pool.apply(load, (peers, seed)))
            tell(f"  {peers} peers: {runs[-1].seconds:.1f} s")
        loads.append(runs)
    rows: list[list[str | int | float]] = [
        [
            f"{runs[0].peers:,}",
            *(
                float(np.median(column))
                for column in zip(
                    *((one.rounds, one.seconds, one.microseconds, one.memory / one.peers, one.ratio) for one in runs),
                    strict=True,
                )
            ),
        ]
        for runs in loads
    ]
    growth = float(rows[-1][3]) / float(rows[2][3])
    return Report(
        name="scale",
        question="Whole downloads of 16 MiB, broadband mix, 5 % pay, one seed per 100 peers (medians)",
        columns=["peers", "rounds", "CPU s", "us/peer/round", "bytes/peer", "twin/payer"],
        rows=rows,
        promises=[
            at_most("time per peer and round at 10,000 peers, as a multiple of that at 1,000", growth, GOAL),
            at_most(f"memory per peer at {SIZES[-1]:,} peers (KiB)", float(rows[-1][4]) / 1024, MEMORY_GOAL),
        ],
        seeds=seeds,
        plots={"scale": partial(_draw, rows)},
    )


def _draw(rows: list[list[str | int | float]], axes: Axes) -> None:
    axes.plot(SIZES, [float(row[3]) for row in rows], "o-", label="time per peer and round (left)")
    axes.set(
        title="Time and memory per peer, from 100 to 10,000 peers\n(whole downloads of 16 MiB, broadband mix, 5 % pay)",
        xlabel="peers",
        ylabel="processor time per peer and round (µs)",
        xscale="log",
        ylim=(0, None),
    )
    memory = axes.twinx()
    memory.plot(SIZES, [float(row[4]) / 1024 for row in rows], "s--", color="C1", label="memory per peer (right)")
    memory.set(ylabel="memory per peer (KiB)", ylim=(0, None))
    axes.legend(handles=[*axes.get_lines(), *memory.get_lines()])
