"""The model keeps its books, repeats itself, and divides a line as the node's own services do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.ports.engine import PeerId
from node.speed.strategy import Aim, Strategy
from tests.sim.counter import DEEP_POCKET, book_of, counter
from tests.sim.flow import shared
from tests.sim.market import Buyer
from tests.sim.pieces import Pieces
from tests.sim.population import BROADBAND_MIX, population, random_graph, star
from tests.sim.simulation import Outcome, Simulation, Torrent, swarm_market
from tests.unit.services.hall import CAPACITY, RESERVE, Hall

SMALL = Torrent(pieces=64, piece_length=64 * 1024)


def _swarm(seed: int) -> tuple[Simulation, Outcome]:
    rng = np.random.default_rng([seed, 0])
    people = population(rng, 60, mix=BROADBAND_MIX, arrival_span=30, linger=20, twins=5)
    graph = random_graph(rng, 60, 20, twins=5)
    buyers = {peer: Buyer(Aim(Strategy.WHITEPAPER, 5_000), 20_000) for peer in range(0, 10, 2)}
    simulation = Simulation(seed, people, graph, SMALL, market=swarm_market(graph, buyers, 1_000))
    return simulation, simulation.run(5_000)


def test_a_seed_decides_everything() -> None:
    (_, first), (_, again), (_, other) = _swarm(1), _swarm(1), _swarm(2)
    assert np.array_equal(first.took, again.took)
    assert np.array_equal(first.sent, again.sent)
    assert not np.array_equal(first.took, other.took)


def test_every_byte_received_was_sent_and_is_part_of_the_torrent() -> None:
    simulation, outcome = _swarm(3)
    assert not np.isnan(outcome.took).any()
    assert outcome.sent.sum() == outcome.received.sum()
    assert (outcome.received[~simulation.people.seeds] == SMALL.size).all()


def test_every_unit_a_buyer_spends_is_a_sellers_income_and_within_its_budget() -> None:
    simulation, _ = _swarm(4)
    market = book_of(simulation)
    spent = sum(buyer.spent for buyer in market.buyers.values())
    assert spent == sum(market.book.income.values()) > 0
    assert all(buyer.spent <= buyer.budget for buyer in market.buyers.values())
    assert market.unpaid() == 0
    assert market.book.over_limit == 0


@pytest.mark.parametrize(
    ("begun", "chosen"),
    [
        pytest.param([3], 7, id="rare before begun"),
        pytest.param([3, 4], 3, id="begun before rare where too many are begun"),
    ],
)
def test_a_peer_asks_for_the_rarest_piece_unless_it_has_begun_too_many(begun: list[int], chosen: int) -> None:
    pieces = Pieces(64, 1_000, np.array([False, True]), star(2))
    pieces.holders[:] = 10
    pieces.holders[[3, 7]] = 5, 1
    pieces.progress[0, begun] = 100
    edge = np.flatnonzero(star(2).dst == 0)
    used = pieces.deliver(star(2), edge, np.array([500]), np.random.default_rng(1))
    assert used.tolist() == [500]
    assert np.flatnonzero(pieces.progress[0] >= 500).tolist() == [chosen]


@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.integers(1, 40))
@settings(max_examples=50, deadline=None)
def test_no_line_carries_more_than_it_can(seed: int, peers: int, edges: int) -> None:
    rng = np.random.default_rng(seed)
    src, dst = rng.integers(0, peers, edges), rng.integers(0, peers, edges)
    demand = rng.integers(0, 10**6, edges)
    up, down = rng.integers(0, 10**6, peers), rng.integers(0, 10**6, peers)
    given_ = shared(src, dst, demand, up, down)
    assert ((given_ >= 0) & (given_ <= demand)).all()
    assert (np.bincount(src, weights=given_, minlength=peers) <= up).all()
    assert (np.bincount(dst, weights=given_, minlength=peers) <= down).all()


@pytest.mark.parametrize(
    "bids",
    [
        pytest.param([(5_000, 10_000_000), (3_000, 8_000_000)], id="one wins all it wants, one a part"),
        pytest.param([(5_000, 4_000_000), (3_000, 4_000_000)], id="both are served, some is left"),
        pytest.param([(2_000, 0), (2_000, 0)], id="equal bids for all there is"),
        pytest.param([(5_000, 0), (3_000, 0)], id="the winner takes all"),
    ],
)
async def test_shares_and_prices_are_those_of_the_nodes_market_and_sessions(bids: list[tuple[int, int]]) -> None:
    hall = Hall()
    for peer, (price, wanted) in enumerate(bids, 1):
        hall.payer(peer, price, wanted)
    for peer in (11, 12):
        hall.free(peer)
    await hall.rounds(20)
    before = dict(hall.engine.sent)
    await hall.rounds(10)
    real = [(hall.engine.sent[peer] - before[peer]) / 10 for peer in (1, 2, 11, 12)]

    buyers = [Buyer(Aim(Strategy.WHITEPAPER, price), DEEP_POCKET, wanted=wanted) for price, wanted in bids]
    silent = [Buyer(Aim(Strategy.OFF, 0), 0) for _ in range(2)]
    simulation = counter(1, [*buyers, *silent], [CAPACITY] * 4, up=CAPACITY, reserve=RESERVE)
    simulation.run(20)
    sofar = simulation.received[:4].copy()
    simulation.run(30)
    model = ((simulation.received[:4] - sofar) / 10).tolist()

    assert model == pytest.approx(real, rel=0.02, abs=CAPACITY / 1000)
    assert book_of(simulation).book.prices[-1][1] == hall.market.latest.clearing
    assert sum(model) == pytest.approx(CAPACITY, rel=0.001)
    assert hall.market.latest.granted.keys() <= {PeerId(1), PeerId(2)}
