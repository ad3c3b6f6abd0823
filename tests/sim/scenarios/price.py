"""What does a seller earn at which reserve, and how fast does the price find its level?

One seller, buyers who value a MiB differently. The price to compare with is the competitive one: where demand meets
what is for sale, known here because the model knows every line; the seller has to learn what its buyers can take.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.axes import Axes

from node.speed.allocation import FreeShare
from tests.sim.counter import book_of, competitive_price, counter, honest, values
from tests.sim.population import BROADBAND_MIX
from tests.sim.report import Report, Tell, at_most, in_parallel
from wallet.amount import MIB

SEEDS = 20
BUYERS = 60
UP = 8 * MIB
ROUNDS = 240
RESERVES = (0, 250, 500, 750, 1_000, 1_250, 1_500, 2_000, 3_000, 5_000)
CLOSE = 10
"""Percent within which the price counts as found."""
GOAL = 20
GREEDY = (("0, ask for all", False), ("0, ask for all, measured", True))
"""Buyers that ask for all there is; sold to as the node does it today, and up to what they have shown to take."""


@dataclass(frozen=True, slots=True)
class Run:
    """`income` in units per second and `sold` in bytes per second, over the second half; `prices` per round."""

    reserve: int
    income: float
    sold: float
    price: int
    competitive: int
    prices: list[int]
    settled: int
    """First round from which on the price stays within `CLOSE` percent of the competitive one; `ROUNDS` if never."""


def one(seed: int, reserve: int, *, stated: bool = True, measured: bool = False) -> Run:
    """One seller for `ROUNDS` seconds. `stated`: buyers ask for what their line takes, instead of all there is."""
    rng = np.random.default_rng([seed, 2])
    worth = values(rng, BUYERS)
    kinds = rng.choice(len(BROADBAND_MIX), BUYERS, p=[access.fraction for access in BROADBAND_MIX])
    down = [BROADBAND_MIX[kind].down for kind in kinds]
    for_sale = FreeShare().for_sale(UP)
    buyers = [honest(value, line if stated else 0) for value, line in zip(worth, down, strict=True)]
    simulation = counter(seed, buyers, down, up=UP, reserve=reserve, measured=measured)
    simulation.run(ROUNDS)
    book = book_of(simulation).book
    level = competitive_price(worth, down, for_sale, reserve)
    found = dict(book.prices)
    prices = [found.get(now, reserve) for now in range(ROUNDS)]
    off = [now for now, price in enumerate(prices) if abs(price - level) * 100 > CLOSE * level]
    half = ROUNDS // 2
    return Run(
        reserve,
        sum(book.paid[half:]) / half,
        sum(book.sold[half:]) / half,
        prices[-1],
        level,
        prices,
        off[-1] + 1 if off else 0,
    )


def sweep(seed: int) -> list[Run]:
    """All reserves with the same buyers; at last the `GREEDY` ones, without a reserve."""
    greedy = (one(seed, 0, stated=False, measured=measured) for _, measured in GREEDY)
    return [*(one(seed, reserve) for reserve in RESERVES), *greedy]


def run(seeds: int, tell: Tell) -> Report:
    found = list(zip(*in_parallel(sweep, range(seeds), tell), strict=True))
    labels = [*map(str, RESERVES), *(label for label, _ in GREEDY)]
    rows: list[list[str | int | float]] = [
        [
            label,
            float(np.median([one.income for one in runs])),
            float(np.median([one.sold for one in runs])) / FreeShare().for_sale(UP),
            float(np.median([one.price for one in runs])),
            float(np.median([one.competitive for one in runs])),
            float(np.median([one.settled for one in runs])),
        ]
        for label, runs in zip(labels, found, strict=True)
    ]
    swept, greedy = rows[: len(RESERVES)], rows[len(RESERVES) :]
    settled = [one.settled for one in found[0]]
    best = max(swept, key=lambda row: float(row[1]))
    return Report(
        name="price",
        question=f"Income of one seller with {BUYERS} buyers against its reserve; when the price is found (medians)",
        columns=["reserve", "income/s", "part sold", "price", "competitive", "found after s"],
        rows=rows,
        promises=[
            at_most(
                f"seconds until the price stays within {CLOSE} % of the competitive one, worst seed", max(settled), GOAL
            )
        ],
        seeds=seeds,
        notes=[
            f"The best reserve ({best[0]}) brings {float(best[1]) / float(rows[0][1]):.2f} times the income of none.",
            f"Buyers that ask for all there is leave {1 - float(greedy[0][2]):.0%} unsold, "
            f"{1 - float(greedy[1][2]):.0%} if measured.",
            "Whoever asks for all there is and bids most wins all there is, whatever its line takes; the rest goes to",
            "free peers. Sellers that sell nobody more than it has shown to take (`Offer.usable`) find buyers out",
            f"one after another and take them for 5/4 of their line. Found after {ROUNDS} s: not found.",
        ],
        plots={
            "price-income": partial(_draw_income, swept, seeds),
            "price-convergence": partial(
                _draw_prices,
                {"buyers say what they can take": found[0]}
                | {label.partition(", ")[2]: runs for (label, _), runs in zip(GREEDY, found[-2:], strict=True)},
            ),
        },
    )


def _draw_income(rows: list[list[str | int | float]], seeds: int, axes: Axes) -> None:
    reserves = [int(row[0]) for row in rows]
    axes.plot(reserves, [float(row[1]) for row in rows], marker="o", label="income")
    axes.set(
        title="A reserve below the clearing price changes nothing, one above earns less\n"
        f"(one seller, {BUYERS} buyers, medians of {seeds} seeds)",
        xlabel="reserve price (units per MiB)",
        ylabel="income (units per second)",
        ylim=(0, None),
    )
    sold = axes.twinx()
    sold.plot(reserves, [100 * float(row[2]) for row in rows], color="tab:gray", linestyle="--", label="sold")
    sold.set(ylabel="part of the capacity for sale that is sold (%)", ylim=(0, 105))
    lines = [*axes.get_lines(), *sold.get_lines()]
    axes.legend(lines, ["income (left)", "part sold (right)"], loc="lower left")


def _draw_prices(markets: dict[str, tuple[Run, ...]], axes: Axes) -> None:
    axes.axhline(1, color="black", linewidth=4, alpha=0.25, label="competitive price")
    for (label, runs), line_style in zip(markets.items(), ("-", "--", "-."), strict=True):
        ratios = np.array([[price / found.competitive for price in found.prices] for found in runs])
        low, middle, high = np.percentile(ratios, [10, 50, 90], axis=0)
        (line,) = axes.plot(middle, line_style, label=f"{label}")
        axes.fill_between(range(len(middle)), low, high, alpha=0.2, color=line.get_color())
    axes.set(
        title="The price finds its level at once where buyers say what their lines take\n"
        f"(one seller, {BUYERS} buyers, medians and 10 % to 90 % of seeds)",
        xlabel="seconds since all buyers came",
        ylabel="clearing price / competitive price",
        ylim=(0, None),
    )
    axes.legend()
