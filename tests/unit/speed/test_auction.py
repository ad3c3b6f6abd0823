"""The auction's promises: nothing oversold, nothing below the reserve, no envy, no gain by a lie."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.speed.auction import DEFAULT_RULE, LOST, RULES, Award, Offer, Outcome, run_round

RESERVE = 10
MB = 10**6

rules = st.sampled_from(sorted(RULES))
fills = st.sampled_from(["uniform", "pay_as_bid"])
capacities = st.integers(0, 1000)
reserves = st.integers(0, 8)
prices = st.integers(0, 20)


@st.composite
def offers(draw: st.DrawFn, smallest: int = 0) -> list[Offer[int]]:
    rate = st.integers(0, 700)
    count = draw(st.integers(smallest, 12))
    return [Offer(key, draw(prices), draw(rate), draw(st.none() | rate)) for key in range(count)]


def awards(rule: str, capacity: int, *bids: tuple[int, int]) -> tuple[int, list[tuple[int, int]]]:
    """The clearing price, and (rate, price) for each bid of (price, wanted)."""
    outcome = run_round(rule, capacity, RESERVE, [Offer(n, price, wanted) for n, (price, wanted) in enumerate(bids)])
    return outcome.clearing, [(award.rate, award.price) for award in outcome.awards.values()]


# --- known answers --------------------------------------------------------------------------------------------------


def test_the_default_is_the_uniform_price() -> None:
    assert next(iter(RULES)) == DEFAULT_RULE == "uniform"


def test_without_competition_everybody_pays_the_reserve() -> None:
    assert awards("uniform", 100, (50, 40), (30, 60)) == (RESERVE, [(40, RESERVE), (60, RESERVE)])


def test_a_lone_buyer_that_takes_everything_pays_the_reserve() -> None:
    assert awards("uniform", 100, (50, 0)) == (RESERVE, [(100, RESERVE)])
    assert awards("uniform", 100, (50, 10**12)) == (RESERVE, [(100, RESERVE)])


def test_winners_pay_the_highest_bid_that_lost_entirely_when_capacity_ends_there() -> None:
    assert awards("uniform", 100, (50, 60), (40, 40), (30, 70)) == (30, [(60, 30), (40, 30), (0, 0)])


def test_a_partly_served_bid_sets_the_price() -> None:
    assert awards("uniform", 100, (50, 60), (40, 70), (30, 70)) == (40, [(60, 40), (40, 40), (0, 0)])


def test_ties_share_in_proportion_to_what_they_want() -> None:
    assert awards("uniform", 100, (50, 40), (20, 30), (20, 90)) == (20, [(40, 20), (15, 20), (45, 20)])


def test_bids_below_the_reserve_neither_win_nor_set_the_price() -> None:
    assert awards("uniform", 100, (50, 60), (9, 60)) == (RESERVE, [(60, RESERVE), (0, 0)])


def test_with_nothing_to_sell_nobody_wins() -> None:
    assert run_round("uniform", 0, RESERVE, [Offer("a", 50, 5)]) == Outcome(RESERVE, {"a": LOST})


def test_pay_as_bid_charges_each_winner_its_bid() -> None:
    assert awards("pay_as_bid", 100, (50, 60), (40, 70), (30, 70)) == (40, [(60, 50), (40, 40), (0, 0)])


def test_proportional_shares_by_price_times_wanted_rate() -> None:
    assert awards("proportional", 100, (30, 100), (10, 100)) == (RESERVE, [(75, 30), (25, 10)])


def test_proportional_shares_again_what_a_full_buyer_leaves() -> None:
    assert awards("proportional", 100, (70, 20), (30, 200), (10, 200)) == (RESERVE, [(20, 70), (60, 30), (20, 10)])


def test_capacity_a_buyer_cannot_take_goes_to_the_next() -> None:
    outcome = run_round("uniform", 100, RESERVE, [Offer("slow", 50, usable=20), Offer("fast", 40), Offer("late", 30)])
    assert outcome.awards == {"slow": Award(20, 40), "fast": Award(80, 40), "late": LOST}


@pytest.mark.parametrize(
    ("rule", "capacity", "bids", "hint"),
    [
        ("first_come", 1, [], "choose one of uniform"),
        ("uniform", -1, [], "negative"),
        ("uniform", 1, [Offer("a", 1), Offer("a", 2)], "one offer per key"),
    ],
)
def test_a_round_without_sense_is_refused(rule: str, capacity: int, bids: list[Offer[str]], hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        run_round(rule, capacity, RESERVE, bids)


@pytest.mark.parametrize("bad", [(-1, 0, None), (1, -1, None), (1, 1, -1)])
def test_an_offer_without_sense_is_refused(bad: tuple[int, int, int | None]) -> None:
    with pytest.raises(ValueError, match="negative"):
        Offer("a", *bad)


# --- properties -----------------------------------------------------------------------------------------------------


@given(rules, capacities, reserves, offers())
def test_capacity_demand_reserve_and_bid_are_bounds(
    rule: str, capacity: int, reserve: int, bids: list[Offer[int]]
) -> None:
    outcome = run_round(rule, capacity, reserve, bids)
    assert outcome.sold <= capacity
    assert outcome.clearing >= reserve
    assert list(outcome.awards) == [bid.key for bid in bids]
    for bid in bids:
        award = outcome.awards[bid.key]
        assert 0 <= award.rate <= bid.demand(capacity)
        assert award == LOST if award.rate == 0 else reserve <= award.price <= bid.price


@given(capacities, reserves, offers())
def test_uniform_winners_pay_one_price(capacity: int, reserve: int, bids: list[Offer[int]]) -> None:
    outcome = run_round("uniform", capacity, reserve, bids)
    assert {award.price for award in outcome.awards.values() if award.rate} <= {outcome.clearing}


@given(rules, capacities, reserves, offers())
def test_capacity_stays_unsold_only_when_nobody_wants_it(
    rule: str, capacity: int, reserve: int, bids: list[Offer[int]]
) -> None:
    outcome = run_round(rule, capacity, reserve, bids)
    wanted = sum(bid.demand(capacity) for bid in bids if bid.price >= reserve)
    rounding = len(bids) if rule == "proportional" else 0
    assert outcome.sold >= min(capacity, wanted) - rounding


@given(rules, capacities, reserves, offers(smallest=1), st.data())
def test_raising_a_bid_never_lowers_its_grant(
    rule: str, capacity: int, reserve: int, bids: list[Offer[int]], data: st.DataObject
) -> None:
    before = run_round(rule, capacity, reserve, bids)
    who = data.draw(st.integers(0, len(bids) - 1))
    raised = [*bids]
    raised[who] = replace(bids[who], price=bids[who].price + data.draw(st.integers(1, 10)))
    after = run_round(rule, capacity, reserve, raised)
    assert after.awards[who].rate >= before.awards[who].rate


@given(capacities, reserves, offers())
def test_nobody_envies_at_the_uniform_price(capacity: int, reserve: int, bids: list[Offer[int]]) -> None:
    outcome = run_round("uniform", capacity, reserve, bids)
    for bid in bids:
        if bid.price > outcome.clearing:
            assert outcome.awards[bid.key].rate == bid.demand(capacity)
        elif bid.price < outcome.clearing:
            assert outcome.awards[bid.key] == LOST


@given(capacities, reserves, offers())
def test_the_uniform_price_is_the_lowest_that_clears(capacity: int, reserve: int, bids: list[Offer[int]]) -> None:
    clearing = run_round("uniform", capacity, reserve, bids).clearing
    if clearing > reserve:
        assert sum(bid.demand(capacity) for bid in bids if bid.price >= clearing) > capacity
    assert sum(bid.demand(capacity) for bid in bids if bid.price > clearing) <= capacity


@given(capacities, reserves, offers(smallest=1), st.data(), prices)
def test_a_lie_gains_at_most_what_the_liars_presence_adds_to_the_price(
    capacity: int, reserve: int, bids: list[Offer[int]], data: st.DataObject, lie: int
) -> None:
    truth = run_round("uniform", capacity, reserve, bids)
    who = data.draw(st.integers(0, len(bids) - 1))
    value, honest = bids[who].price, truth.awards[who]
    lied = [*bids]
    lied[who] = replace(bids[who], price=lie)
    result = run_round("uniform", capacity, reserve, lied).awards[who]
    without = run_round("uniform", capacity, reserve, bids[:who] + bids[who + 1 :])
    gain = result.rate * (value - result.price) - honest.rate * (value - honest.price)
    assert gain <= honest.rate * (truth.clearing - without.clearing)


@given(capacities, reserves, offers(smallest=1), st.data(), prices)
def test_no_other_bid_buys_full_service_for_less(
    capacity: int, reserve: int, bids: list[Offer[int]], data: st.DataObject, lie: int
) -> None:
    truth = run_round("uniform", capacity, reserve, bids)
    who = data.draw(st.integers(0, len(bids) - 1))
    lied = [*bids]
    lied[who] = replace(bids[who], price=lie)
    honest, result = truth.awards[who], run_round("uniform", capacity, reserve, lied).awards[who]
    if honest.rate == result.rate == bids[who].demand(capacity):
        assert result.price >= honest.price


@given(fills, capacities, offers(), st.randoms(use_true_random=False))
def test_the_order_of_offers_moves_single_bytes_at_most(
    rule: str, capacity: int, bids: list[Offer[int]], shuffler: Random
) -> None:
    mixed = [*bids]
    shuffler.shuffle(mixed)
    one, other = run_round(rule, capacity, 1, bids), run_round(rule, capacity, 1, mixed)
    assert one.clearing == other.clearing
    assert all(abs(one.awards[key].rate - other.awards[key].rate) <= 1 for key in one.awards)


@pytest.mark.parametrize("rule", sorted(RULES))
def test_ten_thousand_bids_clear(rule: str) -> None:
    bids = [Offer(n, RESERVE + n * 7919 % 10_000, 1 + n * 104_729 % MB) for n in range(10_000)]
    outcome = run_round(rule, 1000 * MB, RESERVE, bids)
    assert 1000 * MB - len(bids) <= outcome.sold <= 1000 * MB
