"""Coverage never counts money that may be gone when our cheque is cashed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wallet.errors import AmountError
from wallet.solvency import Funds, coverage

amounts = st.integers(0, 1000)
funds = st.builds(Funds, *[amounts] * 6, bounces=st.integers(0, 5), unpaid_bounce=st.sampled_from([0, 0, 7]))
BTT = 10**18


def test_free_money_counts_less_notice_claims_and_our_uncashed_cheques() -> None:
    found = coverage(Funds(balance=100, locked_for_others=10, notice=20, claims=5, uncashed=15))
    assert (found.reachable, found.left) == (65, 50)


def test_what_is_locked_for_us_is_certain_even_after_a_bounce() -> None:
    found = coverage(Funds(balance=100, locked_for_us=40, notice=60, bounces=3))
    assert (found.reachable, found.left) == (40, 40)


def test_nothing_counts_while_a_bounced_cheque_is_unpaid_and_each_bounce_halves_free_money() -> None:
    assert coverage(Funds(balance=100, locked_for_us=50, bounces=1, unpaid_bounce=1)).left == 0
    assert [coverage(Funds(balance=80, bounces=n)).left for n in range(4)] == [80, 40, 20, 10]


@given(funds)
def test_coverage_is_never_more_than_the_balance_can_pay(found: Funds) -> None:
    answer = coverage(found)
    assert 0 <= answer.left <= answer.reachable <= max(0, found.balance - found.locked_for_others)


@given(
    funds,
    st.sampled_from(["balance", "locked_for_us"]),
    st.sampled_from(["locked_for_others", "notice", "claims", "uncashed", "bounces", "unpaid_bounce"]),
    st.integers(1, 50),
)
def test_coverage_is_monotone_in_every_figure(found: Funds, good: str, bad: str, more: int) -> None:
    left = coverage(found).left
    assert coverage(replace(found, **{good: getattr(found, good) + more})).left >= left
    assert coverage(replace(found, **{bad: getattr(found, bad) + more})).left <= left


@given(funds)
def test_the_reason_is_one_line(found: Funds) -> None:
    assert "\n" not in coverage(found).reason


def test_the_reason_names_every_figure_that_counts() -> None:
    reason = coverage(Funds(100 * BTT, 10 * BTT, 5 * BTT, 20 * BTT, 1 * BTT, 4 * BTT)).reason
    assert reason == (
        "70 BTT: vault holds 100 BTT (10 BTT locked for us), less 5 BTT locked for others, 20 BTT under notice, "
        "1 BTT claimed by others, 4 BTT in cheques we hold"
    )


def test_figures_that_no_vault_can_have_are_refused() -> None:
    with pytest.raises(AmountError):
        Funds(balance=-1)
