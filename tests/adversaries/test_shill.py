"""Bids that only drive the price: a seller's shill, or a relay that bids against those it sells to.

Nobody can tell such a bid from an honest one. The defence is the buyer's own limit, so the greatest loss is what an
honest bid was willing to pay anyway.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.speed.auction import RULES, Offer, Outcome, run_round
from tests.unit.speed.pair import PRICE, Pair
from wallet.amount import MIB, cost

CAPACITY = 10 * MIB
RESERVE = 100

honest_bids = st.lists(st.tuples(st.integers(RESERVE, 10_000), st.integers(0, CAPACITY)), min_size=1, max_size=6)
false_bids = st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 2 * CAPACITY)), min_size=1, max_size=4)

Bids = list[tuple[int, int]]


def round_of(rule: str, honest: Bids, false: Bids) -> Outcome[tuple[str, int]]:
    offers = [Offer(("honest", n), price, wanted) for n, (price, wanted) in enumerate(honest)]
    offers += [Offer(("false", n), price, wanted) for n, (price, wanted) in enumerate(false)]
    return run_round(rule, CAPACITY, RESERVE, offers)


@pytest.mark.parametrize("rule", RULES)
@given(honest=honest_bids, false=false_bids)
def test_false_bids_never_make_anybody_pay_more_than_it_bid(rule: str, honest: Bids, false: Bids) -> None:
    """Loss per second <= rate x (own bid - price without the false bids); 0 where winners pay their own bid."""
    alone, crowded = round_of(rule, honest, []), round_of(rule, honest, false)
    for number, (bid, _) in enumerate(honest):
        before, after = alone.awards["honest", number], crowded.awards["honest", number]
        assert after.price <= bid
        if before.rate and after.rate and rule != "uniform":
            assert after.price == before.price


@given(honest=honest_bids, false=false_bids)
def test_a_relay_pays_the_price_that_it_has_driven_up(honest: Bids, false: Bids) -> None:
    """Its own bill >= its rate x the price of the round: all who win pay the same, whatever they buy for."""
    crowded = round_of("uniform", honest, false)
    won = [award for award in crowded.awards.values() if award.rate]
    assert {award.price for award in won} <= {crowded.clearing}
    assert crowded.sold <= CAPACITY


def test_the_bound_is_reached_by_a_shill_that_knows_the_bid() -> None:
    """Loss per second = rate x (own bid - reserve): a seller that shills exactly below the only bid takes it all."""
    bid = 10_000
    outcome = round_of("uniform", [(bid, 0)], [(bid - 1, 0)])
    assert outcome.awards["honest", 0].price == bid - 1
    assert outcome.awards["honest", 0].rate == CAPACITY


def test_a_shill_above_the_bid_sells_nothing_and_the_bytes_are_free() -> None:
    """Loss = 0: a round that is lost is served like anybody's, so a shill that overshoots costs its seller the sale."""
    pair = Pair(bid_price=2 * PRICE)
    pair.open()
    pair.run_seller(pair.seller.cleared(2 * PRICE + 1, 1000, 1, pair.now))
    pair.download(4 * MIB)
    pair.finish()
    assert pair.account.earned == pair.buyer_account.owed == 0


def test_a_shill_in_every_round_costs_no_more_than_the_bid() -> None:
    """Loss <= bytes x (own bid - reserve)."""
    pair = Pair(bid_price=3 * PRICE)
    pair.open()
    for number, price in enumerate((PRICE, 2 * PRICE, 3 * PRICE, 3 * PRICE), 1):
        pair.run_seller(pair.seller.cleared(price, 1000, number, pair.now))
        pair.download(2 * MIB)
    pair.finish()
    assert pair.buyer_account.issued <= cost(8 * MIB, 3 * PRICE)
    assert pair.buyer_account.issued - cost(8 * MIB, PRICE) <= cost(8 * MIB, 2 * PRICE)
