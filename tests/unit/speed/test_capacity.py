"""The capacity's promises: it finds the line, leaves it before the user notices, and believes nothing unproven."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.speed.capacity import PAUSE, SETTLE, STARVED, Capacity, CapacityPolicy

KIB = 1024
POLICY = CapacityPolicy()


class Line:
    """An uplink of `rate` bytes per second with a tail-drop queue of 500 ms and 20 ms of its own delay."""

    def __init__(self, rate: int, own_ms: int = 20) -> None:
        self.rate, self.own_ms = rate, own_ms
        self.sent = 0
        self.queue = 0

    def second(self, offered: int) -> None:
        self.queue += offered - min(self.queue + offered, self.rate)
        self.sent += min(self.rate, self.queue + offered) if self.queue else offered
        self.queue = min(self.queue, self.rate // 2)

    @property
    def delay_ms(self) -> int:
        return self.own_ms + self.queue * 1000 // self.rate


def run(capacity: Capacity, line: Line, seconds: int, *, start: int = 0, delays: bool = True) -> Iterator[int]:
    """Upload all that is allowed; yields the limit of each second."""
    capacity.observe(start, line.sent)
    for second in range(start + 1, start + seconds + 1):
        line.second(capacity.limit)
        yield capacity.observe(second, line.sent, line.delay_ms if delays else None)


def settled(capacity: Capacity, sent: int = 0) -> Capacity:
    capacity.observe(0, sent)
    return capacity


def test_the_users_word_is_final() -> None:
    capacity = Capacity(CapacityPolicy(configured=20_000_000))
    assert [capacity.observe(second, 0, 5000) for second in range(10)] == [20_000_000] * 10


def test_a_used_limit_grows_by_a_fifth_per_second_at_first() -> None:
    capacity = settled(Capacity(CapacityPolicy(start=100_000)))
    assert capacity.observe(1, 100_000, 20) == 120_000
    assert capacity.observe(2, 220_000, 20) == 144_000


def test_delay_above_the_target_backs_off_to_seven_eighths_of_what_was_carried() -> None:
    capacity = settled(Capacity(CapacityPolicy(start=800_000)))
    capacity.observe(0.5, 400_000, 20)
    assert capacity.observe(1, 800_000, 20) == 960_000
    assert capacity.observe(2, 1_600_000, 81) == 700_000


def test_growth_slows_as_the_delay_nears_the_target() -> None:
    capacity = settled(Capacity(CapacityPolicy(start=100_000)))
    capacity.observe(1, 100_000, 20)
    assert capacity.observe(2, 220_000, 50) == 132_000
    assert capacity.observe(3, 352_000, 80) == 132_000


def test_one_late_packet_is_no_congestion() -> None:
    capacity = settled(Capacity(CapacityPolicy(start=100_000)))
    capacity.observe(0.3, 30_000, 20)
    capacity.observe(0.6, 60_000, 400)
    assert capacity.observe(1, 100_000, 21) > 100_000
    assert capacity.congestions == 0


def test_an_unused_limit_neither_grows_nor_falls() -> None:
    capacity = settled(Capacity(POLICY))
    assert {capacity.observe(second, second * 1000, waiting=False) for second in range(1, 100)} == {POLICY.start}


def test_without_delay_samples_a_line_that_does_not_carry_the_limit_is_congested() -> None:
    capacity = settled(Capacity(CapacityPolicy(start=800_000)))
    assert capacity.observe(1, 560_000) == 800_000
    assert capacity.observe(2, 1_120_000) == 490_000


def test_a_stall_halves_the_limit_and_no_more() -> None:
    capacity = settled(Capacity(CapacityPolicy(start=800_000)))
    halves = [capacity.observe(second, 0) for second in range(1, 3 + SETTLE + STARVED)]
    assert halves == [800_000] + [399_999] * (SETTLE + STARVED) + [199_998]


def test_a_counter_that_begins_again_is_no_rate() -> None:
    capacity = settled(Capacity(POLICY), sent=10**9)
    assert capacity.observe(1, 0) == POLICY.start


@pytest.mark.parametrize("rate", [256 * KIB, 1024 * KIB, 20_000 * KIB])
@pytest.mark.parametrize("delays", [True, False])
def test_the_line_is_found_within_two_minutes_and_left_in_peace(rate: int, delays: bool) -> None:
    capacity, line = Capacity(POLICY), Line(rate)
    list(run(capacity, line, 120, delays=delays))
    limits, queues = [], []
    for limit in run(capacity, line, 300, start=120, delays=delays):
        limits.append(limit)
        queues.append(line.queue * 1000 // line.rate)
    assert sum(limits) / len(limits) > 0.75 * rate
    assert max(limits) < 1.25 * rate
    assert sum(queue > POLICY.target_ms for queue in queues) <= len(queues) // (20 if delays else 6)


def test_a_line_that_became_slower_is_left_within_seconds() -> None:
    capacity, line = Capacity(POLICY), Line(2_000 * KIB)
    list(run(capacity, line, 120))
    line.rate //= 4
    assert list(run(capacity, line, 20, start=120))[-1] < line.rate


def test_a_longer_route_is_forgiven_after_ten_minutes() -> None:
    capacity, line = Capacity(POLICY), Line(1_000 * KIB)
    list(run(capacity, line, 60))
    line.own_ms += 200
    list(run(capacity, line, 660, start=60))
    assert list(run(capacity, line, 120, start=720))[-1] > 0.75 * line.rate


def test_between_two_probes_the_limit_rests_below_the_line() -> None:
    capacity, line = Capacity(POLICY), Line(1_000 * KIB)
    list(run(capacity, line, 60))
    resting = [limit for limit in run(capacity, line, 10 * PAUSE, start=60) if limit < 0.9 * line.rate]
    assert len(resting) >= 7 * PAUSE


@pytest.mark.parametrize("bad", [{"configured": -1}, {"floor": 0}, {"start": 1}, {"ceiling": KIB}, {"target_ms": 0}])
def test_a_policy_without_sense_is_refused(bad: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="capacity"):
        CapacityPolicy(**bad)


observations = st.lists(
    st.tuples(st.floats(0, 5), st.integers(0, 10**10), st.none() | st.integers(-1000, 10_000), st.booleans()),
    max_size=200,
)


@given(observations)
def test_whatever_is_measured_the_limit_stays_in_bounds_and_moves_in_steps(
    seen: list[tuple[float, int, int | None, bool]],
) -> None:
    capacity = Capacity(POLICY)
    time, sent = 0.0, 0
    for elapsed, grown, delay, waiting in seen:
        time, sent, before = time + elapsed, sent + grown, capacity.limit
        limit = capacity.observe(time, sent, delay, waiting=waiting)
        assert POLICY.floor <= limit <= POLICY.ceiling
        assert before // 2 - 2 <= limit <= before + before // 5 + POLICY.ceiling // 32
