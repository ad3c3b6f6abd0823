"""The race's promises: rates are bytes over seconds, and the verdict is what the clock said."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.demo.race import Lane, Race

SIZE, CAPACITY = 8_000_000, 2_000_000


def lane(name: str, seconds: float | None, *, pays: bool = False) -> Lane:
    """A leecher at a constant rate; without `seconds` it is half-way after five."""
    made = Lane(name, pays, SIZE)
    for tenth in range(1, 11):
        made.take(tenth * (seconds or 5.0) / 10, SIZE * tenth // (10 if seconds else 20), complete=False)
    if seconds:
        made.take(seconds, SIZE, complete=True)
    return made


def race(payer: float | None, free: float | None) -> Race:
    return Race("devnet-bttc", lane("payer", payer, pays=True), lane("free", free), SIZE, CAPACITY)


def test_the_factor_says_how_many_times_sooner_the_payer_was_done() -> None:
    found = race(5.0, 8.0)
    assert found.over
    assert found.factor == pytest.approx(1.6)
    assert found.verdict == "payer was done 1.60 times sooner than free"


@pytest.mark.parametrize(
    ("payer", "free", "word"),
    [(8.0, 8.0, "together"), (8.0, 8.3, "together"), (8.0, 6.0, "free was done first"), (8.0, 10.0, "1.25 times")],
)
def test_the_verdict_calls_no_race_won_that_was_not(payer: float, free: float, word: str) -> None:
    assert word in race(payer, free).verdict


@pytest.mark.parametrize(("payer", "free"), [(None, 8.0), (5.0, None), (None, None)])
def test_there_is_no_factor_before_both_are_done(payer: float | None, free: float | None) -> None:
    found = race(payer, free)
    assert not found.over
    with pytest.raises(ValueError, match="not over"):
        _ = found.factor


def test_a_leecher_that_is_done_stays_done() -> None:
    done = lane("free", 8.0)
    before = replace(done, samples=list(done.samples))
    done.take(9.0, SIZE, complete=True)
    assert done == before


def test_a_constant_rate_is_shown_constant_however_it_is_sampled() -> None:
    for step, over in ((0.25, 0.0), (1.0, 0.0), (0.25, 1.0), (3.0, 1.0)):
        assert lane("free", 8.0).rates(step, over) == pytest.approx([1_000_000.0] * len(lane("", 8.0).rates(step)))


def test_a_leecher_that_has_not_begun_has_no_rates() -> None:
    assert Lane("free", False, SIZE).rates(1.0) == []


@given(
    gaps=st.lists(st.tuples(st.floats(0.01, 3.0), st.integers(0, 10**9)), min_size=1, max_size=30),
    step=st.sampled_from([0.25, 0.5, 1.0, 4.0]),
)
def test_rates_over_their_steps_add_up_to_all_bytes(gaps: list[tuple[float, int]], step: float) -> None:
    found, at, done = Lane("free", False, 10**12), 0.0, 0
    for seconds, size in gaps:
        at, done = at + seconds, done + size
        found.take(at, done, complete=False)
    rates = found.rates(step)
    whole = int(at / step)
    assert whole <= len(rates) <= whole + 1
    if len(rates) > whole:
        total = sum(rates[:whole]) * step + rates[-1] * (at - whole * step)
        assert total == pytest.approx(done, rel=1e-6, abs=1e-3)
    assert all(rate >= 0 for rate in rates)


def test_the_report_has_the_figures_of_the_race() -> None:
    found = race(5.0, 8.0)
    found.payer.spent, found.payer.bought = 5 * 10**30, SIZE
    report = found.report()
    assert (report["rail"], report["bytes"], report["capacity"], report["factor"]) == (
        "devnet-bttc",
        SIZE,
        CAPACITY,
        1.6,
    )
    payer, free = report["lanes"]
    assert (payer["pays"], payer["spent"], payer["bought"], payer["seconds"]) == (True, str(5 * 10**30), SIZE, 5.0)
    assert (free["pays"], free["spent"], free["bytes_per_second"]) == (False, "0", [1_000_000] * 8)
