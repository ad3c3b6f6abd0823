"""The meter's promise: both sides compute the same debt from the same stream, to the byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.speed.meter import MAX_PERIODS, Meter, Verifier
from wallet.amount import MIB, cost

PRICES = st.sampled_from([0, 1, 3, 7 * 10**15, 10**18 + 1, 2**100])
STEPS = st.lists(st.tuples(st.integers(0, 3 * MIB), PRICES), max_size=40)


def reference(steps: list[tuple[int, int]]) -> int:
    """The rule of the specification, written down plainly: merge equal prices, then sum the ceilings."""
    periods: list[list[int]] = [[0, 0]]
    for length, price in steps:
        periods[-1][0] += length
        if price != periods[-1][1]:
            periods.append([0, price])
    return sum(-(-length * price // MIB) for length, price in periods)


@given(STEPS)
def test_debt_is_the_sum_over_periods_of_the_rounded_up_cost(steps: list[tuple[int, int]]) -> None:
    meter = Meter()
    grown = 0
    for length, price in steps:
        grown += meter.set_price(price, meter.mark + length)
    assert meter.amount == reference(steps) == grown


@given(STEPS, st.lists(st.integers(50_000, 400_000), min_size=1, max_size=50))
def test_it_does_not_matter_in_how_many_events_the_bytes_arrive(
    steps: list[tuple[int, int]], chunks: list[int]
) -> None:
    whole, split = Meter(), Meter()
    for length, price in steps:
        whole.set_price(price, whole.mark + length)
        left, index = length, 0
        while left:
            part = min(left, chunks[index % len(chunks)])
            split.advance(split.mark + part)
            left, index = left - part, index + 1
        split.set_price(price, split.mark)
    assert (whole.mark, whole.bytes, whole.amount) == (split.mark, split.bytes, split.amount)


@given(STEPS, st.data())
def test_an_earlier_mark_can_be_looked_up_exactly(steps: list[tuple[int, int]], data: st.DataObject) -> None:
    meter = Meter()
    seen = []
    for length, price in steps:
        meter.advance(meter.mark + length)
        seen.append((meter.mark, meter.bytes, meter.amount))
        meter.set_price(price, meter.mark)
    if seen:
        mark, counted, amount = data.draw(st.sampled_from(seen))
        account = meter.at(mark)
        assert account is not None
        assert (account.bytes, account.amount) == (counted, amount)
    assert meter.at(meter.mark + 1) is None


def test_a_mark_never_goes_back() -> None:
    meter = Meter()
    meter.advance(10)
    with pytest.raises(ValueError, match="went back"):
        meter.advance(9)


def test_memory_is_bounded_however_often_the_price_changes() -> None:
    meter = Meter()
    for i in range(4 * MAX_PERIODS):
        meter.set_price(1 + i % 2, meter.mark + 1)
    assert len(meter._closed) == MAX_PERIODS
    assert meter.at(3) is None
    assert meter.amount == 4 * MAX_PERIODS - 1


@given(st.integers(1, 2**120), st.integers(0, 2**140), st.integers(0, 5 * MIB))
def test_room_never_lets_the_debt_exceed_the_amount(price: int, amount: int, used: int) -> None:
    meter = Meter()
    meter.set_price(price, 0)
    meter.advance(used)
    room = meter.room(amount)
    if room:
        meter.advance(meter.mark + room)
        assert meter.amount <= amount
        meter.advance(meter.mark + 1)
        assert meter.amount > amount or cost(meter.mark, price) <= amount


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("block"), st.integers(0, 7), st.integers(1, 65536), st.integers(0, 65536)),
        st.tuples(st.just("pass"), st.integers(0, 7), st.just(0), st.just(0)),
        st.tuples(st.just("fail"), st.integers(0, 7), st.just(0), st.just(0)),
        st.tuples(st.just("price"), st.integers(0, 5), st.just(0), st.just(0)),
    ),
    max_size=60,
)


@given(EVENTS)
def test_payable_grows_only_by_verified_bytes_and_never_shrinks(events: list[tuple[str, int, int, int]]) -> None:
    meter = Meter()
    verifier = Verifier(meter)
    price = {0: 0, 1: 1, 2: 10**15, 3: 3 * 10**17, 4: 999, 5: 2**90}
    payable = payable_bytes = 0
    for kind, number, length, junk in events:
        if kind == "block":
            meter.advance(meter.mark + length)
            verifier.received(number, length, unrequested=min(junk, length))
            assert verifier.payable == payable
        elif kind == "pass":
            verifier.passed(number)
        elif kind == "fail":
            verifier.failed(number)
            assert verifier.payable == payable
        else:
            meter.set_price(price[number], meter.mark)
            assert verifier.payable == payable
        assert payable <= verifier.payable <= meter.amount
        assert payable_bytes <= verifier.payable_bytes <= meter.bytes
        assert (verifier.payable_bytes == 0) == (verifier.payable == 0)
        payable, payable_bytes = verifier.payable, verifier.payable_bytes


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 65536)), max_size=40), PRICES)
def test_when_every_piece_has_passed_all_of_the_debt_is_payable(blocks: list[tuple[int, int]], price: int) -> None:
    meter = Meter()
    verifier = Verifier(meter)
    for index, (piece, length) in enumerate(blocks):
        if index == len(blocks) // 2:
            meter.set_price(price, meter.mark)
        meter.advance(meter.mark + length)
        verifier.received(piece, length)
    for piece in range(4):
        verifier.passed(piece)
    assert verifier.payable == meter.amount
    assert verifier.unverified == 0
