"""A rate allows a burst, then so many calls per time, to each caller for itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.services.rate import MAX_CALLERS, Rate, TooOftenError


class Clock:
    time = 100.0

    def now(self) -> float:
        return self.time

    def wall(self) -> int:
        return int(self.time)


def allowed(rate: Rate, caller: str = "") -> bool:
    try:
        rate.take(caller)
    except TooOftenError:
        return False
    return True


def test_a_burst_is_allowed_then_one_each_interval() -> None:
    clock = Clock()
    rate = Rate(clock, burst=3, every=2.0)
    assert [allowed(rate) for _ in range(5)] == [True, True, True, False, False]
    clock.time += 2.0
    assert [allowed(rate) for _ in range(2)] == [True, False]
    clock.time += 1000.0
    assert [allowed(rate) for _ in range(4)] == [True, True, True, False]


def test_callers_do_not_use_up_each_others_allowance_and_only_so_many_are_remembered() -> None:
    rate = Rate(Clock(), burst=1)
    for number in range(3 * MAX_CALLERS):
        assert allowed(rate, str(number))
    assert not allowed(rate, str(3 * MAX_CALLERS - 1))
    assert allowed(rate, "0")


@given(waits=st.lists(st.integers(0, 12), max_size=60), burst=st.integers(1, 5), every=st.integers(1, 7))
def test_no_stretch_of_time_has_more_calls_than_the_burst_and_its_length(
    waits: list[int], burst: int, every: int
) -> None:
    clock, times = Clock(), list[float]()
    rate = Rate(clock, burst=burst, every=every)
    for wait in waits:
        clock.time += wait
        if allowed(rate):
            times.append(clock.time)
    for first, start in enumerate(times):
        for last, end in enumerate(times[first:], start=1):
            assert last <= burst + (end - start) // every


@pytest.mark.parametrize(("burst", "every"), [(0, 1.0), (1, 0.0)])
def test_a_rate_that_allows_nothing_is_none(burst: int, every: float) -> None:
    with pytest.raises(ValueError, match="at least one"):
        Rate(Clock(), burst=burst, every=every)
