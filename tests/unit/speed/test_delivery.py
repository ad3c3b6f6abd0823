"""A paid seller that does not deliver is found; one that we ourselves slow down is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.speed.delivery import (
    CREDIT_PATIENCE_MS,
    LINE_FLOOR,
    LONGEST_SILENCE_MS,
    MIN_WINDOW_MS,
    SILENCE_MS,
    Delivery,
    Line,
    Look,
    Watch,
    judge,
)
from wallet.amount import MIB

SECOND = 1000
KIB = 1024


def watched(seconds: int, rate: int, *, granted: int, **facts: int | bool) -> tuple[int, str | None]:
    """A seller that sends `rate` bytes per second: (seconds until the verdict, the verdict)."""
    known: dict[str, int | bool] = {"waiting": True, "room": 100 * MIB, **facts}

    def look(second: int) -> Look:
        return Look(second * SECOND, second * rate, granted=granted, **known)  # type: ignore[arg-type]  # as the field

    watch = Watch(look(0))
    for second in range(1, seconds + 1):
        if verdict := watch.look(look(second)):
            return second, verdict
    return seconds, None


@pytest.mark.parametrize(
    ("delivery", "stops"),
    [
        (Delivery(MIN_WINDOW_MS, 10 * MIB, 10 * MIB), False),
        (Delivery(MIN_WINDOW_MS, 10 * MIB, 10 * MIB // 4), False),
        (Delivery(MIN_WINDOW_MS, 10 * MIB, 10 * MIB // 4 - 1024), True),
        (Delivery(MIN_WINDOW_MS - 1, 10 * MIB, 0), False),
        (Delivery(MIN_WINDOW_MS, 200 * KIB, 0), False),
        (Delivery(0, 0, 0, failed=4 * MIB), False),
        (Delivery(0, 0, 0, failed=4 * MIB + 1), True),
        (Delivery(0, 0, 0, received=80 * MIB, failed=14 * MIB), False),
        (Delivery(0, 0, 0, received=80 * MIB, failed=14 * MIB + 1), True),
        (Delivery(0, 0, 0, silent_ms=SILENCE_MS), True),
        (Delivery(0, 0, 0, silent_ms=SILENCE_MS - 1), False),
        (Delivery(0, 0, 0, granted=100, silent_ms=SILENCE_MS), False),
        (Delivery(0, 0, 0, granted=1, silent_ms=LONGEST_SILENCE_MS), True),
    ],
)
def test_a_seller_is_stopped_for_what_it_did_and_not_before(delivery: Delivery, stops: bool) -> None:
    assert (judge(delivery) is not None) == stops


def test_a_seller_that_sends_nothing_or_a_trickle_is_found_within_a_window() -> None:
    for rate in (0, MIB // 5):
        seconds, verdict = watched(60, rate, granted=MIB)
        assert (seconds, verdict is not None) == (10, True)
    assert watched(100, 0, granted=0)[0] == SILENCE_MS // SECOND


@pytest.mark.parametrize(
    "facts",
    [{"waiting": False}, {"room": 0}, {"room": 100 * KIB}],
    ids=["nothing to ask it for", "our line is full", "our line has little room"],
)
def test_a_slow_seller_is_not_to_blame_for_us(facts: dict[str, int]) -> None:
    assert watched(1000, 30 * KIB, granted=10 * MIB, **facts)[1] is None


@given(st.integers(1, 100 * MIB), st.integers(1, 200), st.integers(0, 100 * MIB))
def test_whoever_delivers_what_it_granted_or_what_our_line_takes_is_never_stopped(
    granted: int, seconds: int, room: int
) -> None:
    # Blocks make deliveries lumpy: a grant below a block per second comes in steps, but the sums are the same.
    assert watched(seconds, max(1, min(granted, room)), granted=granted, room=room)[1] is None


def test_used_up_credit_excuses_a_while_and_not_for_ever() -> None:
    seconds, verdict = watched(120, 0, granted=MIB, held_back=True)
    assert verdict is not None
    assert CREDIT_PATIENCE_MS // SECOND <= seconds <= (CREDIT_PATIENCE_MS + MIN_WINDOW_MS) // SECOND + 1


def test_the_line_is_what_it_has_carried_lately_within_the_limit() -> None:
    line = Line()
    assert line.room(0, 0, 1, 0) == LINE_FLOOR * 7 // 8
    line.observe(8 * MIB, 0)
    line.observe(2 * MIB, SECOND)
    assert line.room(MIB, MIB, 1, 2 * SECOND) == 6 * MIB
    assert line.room(9 * MIB, 0, 1, 2 * SECOND) == 0
    assert line.room(9 * MIB, 9 * MIB, 3, 2 * SECOND) == 3 * MIB // 2
    assert line.room(0, 0, 0, 400 * SECOND) == LINE_FLOOR * 7 // 8
    limited = Line(limit=MIB)
    limited.observe(8 * MIB, 0)
    assert limited.room(0, 0, 1, 0) == MIB * 7 // 8
