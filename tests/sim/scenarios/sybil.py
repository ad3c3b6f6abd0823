"""What do many identities at one prefix gain by taking credit and vanishing?

All identities bid the most, take what they get and never pay. Without budgets, each of them takes a newcomer's credit;
with them, a prefix holds one window at a time, which leaks at one window per hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from matplotlib.axes import Axes

from node.speed.newcomers import Newcomers
from tests.sim.counter import book_of, counter, honest
from tests.sim.report import Report, Tell, at_most, in_parallel
from wallet.amount import MIB

SEEDS = 3
IDENTITIES = (10, 100, 1_000, 10_000)
UP = 64 * MIB
ROUNDS = 60
MILLI, HOUR = 1000, 3600


@dataclass(frozen=True, slots=True)
class Raid:
    """Bytes that `identities` took without paying, and the most the theory of `node.speed.newcomers` allows."""

    identities: int
    taken: int
    bound: int


def raid(identities: int, seed: int, *, budget: bool, rounds: int = ROUNDS) -> Raid:
    """`identities` at one /24, all at once."""
    buyers = [honest(5_000) for _ in range(identities)]
    for buyer in buyers:
        buyer.pays = False
    newcomers = Newcomers() if budget else None
    simulation = counter(
        seed,
        buyers,
        [UP] * identities,
        up=UP,
        reserve=1_000,
        newcomers=newcomers,
        host=lambda peer: f"203.0.113.{peer % 256}",
    )
    simulation.run(rounds)
    market = book_of(simulation)
    bound = MIB + MIB * rounds // HOUR if budget else identities * MIB
    return Raid(identities, sum(market.book.sold), bound)


def raids(seed: int) -> list[tuple[Raid, Raid]]:
    """Without and with budgets."""
    return [(raid(count, seed, budget=False), raid(count, seed, budget=True)) for count in IDENTITIES]


def run(seeds: int, tell: Tell) -> Report:
    found = in_parallel(raids, range(seeds), tell)
    worst = [
        (max((row[index][0] for row in found), key=lambda one: one.taken),
         max((row[index][1] for row in found), key=lambda one: one.taken))
        for index in range(len(IDENTITIES))
    ]  # fmt: skip
    headline = max(kept.taken / kept.bound for _, kept in worst)
    return Report(
        name="sybil",
        question=f"Unpaid MiB taken within {ROUNDS} s by identities from one /24 (worst seed)",
        columns=["identities", "without budgets", "with budgets", "bound"],
        rows=[
            [f"{open_.identities:,}", open_.taken / MIB, kept.taken / MIB, kept.bound / MIB] for open_, kept in worst
        ],
        promises=[
            at_most(
                "the most that any number of identities took, as a part of one prefix budget (1 MiB, and what leaks)",
                headline,
                1,
            )
        ],
        seeds=seeds,
        notes=[f"Without budgets the seller's line limits the loss: {UP // MIB * ROUNDS:,} MiB in {ROUNDS} s."],
        plots={"sybil": partial(_draw, worst, seeds)},
    )


def _draw(worst: list[tuple[Raid, Raid]], seeds: int, axes: Axes) -> None:
    axes.plot(IDENTITIES, [open_.taken / MIB for open_, _ in worst], "o-", label="a newcomer's credit for each")
    axes.plot(IDENTITIES, [kept.taken / MIB for _, kept in worst], "s-", label="one budget per prefix")
    axes.set(
        title="One budget per prefix bounds what identities of one /24 take together\n"
        f"(unpaid within {ROUNDS} s, seller of {UP // MIB} MiB/s, worst of {seeds} seeds)",
        xlabel="identities that take credit and vanish",
        ylabel="unpaid upload (MiB)",
        xscale="log",
        yscale="log",
    )
    axes.legend()
