"""Spend limits: nothing goes over, and the user reads which limit it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.wallet.strategies import uint256
from wallet.amount import MAX_AMOUNT, Token
from wallet.errors import AmountError, LimitError, WalletError
from wallet.limits import Allowance, Limit, SpendLimits, Spent

small = st.integers(0, 1000)
budgets = st.none() | small
limits = st.builds(SpendLimits, max_price=budgets, per_torrent=budgets, per_day=budgets, total=budgets)
spent = st.builds(Spent, small, small, small)


def room(found: SpendLimits, used: Spent) -> dict[Limit, int]:
    """What each limit that is set leaves; negative: overdrawn."""
    pairs = {
        Limit.PER_TORRENT: (found.per_torrent, used.torrent),
        Limit.PER_DAY: (found.per_day, used.today),
        Limit.TOTAL: (found.total, used.total),
    }
    return {limit: budget - so_far for limit, (budget, so_far) in pairs.items() if budget is not None}


@given(limits, spent, st.integers(1, 2000))
def test_what_is_allowed_is_the_most_that_breaks_no_limit(found: SpendLimits, used: Spent, wanted: int) -> None:
    left = room(found, used)
    if left and min(left.values()) <= 0:
        with pytest.raises(LimitError) as raised:
            found.check(used, wanted)
        assert left[Limit(raised.value.limit)] <= 0
        return
    allowance = found.check(used, wanted)
    assert allowance.amount == min([wanted, *left.values()])
    if allowance.binding is None:
        assert allowance.amount == wanted
    else:
        assert left[allowance.binding] == allowance.amount < wanted


def test_a_wish_that_fits_exactly_is_bound_by_nothing() -> None:
    found = SpendLimits(per_torrent=10, per_day=10)
    assert found.check(Spent(torrent=3), 7) == Allowance(7)
    assert found.check(Spent(torrent=3), 8) == Allowance(7, Limit.PER_TORRENT)
    assert found.check(Spent(torrent=3, today=4), 7) == Allowance(6, Limit.PER_DAY)


@given(limits, st.lists(st.integers(1, 300), max_size=30))
def test_commitments_one_after_another_use_a_budget_up_and_never_more(found: SpendLimits, wishes: list[int]) -> None:
    used = 0
    for wanted in wishes:
        try:
            used += found.check(Spent(used, used, used), wanted).amount
        except LimitError:
            break
    tightest = min([b for b in (found.per_torrent, found.per_day, found.total) if b is not None], default=None)
    assert used == (sum(wishes) if tightest is None else min(tightest, sum(wishes)))


@given(spent, uint256.filter(bool))
def test_without_limits_everything_is_allowed(used: Spent, wanted: int) -> None:
    assert SpendLimits().check(used, wanted) == Allowance(wanted)


@given(st.integers(0, MAX_AMOUNT), uint256)
def test_a_price_is_refused_only_above_the_highest(highest: int, price: int) -> None:
    found = SpendLimits(max_price=highest)
    if price <= highest:
        found.check_price(price)
    else:
        with pytest.raises(LimitError):
            found.check_price(price)
    SpendLimits().check_price(price)


@pytest.mark.parametrize(
    ("found", "used", "limit", "text"),
    [
        (SpendLimits(per_torrent=10**18), Spent(torrent=10**18), "per_torrent", "budget for this torrent, 1 BTT,"),
        (SpendLimits(per_day=5 * 10**17), Spent(today=10**18), "per_day", "budget for today, 0.5 BTT,"),
        (SpendLimits(total=0), Spent(), "total", "total budget, 0 BTT,"),
        (SpendLimits(per_day=1, token=Token("TRX", 6)), Spent(today=1), "per_day", "0.000001 TRX"),
    ],
)
def test_the_refusal_names_the_setting_to_change(found: SpendLimits, used: Spent, limit: str, text: str) -> None:
    with pytest.raises(LimitError) as raised:
        found.check(used, 1)
    assert raised.value.limit == limit
    assert text in str(raised.value)
    assert limit in str(raised.value)
    assert str(raised.value).isprintable()
    assert isinstance(raised.value, WalletError)


def test_the_refusal_of_a_price_shows_both_prices() -> None:
    with pytest.raises(LimitError, match=r"1024 BTT/GiB is above your highest of 512 BTT/GiB.*max_price") as raised:
        SpendLimits(max_price=5 * 10**17).check_price(10**18)
    assert raised.value.limit == "max_price"


@pytest.mark.parametrize("wanted", [0, -1])
def test_a_commitment_to_nothing_is_a_mistake_of_the_caller(wanted: int) -> None:
    with pytest.raises(ValueError, match="at least 1 unit"):
        SpendLimits().check(Spent(), wanted)


@pytest.mark.parametrize("name", ["max_price", "per_torrent", "per_day", "total"])
@pytest.mark.parametrize("amount", [-1, MAX_AMOUNT + 1])
def test_a_limit_outside_uint256_cannot_be_set(name: str, amount: int) -> None:
    with pytest.raises(AmountError):
        SpendLimits(**{name: amount})  # type: ignore[arg-type]  # the name is only known at run time
