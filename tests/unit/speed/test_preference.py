"""Which sellers are paid: those that deliver, and never more than the budget together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.speed.preference import (
    LEAST_SHARE,
    MILLI,
    MIN_WINDOW_MS,
    Candidate,
    Delivery,
    divide,
    judge,
    order,
    rarity,
)
from wallet.amount import MIB, cost

candidates = st.lists(
    st.builds(
        Candidate,
        id=st.integers(0, 10**6),
        price=st.integers(0, 10**18),
        usefulness=st.integers(0, 1000),
        rarity=st.integers(0, 1000),
        stopped=st.sampled_from([None, None, "it did not deliver"]),
    ),
    max_size=20,
)


@given(candidates, st.integers(0, 10**21))
def test_shares_add_up_to_the_budget_or_to_nothing(found: list[Candidate], budget: int) -> None:
    shares = divide(found, budget)
    total = sum(share.amount or 0 for share in shares)
    assert total == (budget if order(found) and budget else 0)
    assert sum(share.rate for share in shares) <= MILLI
    assert all(share.amount for share in shares)


@given(candidates)
def test_without_a_budget_the_rate_is_divided_alone(found: list[Candidate]) -> None:
    shares = divide(found, None)
    assert all(share.amount is None for share in shares)
    assert sum(share.rate for share in shares) == (MILLI if shares else 0)


@given(candidates, st.integers(0, 10**21))
def test_a_stopped_seller_gets_nothing(found: list[Candidate], budget: int) -> None:
    paid = {id(one) for one in order(found)}
    assert not any(id(one) in paid for one in found if one.stopped or not one.usefulness)
    assert len(divide(found, budget)) <= len(paid)


def test_cheap_useful_and_rare_come_first() -> None:
    plain = Candidate("plain", 100, 500)
    cheap, useful = Candidate("cheap", 60, 500), Candidate("useful", 100, 900)
    rare = Candidate("rare", 100, 500, rarity=1000)
    assert [one.id for one in order([plain, cheap, useful, rare])] == ["rare", "useful", "cheap", "plain"]


def test_a_small_budget_goes_to_the_best_rather_than_in_dust_to_everyone() -> None:
    price = 10**15
    found = [Candidate(n, price, 1000 - n) for n in range(10)]
    shares = divide(found, cost(LEAST_SHARE, price))
    assert [share.id for share in shares] == [0]


@pytest.mark.parametrize(
    ("delivery", "stops"),
    [
        (Delivery(MIN_WINDOW_MS, MIB, 10 * MIB), False),
        (Delivery(MIN_WINDOW_MS, MIB, 10 * MIB // 4), False),
        (Delivery(MIN_WINDOW_MS, MIB, 10 * MIB // 4 - 1024), True),
        (Delivery(MIN_WINDOW_MS - 1, MIB, 0), False),
        (Delivery(MIN_WINDOW_MS, 0, 0), False),
        (Delivery(0, 0, 0, failed=4 * MIB), False),
        (Delivery(0, 0, 0, failed=4 * MIB + 1), True),
        (Delivery(0, 0, 80 * MIB, failed=14 * MIB), False),
        (Delivery(0, 0, 80 * MIB, failed=14 * MIB + 1), True),
    ],
)
def test_a_seller_is_stopped_for_what_it_did_and_not_before(delivery: Delivery, stops: bool) -> None:
    assert (judge(delivery) is not None) == stops


def test_rarity_is_highest_for_what_nobody_else_has() -> None:
    assert rarity([]) == 0
    assert rarity([1, 1]) == 1000
    assert rarity([1, 2]) == 750
    assert rarity([1000]) == 1
