"""Which sellers are paid: the best, and never more than the budget together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.speed.preference import (
    LEAST_SHARE,
    MILLI,
    Candidate,
    divide,
    order,
    rarity,
)
from wallet.amount import cost

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


@given(st.integers(1, 2**256 - 1), st.integers(1, 1000))
def test_a_useful_seller_is_worth_paying_at_any_price_that_was_asked(price: int, usefulness: int) -> None:
    assert [share.rate for share in divide([Candidate("only", price, usefulness)], None)] == [MILLI]


def test_rarity_is_highest_for_what_nobody_else_has() -> None:
    assert rarity([]) == 0
    assert rarity([1, 1]) == 1000
    assert rarity([1, 2]) == 750
    assert rarity([1000]) == 1
