"""Does it pay to bid anything but the truth?

One buyer deviates, in price or in the rate it asks for, all others bid what a MiB is worth to them and what their line
takes. Its gain is worth minus price, over what it got. A single price cannot prevent demand reduction (see
`node.speed.auction`): a buyer that takes a good part of a thin market gains by asking for less. So two markets are
measured: many small buyers, and few large ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from matplotlib.axes import Axes

from node.speed.strategy import Aim, Strategy
from tests.sim.counter import counter, honest, values
from tests.sim.market import MILLI, Buyer
from tests.sim.population import KBIT
from tests.sim.report import Report, Tell, at_least, in_parallel
from wallet.amount import MIB

SEEDS = 20
PRICE_FACTORS = (250, 500, 750, 900, 1_000, 1_100, 1_250, 2_000, 4_000)
RATE_FACTORS = (100, 250, 500, 750, 1_000)
"""Thousandths of the truth."""
GOAL = 0.95
RANKS = (0.5, 0.75, 0.9, 1.0)
"""Where in the order of values the deviating buyer stands; the price lies among them."""


@dataclass(frozen=True, slots=True)
class Scene:
    """`buyers` with lines of `down` bytes per second before a seller of `up`, for `rounds` seconds."""

    label: str
    buyers: int
    down: int
    up: int
    rounds: int = 30


SCENES = (Scene("many small", 60, 2_000 * KBIT, 40_000 * KBIT), Scene("few large", 6, 20_000 * KBIT, 40_000 * KBIT))

Deviation = tuple[int, int]
"""Price and rate, in thousandths of the truth."""
TRUTH: Deviation = (MILLI, MILLI)
DEVIATIONS: tuple[Deviation, ...] = (
    *((price, MILLI) for price in PRICE_FACTORS),
    *((MILLI, rate) for rate in RATE_FACTORS if rate != MILLI),
)


def gains(scene: Scene, seed: int) -> dict[Deviation, float]:
    """What one deviating buyer gains, in units, summed over the places it may have in the order of values."""
    rng = np.random.default_rng([seed, 3])
    worth = sorted(values(rng, scene.buyers))
    total = dict.fromkeys(DEVIATIONS, 0.0)
    for rank in RANKS:
        liar = round(rank * (scene.buyers - 1))
        for deviation in DEVIATIONS:
            buyers = [honest(value, scene.down) for value in worth]
            buyers[liar] = _liar(worth[liar], deviation, scene)
            counter(seed, buyers, [scene.down] * scene.buyers, up=scene.up, reserve=100).run(scene.rounds)
            total[deviation] += worth[liar] * buyers[liar].bought / MIB - buyers[liar].spent
    return total


def _liar(value: int, deviation: Deviation, scene: Scene) -> Buyer:
    price, rate = deviation
    return replace(honest(value, scene.down * rate // MILLI), aim=Aim(Strategy.WHITEPAPER, value * price // MILLI))


def run(seeds: int, tell: Tell) -> Report:
    rows: list[list[str | int | float]] = []
    parts: dict[str, dict[Deviation, float]] = {}
    for scene in SCENES:
        tell(scene.label)
        parts[scene.label] = relative(in_parallel(partial(gains, scene), range(seeds), tell))
    for deviation in DEVIATIONS:
        name = f"price x {deviation[0] / MILLI:g}" if deviation[1] == MILLI else f"rate x {deviation[1] / MILLI:g}"
        rows.append([name, *(parts[scene.label][deviation] for scene in SCENES)])
    small = 1 / max(parts[SCENES[0].label].values())
    few = parts[SCENES[1].label]
    price_only = 1 / max(gain for (_, rate), gain in few.items() if rate == MILLI)
    return Report(
        name="truthful",
        question="Gain of a buyer that deviates from the truth, as a part of what the truth brings (mean)",
        columns=["bid", *(scene.label for scene in SCENES)],
        rows=rows,
        promises=[
            at_least("gain of the truth, as a part of the best deviation's, among many small buyers", small, GOAL),
            at_least("the same, deviations in price only, among few large buyers", price_only, GOAL),
        ],
        seeds=seeds,
        notes=[
            "Few large buyers gain by asking for less: demand reduction, which no uniform price prevents.",
            f"There, the truth brings {1 / max(few.values()):.3f} of the best deviation in rate.",
        ],
        plots={"truthful": partial(_draw, parts, seeds)},
    )


def relative(found: list[dict[Deviation, float]]) -> dict[Deviation, float]:
    """Mean gain of each deviation, as a part of what the truth brings."""
    total = {deviation: sum(one[deviation] for one in found) for deviation in DEVIATIONS}
    return {deviation: gain / total[TRUTH] for deviation, gain in total.items()}


def _draw(parts: dict[str, dict[Deviation, float]], seeds: int, axes: Axes) -> None:
    for color, (label, found) in zip(("C0", "C1"), parts.items(), strict=True):
        for prices, mark in ((True, "o-"), (False, "s--")):
            points = sorted(
                (deviation[0] if prices else deviation[1], gain)
                for deviation, gain in found.items()
                if deviation[1 if prices else 0] == MILLI
            )
            what = "price" if prices else "wanted rate"
            axes.plot(
                [x / MILLI for x, _ in points],
                [gain for _, gain in points],
                mark,
                color=color,
                label=f"{label}: {what}",
            )
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set(
        title="No lie about the price pays; asking for less pays a large buyer in a thin market\n"
        f"(means of {seeds} seeds; 60 small buyers, 6 large ones)",
        xlabel="what the buyer says / the truth",
        ylabel="gain / gain of the truth",
        xscale="log",
    )
    axes.set_xticks([0.1, 0.25, 0.5, 1, 2, 4], labels=["0.1", "0.25", "0.5", "1", "2", "4"])
    axes.legend()
