"""Does it pay to bid anything but the truth?

One buyer deviates, in price or in the rate it asks for, all others bid what a MiB is worth to them and what their line
takes. Its gain is worth minus price, over what it got. A single price cannot prevent demand reduction (see
`node.speed.auction`): a buyer that takes a good part of a thin market gains by asking for less, and one that is served
in part names its own price. So the same demand is divided among few large buyers and among many small ones.
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


UP, DEMAND = 40_000 * KBIT, 120_000 * KBIT
"""A seller's line, and what all of its buyers together would take."""
CROWDS = (6, 12, 24, 60)
SCENES = tuple(Scene(f"{count} buyers", count, DEMAND // count, UP) for count in CROWDS)
FEW, MANY = SCENES[0], SCENES[-1]
ENOUGH = 12
"""Buyers at one seller from which on the promise is made: fewer are not a market."""

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
    kept = [1 / max(parts[scene.label].values()) for scene in SCENES]
    return Report(
        name="truthful",
        question="Gain of a buyer that deviates from the truth, as a part of what the truth brings (mean)",
        columns=["bid", *(scene.label for scene in SCENES)],
        rows=rows,
        promises=[
            at_least(
                f"gain of the truth, as a part of the best deviation's, among {ENOUGH} buyers and more",
                min(part for part, count in zip(kept, CROWDS, strict=True) if count >= ENOUGH),
                GOAL,
            )
        ],
        seeds=seeds,
        notes=[
            f"In a thinner market the truth brings less: {kept[0]:.3f} of it among {FEW.buyers} buyers.",
            "There, a buyer that is served in part names its own price, and a large one gains by asking for less",
            "(demand reduction): so it is with every uniform price; payments as in Vickrey's auction would end it.",
        ],
        plots={"truthful": partial(_draw, parts, seeds), "truthful-crowds": partial(_draw_crowds, parts, seeds)},
    )


def relative(found: list[dict[Deviation, float]]) -> dict[Deviation, float]:
    """Mean gain of each deviation, as a part of what the truth brings."""
    total = {deviation: sum(one[deviation] for one in found) for deviation in DEVIATIONS}
    return {deviation: gain / total[TRUTH] for deviation, gain in total.items()}


def _draw(parts: dict[str, dict[Deviation, float]], seeds: int, axes: Axes) -> None:
    for color, scene in (("C0", MANY), ("C1", FEW)):
        for prices, mark in ((True, "o-"), (False, "s--")):
            points = _along(parts[scene.label], prices=prices)
            what = "price" if prices else "wanted rate"
            x, gain = [factor / MILLI for factor in points], list(points.values())
            axes.plot(x, gain, mark, color=color, label=f"{scene.label}: {what}")
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set(
        title="Among many buyers no lie pays; among few, saying less than the truth does\n"
        f"(one buyer deviates, the others bid the truth; means of {seeds} seeds)",
        xlabel="what the buyer says / the truth",
        ylabel="gain / gain of the truth",
        xscale="log",
        ylim=(-1, 1.5),
    )
    axes.set_xticks([0.1, 0.25, 0.5, 1, 2, 4], labels=["0.1", "0.25", "0.5", "1", "2", "4"])
    axes.minorticks_off()
    axes.legend(loc="lower left")


def _draw_crowds(parts: dict[str, dict[Deviation, float]], seeds: int, axes: Axes) -> None:
    for prices, mark, label in ((True, "o-", "best lie about the price"), (False, "s--", "best lie about the rate")):
        best = [max(_along(parts[scene.label], prices=prices).values()) for scene in SCENES]
        axes.plot(CROWDS, [100 / gain for gain in best], mark, label=label)
    axes.axhline(100 * GOAL, color="black", linewidth=1, linestyle=":", label=f"promised: {GOAL:.0%}")
    axes.set(
        title="The more buyers compete for a seller, the less is gained by a lie\n"
        f"(the same demand, three times the line; means of {seeds} seeds)",
        xlabel="buyers at one seller",
        ylabel="gain of the truth / gain of the best lie (%)",
        xscale="log",
        ylim=(0, 105),
    )
    axes.set_xticks(CROWDS, labels=[str(count) for count in CROWDS])
    axes.minorticks_off()
    axes.legend(loc="lower right")


def _along(found: dict[Deviation, float], *, prices: bool) -> dict[int, float]:
    """The gains of lies about the price alone, or about the rate alone, by thousandths of the truth; truth included."""
    own, other = (0, 1) if prices else (1, 0)
    return {deviation[own]: found[deviation] for deviation in sorted(found) if deviation[other] == MILLI}
