"""What becomes of free riders, who neither pay nor upload, and of everybody else?

A part of the swarm rides free, a tenth pays, the rest uploads and does not pay. The same swarm without a market shows
what is the market's doing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.axes import Axes

from node.speed.strategy import Aim, Strategy
from tests.sim.market import Buyer
from tests.sim.population import BROADBAND_MIX, population, random_graph
from tests.sim.report import Report, Tell, at_least, at_most, in_parallel
from tests.sim.simulation import Simulation, Torrent, swarm_market
from wallet.amount import MIB

SEEDS = 5
PEERS, DEGREE = 500, 40
TORRENT = Torrent(pieces=128)
FRACTIONS = (0.0, 0.1, 0.25, 0.5)
PAYING = 0.1
HIGHEST, RESERVE = 5_000, 1_000
MAX_ROUNDS = 20_000
KINDS = ("payers", "contributors", "free riders")
GOAL = 1.5


@dataclass(frozen=True, slots=True)
class Shares:
    """Median seconds to completion by kind, and the part of each kind that completes, with and without a market."""

    fraction: float
    took: tuple[float, ...]
    control: tuple[float, ...]
    finished: float


def shares(seed: int, fraction: float, *, peers: int = PEERS) -> Shares:
    """One swarm with this part of free riders, twice."""
    outcomes = []
    for market in (True, False):
        rng = np.random.default_rng([seed, 5])
        people = population(rng, peers, mix=BROADBAND_MIX, arrival_span=300, linger=60)
        graph = random_graph(rng, peers, DEGREE)
        payers, riders = int(peers * PAYING), int(peers * fraction)
        kinds = [np.zeros(peers, dtype=np.bool_) for _ in KINDS]
        kinds[0][:payers] = True
        kinds[2][payers : payers + riders] = True
        kinds[1] = ~kinds[0] & ~kinds[2] & ~people.seeds
        people.up[kinds[2]] = 0
        aim, budget = Aim(Strategy.WHITEPAPER, HIGHEST), HIGHEST * TORRENT.size // MIB
        buyers = {peer: Buyer(aim, budget) for peer in range(payers)} if market else {}
        simulation = Simulation(seed, people, graph, TORRENT, market=swarm_market(graph, buyers, RESERVE))
        took = simulation.run(MAX_ROUNDS).took
        outcomes.append((tuple(float(np.nanmedian(took[kind])) if kind.any() else 0.0 for kind in kinds), took))
    return Shares(fraction, outcomes[0][0], outcomes[1][0], float(np.mean(~np.isnan(outcomes[0][1]))))


def sweep(seed: int) -> list[Shares]:
    """All fractions."""
    return [shares(seed, fraction) for fraction in FRACTIONS]


def run(seeds: int, tell: Tell) -> Report:
    found = list(zip(*in_parallel(sweep, range(seeds), tell), strict=True))
    rows: list[list[str | int | float]] = []
    for runs in found:
        took = [float(np.median([one.took[kind] for one in runs])) for kind in range(3)]
        control = [float(np.median([one.control[kind] for one in runs])) for kind in range(3)]
        rows.append([f"{runs[0].fraction:.0%}", *took, *control, min(one.finished for one in runs)])
    slower = max(float(row[3]) / float(row[6]) for row in rows[1:])
    finished = min(float(row[7]) for row in rows)
    return Report(
        name="free-riders",
        question=f"Seconds to completion, {PEERS} peers, broadband mix, {PAYING:.0%} pay (medians)",
        columns=["ride free", *KINDS, *(f"{kind}, no market" for kind in KINDS), "finished"],
        rows=rows,
        promises=[
            at_most("free riders' time, as a multiple of theirs without a market, worst fraction", slower, GOAL),
            at_least("part of all peers that finishes, worst swarm", finished, 1),
        ],
        seeds=seeds,
        notes=[
            f"At {rows[2][0]} free riders, payers are {float(rows[2][3]) / float(rows[2][1]):.1f} times faster than "
            f"they, contributors {float(rows[2][3]) / float(rows[2][2]):.1f} times.",
        ],
        plots={"free-riders": partial(_draw, rows, seeds)},
    )


def _draw(rows: list[list[str | int | float]], seeds: int, axes: Axes) -> None:
    x = [100 * fraction for fraction in FRACTIONS]
    for index, (kind, mark) in enumerate(zip(KINDS, "o^s", strict=True)):
        keep = [place for place, row in enumerate(rows) if float(row[1 + index])]
        for first, line, suffix in ((1, "-", ""), (4, "--", ", no market")):
            seconds = [float(rows[place][first + index]) for place in keep]
            axes.plot([x[place] for place in keep], seconds, mark + line, color=f"C{index}", label=kind + suffix)
    axes.set(
        title="Who uploads is served before who rides free, who pays before both\n"
        f"({PEERS} peers, broadband mix, {PAYING:.0%} pay; medians of {seeds} seeds)",
        xlabel="part of the swarm that rides free (%)",
        ylabel="median time from arrival to completion (s)",
        ylim=(0, None),
    )
    axes.legend(loc="upper left")
