"""How much sooner does a payer finish than its twin, and what does that cost those who do not pay?

Pairs of peers are alike in everything: lines, arrival, neighbours. One of each pair pays. The same swarm is run once
more without payments: what the others have less at any moment is what payments took from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.axes import Axes

from node.speed.strategy import Aim, Schedule, Strategy
from tests.sim.market import MILLI, Buyer
from tests.sim.population import BROADBAND_MIX, EQUALS, AccessClass, Floats, Ints, population, random_graph
from tests.sim.report import Report, Tell, at_least, at_most, in_parallel
from tests.sim.simulation import Outcome, Simulation, Torrent, swarm_market
from wallet.amount import MIB

SEEDS, OTHER_SEEDS = 20, 3
DEGREE = 40
RESERVE, HIGHEST = 1_000, 5_000
"""Units per MiB."""
DEADLINE = 300
"""Seconds from arrival in which those who bid by a deadline want to be done: half of what it takes for nothing."""
GOAL = 1.7
MAX_ROUNDS = 20_000
TORRENT = Torrent()


@dataclass(frozen=True, slots=True)
class Setting:
    """A swarm: `pairs` of twins among `peers`, arrivals over `span` rounds; `linger`, `patience`: see `population`.

    The payers of the pairs take turns with `strategies`.
    """

    label: str
    peers: int = 1_000
    pairs: int = 50
    span: int = 600
    mix: tuple[AccessClass, ...] = EQUALS
    linger: float = 0
    patience: float = 0
    strategies: tuple[Strategy, ...] = (Strategy.WHITEPAPER,)
    torrent: Torrent = TORRENT
    measured: bool = False


HEADLINE = Setting("equals, arriving over 10 min")
STREETS = Setting(
    "broadband mix, churn",
    mix=BROADBAND_MIX,
    linger=120,
    patience=3_600,
    pairs=60,
    strategies=(Strategy.WHITEPAPER, Strategy.DEADLINE, Strategy.CHEAPEST),
)
OTHERS = (
    STREETS,
    Setting("equals, 1 % pay", pairs=10),
    Setting("equals, 20 % pay", pairs=200),
    Setting("equals, 40 % pay", pairs=400),
    Setting("equals, flash crowd", span=0),
    Setting("broadband mix", mix=BROADBAND_MIX),
    Setting("equals, buyers measured", measured=True),
    Setting("broadband, buyers measured", mix=BROADBAND_MIX, measured=True),
)


@dataclass(frozen=True, slots=True)
class Race:
    """`payer`, `twin` and `control` are seconds from arrival to completion for each pair, NaN: gave up before.

    `loss`: see `measure`. `price`: units per MiB, mean. Histories are cumulative bytes per round: of all non-payers
    `with_market` and `without`, and `sold`.
    """

    payer: Floats
    twin: Floats
    control: Floats
    loss: float
    price: float
    with_market: Ints
    without: Ints
    sold: Ints

    def ratio(self, turn: int = 0, turns: int = 1) -> float:
        """Median over the pairs (each `turns`-th) whose payer finished; a twin that gave up took for ever."""
        payer, twin = self.payer[turn::turns], self.twin[turn::turns]
        finished = ~np.isnan(payer)
        return float(np.median(np.where(np.isnan(twin), np.inf, twin)[finished] / payer[finished]))


def race(setting: Setting, seed: int) -> Race:
    """One seed: the swarm with payments, and the same without."""
    paying, sold, paid = _swarm(setting, seed, pays=True)
    control, _, _ = _swarm(setting, seed, pays=False)
    twins = 2 * setting.pairs
    return Race(
        payer=paying.took[0:twins:2],
        twin=paying.took[1:twins:2],
        control=control.took[1:twins:2],
        loss=measure(paying, control, sold),
        price=paid * MIB / max(1, sum(sold)),
        with_market=paying.history[:, 0],
        without=control.history[:, 0],
        sold=np.cumsum(sold, dtype=np.int64),
    )


def measure(paying: Outcome, control: Outcome, sold: list[int]) -> float:
    """The non-payers' loss when it is largest, as a part of what had been sold by then.

    Loss at a moment: bytes they have received by then without the market, minus with it.
    """
    rounds = min(paying.rounds, control.rounds)
    loss = control.history[:rounds, 0] - paying.history[:rounds, 0]
    worst = int(np.argmax(loss))
    return float(loss[worst] / max(1, sum(sold[: worst + 1])))


def _swarm(setting: Setting, seed: int, *, pays: bool) -> tuple[Outcome, list[int], int]:
    rng = np.random.default_rng([seed, 0])
    people = population(
        rng,
        setting.peers,
        mix=setting.mix,
        arrival_span=setting.span,
        linger=setting.linger,
        patience=setting.patience,
        twins=setting.pairs,
    )
    graph = random_graph(rng, setting.peers, DEGREE, twins=setting.pairs)
    payers = range(0, 2 * setting.pairs, 2)
    buyers = {peer: _buyer(setting, peer // 2, int(people.arrives[peer])) for peer in payers} if pays else {}
    market = swarm_market(graph, buyers, RESERVE, measured=setting.measured)
    others = np.ones(setting.peers, dtype=np.bool_)
    others[list(payers)] = False
    simulation = Simulation(seed, people, graph, setting.torrent, market=market, groups=[others])
    outcome = simulation.run(MAX_ROUNDS)
    return (outcome, market.book.sold, sum(market.book.paid)) if market else (outcome, [], 0)


def _buyer(setting: Setting, pair: int, arrives: int) -> Buyer:
    strategy, size = setting.strategies[pair % len(setting.strategies)], setting.torrent.size
    schedule = None
    if strategy is Strategy.DEADLINE:
        schedule = Schedule(size, arrives * MILLI, (arrives + DEADLINE) * MILLI)
    return Buyer(Aim(strategy, HIGHEST, schedule), HIGHEST * size // MIB)


def run(seeds: int, tell: Tell) -> Report:
    races: dict[str, list[Race]] = {}
    rows: list[list[str | int | float]] = []
    for setting in (HEADLINE, *OTHERS):
        count = seeds if setting is HEADLINE else min(OTHER_SEEDS, seeds)
        tell(setting.label)
        found = races[setting.label] = in_parallel(partial(race, setting), range(count), tell)
        rows.append(_row(setting.label, found))
        turns = len(setting.strategies)
        if turns > 1:
            rows += [_row(f"  {name.value}", found, turn, turns) for turn, name in enumerate(setting.strategies)]
    headline, streets = races[HEADLINE.label], races[STREETS.label]
    return Report(
        name="payer-vs-twin",
        question="How much sooner does a payer finish than its twin, and what do the others lose? (medians over seeds)",
        columns=COLUMNS,
        rows=rows,
        promises=[
            at_least(
                f"equals: times that a payer finishes sooner than its twin, median of {seeds} seeds",
                float(np.median([one.ratio() for one in headline])),
                GOAL,
            ),
            at_most(
                "equals: the most that non-payers have lost at any moment, as a part of what was sold, worst seed",
                max(one.loss for one in headline),
                1,
            ),
            at_most("broadband mix, churn: the same loss, worst seed", max(one.loss for one in streets), 1),
        ],
        seeds=seeds,
        notes=[
            f"{HEADLINE.label}: the ratio of the lowest seed is {min(one.ratio() for one in headline):.2f}.",
            f"Broadband mix, churn: a third of the payers each bid by whitepaper, deadline ({DEADLINE} s), cheapest.",
            "A twin that gave up counts as one that took for ever. Seconds are of those who finished.",
        ],
        plots={
            "payer-vs-twin-times": partial(_draw_times, headline[0]),
            "payer-vs-twin-loss": partial(_draw_loss, headline[0]),
            "payer-vs-twin-strategies": partial(_draw_strategies, streets),
        },
    )


COLUMNS = ("swarm", "seeds", "twin/payer", "payer s", "twin s", "no market s", "loss/sold", "units/MiB")


def _row(label: str, races: list[Race], turn: int = 0, turns: int = 1) -> list[str | int | float]:
    """Medians over seeds. Loss and price are those of the whole swarm, so there is none for a part of its payers."""
    seconds = [
        float(np.median([np.nanmedian(times[turn::turns]) for times in column]))
        for column in zip(*((one.payer, one.twin, one.control) for one in races), strict=True)
    ]
    ratio = float(np.median([one.ratio(turn, turns) for one in races]))
    whole = [float(np.median([one.loss for one in races])), float(np.median([one.price for one in races]))]
    return [label, len(races), ratio, *seconds, *(whole if turns == 1 else ["", ""])]


def _draw_times(one: Race, axes: Axes) -> None:
    for times, style, label in ((one.payer, "-", "pays"), (one.twin, "--", "identical twin, does not pay")):
        finished = np.sort(times[~np.isnan(times)])
        axes.step(finished, np.arange(1, len(finished) + 1) / len(times) * 100, style, where="post", label=label)
    axes.set(
        title=f"Half of the payers finish within {np.nanmedian(one.payer):.0f} s, of their twins within "
        f"{np.nanmedian(one.twin):.0f} s\n(1,000 equal peers arriving over 10 min, 5 % pay, one seed)",
        xlabel="time from arrival to completion (s)",
        ylabel="part of them complete (%)",
        xlim=(0, None),
        ylim=(0, 102),
    )
    axes.legend(loc="upper center")


def _draw_loss(one: Race, axes: Axes) -> None:
    rounds = min(len(one.with_market), len(one.without))
    loss = (one.without[:rounds] - one.with_market[:rounds]) / MIB
    axes.plot(one.sold[:rounds] / MIB, "-", label="sold to payers so far")
    axes.plot(loss, "--", label="missing to non-payers, all together")
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set(
        title=f"At the worst moment, non-payers have lost {one.loss:.0%} of what was sold\n"
        "(1,000 equal peers arriving over 10 min, 5 % pay, one seed)",
        xlabel="time since the first arrival (s)",
        ylabel="data (MiB)",
        xlim=(0, rounds),
    )
    axes.legend(loc="center right")


def _draw_strategies(races: list[Race], axes: Axes) -> None:
    turns = len(STREETS.strategies)
    ratios = [np.concatenate([(one.twin / one.payer)[turn::turns] for one in races]) for turn in range(turns)]
    finished = [pairs[~np.isnan(pairs)] for pairs in ratios]
    axes.boxplot(finished, widths=0.5, medianprops={"color": "#D55E00", "linewidth": 2})
    axes.axhline(1, color="black", linewidth=0.8, linestyle="--")
    axes.set_xticks(range(1, turns + 1), labels=[strategy.value for strategy in STREETS.strategies])
    axes.set(
        title="What paying brings, by the payer's strategy\n"
        f"(1,000 peers, broadband mix, churn, 6 % pay; pairs that finished, {len(races)} seeds)",
        xlabel="strategy of the payer",
        ylabel="time of the twin / time of the payer",
        ylim=(0, None),
    )
