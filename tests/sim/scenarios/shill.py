"""What does a seller gain by bidding against its own buyers, and what do they lose?

A shill may raise the price to just below what a buyer would pay, and sells nothing when it bids more. The buyers'
defence is their own limit: nobody ever pays more than it said. Measured as the seller's income against an honest one's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.axes import Axes

from tests.sim.counter import VALUE_MEDIAN, book_of, counter, honest, values
from tests.sim.population import KBIT
from tests.sim.report import Report, Tell, at_most, in_parallel
from wallet.amount import MIB

SEEDS = 20
CONTENDED, IDLE = 40, 8
"""Buyers: more than the seller can serve, and fewer."""
DOWN, UP = 3_000 * KBIT, 40_000 * KBIT
ROUNDS = 30
RESERVE = 100
SHILLS = (None, 500, 1_000, 1_500, 2_000, 3_000, 5_000, 8_000)
"""The price of the shill's bid, in units per MiB; the median buyer would pay 1000."""


@dataclass(frozen=True, slots=True)
class Fair:
    """Units in all, bytes sold, and the largest price any buyer paid as a part of its own limit."""

    income: int
    sold: int
    worst: float
    over_limit: int


def fair(seed: int, count: int, shill: int | None, *, rounds: int = ROUNDS) -> Fair:
    """One seller with `count` buyers and this shill."""
    worth = values(np.random.default_rng([seed, 4]), count)
    buyers = [honest(value, DOWN) for value in worth]
    simulation = counter(seed, buyers, [DOWN] * count, up=UP, reserve=RESERVE, shill=shill)
    simulation.run(rounds)
    book = book_of(simulation).book
    # Mean price per MiB against the limit; each round's metering rounds up, by less than a unit.
    worst = max(((one.spent - rounds) * MIB / (one.bought * one.value) for one in buyers if one.bought), default=0.0)
    return Fair(sum(book.income.values()), sum(book.sold), worst, book.over_limit)


def fairs(seed: int) -> list[tuple[Fair, Fair]]:
    """The same buyers with every shill: many, and few."""
    return [(fair(seed, CONTENDED, shill), fair(seed, IDLE, shill)) for shill in SHILLS]


def run(seeds: int, tell: Tell) -> Report:
    found = in_parallel(fairs, range(seeds), tell)
    rows: list[list[str | int | float]] = []
    for index, shill in enumerate(SHILLS):
        row: list[str | int | float] = [str(shill or "none")]
        for count in (0, 1):
            runs = [(one[index][count], one[0][count]) for one in found]
            row.append(float(np.median([one.income / other.income for one, other in runs])))
            row.append(float(np.median([one.sold / other.sold for one, other in runs])))
        both = [one for pairs in found for one in pairs[index]]
        rows.append([*row, max(one.worst for one in both), sum(one.over_limit for one in both)])
    worst = max(float(row[5]) for row in rows)
    many, few = (max(rows, key=lambda row: float(row[column])) for column in (1, 3))
    return Report(
        name="shill",
        question="A seller that bids against its own buyers, as part of the honest seller's (medians; limit: any seed)",
        columns=["shill bids", "income, many", "sold", "income, few", "sold, few", "paid / limit", "above limit"],
        rows=rows,
        promises=[
            at_most("the most that any buyer paid, as a part of its own limit, any shill and seed", worst, 1),
            at_most("sales above the buyer's limit", sum(int(row[6]) for row in rows), 0),
        ],
        seeds=seeds,
        notes=[
            f"The best shill brings {float(many[1]):.2f} times the honest income before {CONTENDED} buyers (it bids "
            f"{many[0]}), {float(few[3]):.2f} times before {IDLE} ({few[0]}).",
            "A public reserve of the same height does the same: a shill is a reserve that is not announced.",
        ],
        plots={"shill": partial(_draw, rows, seeds)},
    )


def _draw(rows: list[list[str | int | float]], seeds: int, axes: Axes) -> None:
    prices = [int(row[0]) for row in rows[1:]]
    for color, column, mark, label in (
        ("C0", 1, "o-", f"income, {CONTENDED} buyers"),
        ("C0", 2, "o--", f"bytes sold, {CONTENDED} buyers"),
        ("C1", 3, "s-", f"income, {IDLE} buyers (line not full)"),
        ("C1", 4, "s--", f"bytes sold, {IDLE} buyers"),
    ):
        axes.plot(prices, [float(row[column]) for row in rows[1:]], mark, color=color, label=label)
    axes.axhline(1, color="black", linewidth=0.8, label="no shill")
    axes.set(
        title=f"A shill gains where the line is not full, and sells less as it bids more\n"
        f"(buyers' median value {VALUE_MEDIAN:,} units per MiB; medians of {seeds} seeds)",
        xlabel="price of the seller's own bid (units per MiB)",
        ylabel="with a shill / without",
        ylim=(0, None),
    )
    axes.legend()
