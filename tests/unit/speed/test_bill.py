"""The estimate's bounds hold, and the bill adds up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.speed.bill import AskSeen, BillLine, bill, estimate
from wallet.amount import MIB, cost

asks = st.lists(st.builds(AskSeen, st.integers(0, 1000), st.none() | st.integers(0, 10 * MIB)), max_size=5)
entries = st.lists(
    st.builds(
        BillLine,
        st.sampled_from("abc"),
        st.sampled_from(["eip155:199", "tron:0x2b6653dc"]),
        st.integers(0, 10 * MIB),
        st.integers(0, 10**6),
        st.integers(0, MIB),
    ),
    max_size=12,
)


@given(asks, st.integers(0, 100 * MIB), st.integers(0, 1000), st.none() | st.integers(0, 10**6), st.integers(0, MIB))
def test_an_estimate_is_a_range_within_budget_and_price(
    found: list[AskSeen], size: int, max_price: int, budget: int | None, free_rate: int
) -> None:
    answer = estimate(size, found, max_price=max_price, budget=budget, free_rate=free_rate)
    assert 0 <= (answer.cost_low or 0) <= answer.cost_high <= cost(size, max_price)
    assert (answer.cost_low is None) == (answer.sellers == 0)
    assert budget is None or answer.cost_high <= budget
    if answer.slowest_ms is not None:
        assert answer.fastest_ms is not None
        assert answer.fastest_ms <= answer.slowest_ms


def test_an_estimate_in_figures() -> None:
    found = [AskSeen(10, MIB), AskSeen(20), AskSeen(500, 9 * MIB)]
    answer = estimate(100 * MIB, found, max_price=100, budget=5_000, free_rate=MIB, line_rate=10 * MIB)
    assert (answer.cost_low, answer.cost_high, answer.covered, answer.sellers) == (1_000, 5_000, False, 2)
    assert (answer.fastest_ms, answer.slowest_ms) == (50_000, 100_000)
    assert estimate(MIB, [], max_price=100, budget=None).fastest_ms is None


@given(entries)
def test_a_bill_has_one_line_per_seller_and_rail_and_loses_nothing(found: list[BillLine]) -> None:
    answer = bill(found)
    assert len({(line.seller, line.rail) for line in answer.lines}) == len(answer.lines)
    assert answer.amount == sum(entry.amount for entry in found)
    assert answer.bytes == sum(entry.bytes for entry in found)
    assert [line.amount for line in answer.lines] == sorted((line.amount for line in answer.lines), reverse=True)


def test_the_mean_price_is_rounded_up() -> None:
    assert BillLine("a", "r", 3 * MIB, 10).price == 4
    assert BillLine("a", "r", 0, 0).price == 0
