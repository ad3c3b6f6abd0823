"""How much sooner does a payer finish than its twin, and what does that cost those who do not pay?

Pairs of peers are alike in everything: lines, arrival, neighbours. One of each pair pays. The same swarm is run once
more without payments: what the others have less at any moment is what payments took from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.axes import Axes

from node.speed.strategy import Aim, Strategy
from tests.sim.market import Buyer
from tests.sim.population import BROADBAND_MIX, EQUALS, AccessClass, population, random_graph
from tests.sim.report import Report, Tell, in_parallel
from tests.sim.simulation import Outcome, Simulation, Torrent, swarm_market
from wallet.amount import MIB

SEEDS = 20
DEGREE = 40
RESERVE, HIGHEST = 1_000, 5_000
"""Units per MiB."""
GOAL = 1.7
MAX_ROUNDS = 20_000
TORRENT = Torrent()


@dataclass(frozen=True, slots=True)
class Setting:
    """A swarm: `pairs` of twins among `peers`, arrivals over `span` rounds."""

    label: str
    peers: int = 1_000
    pairs: int = 50
    span: int = 600
    mix: tuple[AccessClass, ...] = EQUALS
    torrent: Torrent = TORRENT
    measured: bool = False


HEADLINE = Setting("equals, arriving over 10 min")
OTHERS = (
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
    """Medians over the pairs in rounds; `loss`: see `measure`; histories are bytes of all non-payers, per round."""

    ratio: float
    payer: float
    twin: float
    control: float
    loss: float
    price: float
    with_market: list[int]
    without: list[int]
    sold: list[int]
    times: tuple[list[float], list[float]]


def race(setting: Setting, seed: int) -> Race:
    """One seed: the swarm with payments, and the same without."""
    paying, sold, paid = _swarm(setting, seed, pays=True)
    control, _, _ = _swarm(setting, seed, pays=False)
    twins = 2 * setting.pairs
    payer, twin = paying.took[0:twins:2], paying.took[1:twins:2]
    return Race(
        ratio=float(np.median(twin / payer)),
        payer=float(np.median(payer)),
        twin=float(np.median(twin)),
        control=float(np.median(control.took[1:twins:2])),
        loss=measure(paying, control, sold),
        price=paid * MIB / max(1, sum(sold)),
        with_market=paying.history[:, 0].tolist(),
        without=control.history[:, 0].tolist(),
        sold=np.cumsum(sold).tolist(),
        times=(payer.tolist(), twin.tolist()),
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
    people = population(rng, setting.peers, mix=setting.mix, arrival_span=setting.span, twins=setting.pairs)
    graph = random_graph(rng, setting.peers, DEGREE, twins=setting.pairs)
    payers = range(0, 2 * setting.pairs, 2)
    aim = Aim(Strategy.WHITEPAPER, HIGHEST)
    budget = HIGHEST * setting.torrent.size // MIB
    buyers = {peer: Buyer(aim, budget) for peer in payers} if pays else {}
    market = swarm_market(graph, buyers, RESERVE, measured=setting.measured)
    others = np.ones(setting.peers, dtype=np.bool_)
    others[list(payers)] = False
    simulation = Simulation(seed, people, graph, setting.torrent, market=market, groups=[others])
    outcome = simulation.run(MAX_ROUNDS)
    return (outcome, market.book.sold, sum(market.book.paid)) if market else (outcome, [], 0)


def run(seeds: int, tell: Tell) -> Report:
    headline: list[Race] = []
    rows: list[list[str | int | float]] = []
    for setting in (HEADLINE, *OTHERS):
        count = seeds if setting is HEADLINE else min(3, seeds)
        tell(setting.label)
        races = in_parallel(partial(race, setting), range(count), tell)
        headline = headline or races
        rows.append(
            [setting.label, count, *(float(np.median([getattr(one, name) for one in races])) for name in SHOWN)]
        )
    ratio = float(np.median([one.ratio for one in headline]))
    loss = float(np.median([one.loss for one in headline]))
    worst = max(one.loss for one in headline)
    return Report(
        name="payer-vs-twin",
        question="How much sooner does a payer finish than its twin, and what do the others lose? (medians)",
        columns=["swarm", "seeds", *SHOWN.values()],
        rows=rows,
        headline=ratio,
        goal="payers finish at least 1.7 times sooner; non-payers lose no more than what was sold",
        met=ratio >= GOAL and worst <= 1,
        verdict=f"payers finish {ratio:.2f} times sooner (lowest seed {min(one.ratio for one in headline):.2f}); "
        f"non-payers lose {loss:.2f} of what was sold (highest seed {worst:.2f})",
        seeds=seeds,
        notes=[
            "Where all arrive at once, nobody has pieces to sell at first: money cannot buy what does not exist yet.",
        ],
        plots={
            "payer-vs-twin-times": partial(_draw_times, headline[0]),
            "payer-vs-twin-loss": partial(_draw_loss, headline[0]),
        },
    )


SHOWN = {
    "ratio": "twin/payer",
    "payer": "payer s",
    "twin": "twin s",
    "control": "no market s",
    "loss": "loss/sold",
    "price": "units/MiB",
}


def _draw_times(one: Race, axes: Axes) -> None:
    for times, label in zip(one.times, ("pays", "identical twin, does not pay"), strict=True):
        axes.step(sorted(times), np.arange(1, len(times) + 1) / len(times), where="post", label=label)
    axes.set(
        title="Completion of payers and their twins (equals, 1,000 peers, one seed)",
        xlabel="seconds from arrival to completion",
        ylabel="fraction complete",
        xlim=(0, None),
    )
    axes.legend()


def _draw_loss(one: Race, axes: Axes) -> None:
    rounds = min(len(one.with_market), len(one.without))
    loss = (np.array(one.without[:rounds]) - np.array(one.with_market[:rounds])) / MIB
    sold = np.array(one.sold[:rounds]) / MIB
    axes.plot(sold, label="sold so far")
    axes.plot(loss, label="received less than without a market, all non-payers together")
    axes.set(title="What non-payers lose (equals, 1,000 peers, one seed)", xlabel="seconds", ylabel="MiB")
    axes.legend(loc="center right")
