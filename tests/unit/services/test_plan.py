"""What pays, whatever the figures: the decision alone."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.ports.store import ReceivedCheque
from node.services.plan import Batch, Plan, PlannedCheque, Terms, judge, without_dust
from wallet.address import Address
from wallet.chains.base import Fee

AMOUNTS = st.integers(0, 2**96)


def planned(payer: int, uncashed: int, available: int, notice: int = 0) -> PlannedCheque:
    cheque = ReceivedCheque(
        rail="r",
        payer=Address(payer.to_bytes(20, "big")),
        payee=Address(b"\x01" * 20),
        cumulative=uncashed,
        signature=b"s",
        updated_at=0,
    )
    return PlannedCheque(cheque, uncashed, available, notice)


@st.composite
def batches(draw: st.DrawFn) -> list[PlannedCheque]:
    figures = draw(st.lists(st.tuples(AMOUNTS, AMOUNTS, AMOUNTS), min_size=1, max_size=5))
    return [
        planned(number, uncashed + 1, available + 1, notice)
        for number, (uncashed, available, notice) in enumerate(figures)
    ]


RATES = st.fractions(min_value=0, max_value=10**9, max_denominator=10**9)


@given(cheques=batches(), gas=AMOUNTS, price=st.integers(0, 10**6), permille=st.integers(1, 1000), rate=RATES)
def test_what_is_worth_it_never_costs_more_than_it_brings(
    cheques: list[PlannedCheque], gas: int, price: int, permille: int, rate: Fraction
) -> None:
    fee = Fee(gas, price)
    batch = judge(cheques, fee, Terms(permille, rate, "TRX", "BTT"))
    exact = fee.total * rate
    assert batch.fee_value is not None
    assert 0 <= batch.fee_value - exact < 1
    if batch.worth_it:
        assert exact <= batch.value
    if exact * 1000 <= batch.value * permille - 1000:
        assert batch.worth_it


@given(cheques=batches(), fee_value=st.none() | AMOUNTS)
def test_leaving_dust_out_never_leaves_out_everything(cheques: list[PlannedCheque], fee_value: int | None) -> None:
    kept = without_dust(cheques, fee_value)
    assert kept
    assert set(map(id, kept)) <= set(map(id, cheques))
    if fee_value is not None and len(kept) < len(cheques):
        left_out = [cheque for cheque in cheques if cheque not in kept]
        assert all(cheque.payout * len(cheques) < fee_value for cheque in left_out)


@pytest.mark.parametrize(
    ("uncashed", "available", "notice", "endangered"),
    [
        (10, 20, 0, False),
        (10, 19, 0, True),
        (10, 100, 80, False),
        (10, 100, 81, True),
        (10, 100, 500, True),
        (10, 0, 0, False),
    ],
)
def test_a_cheque_is_endangered_when_what_stays_covers_it_less_than_twice(
    uncashed: int, available: int, notice: int, endangered: bool
) -> None:
    assert planned(1, uncashed, available, notice).endangered is endangered


def test_a_plan_adds_up_and_knows_no_fee_share_where_one_batch_has_no_rate() -> None:
    first = Batch((planned(1, 10, 5),), 3, 2, True, "a")
    second = Batch((planned(2, 10, 10),), 4, None, False, "b")
    plan = Plan((first, second), (planned(3, 7, 0),))
    assert (plan.value, plan.bounces, plan.fee, plan.fee_value, plan.fee_share) == (15, 12, 7, None, None)
    assert plan.worth_it
    assert Plan((first,)).fee_share == first.fee_share == Fraction(2, 5)
    assert (Plan().worth_it, Plan().value, Plan().fee_share) == (False, 0, None)
