"""A score out of own experience: bounded, earned by keeping promises, lost by breaking them."""

from __future__ import annotations

from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from node.storage.placement import LEAST_SCORE, MAX_SCORE, NEUTRAL
from node.storage.standing import AVOIDED_FOR, MOST_SEEN, Seen, Standing
from tests.unit.storage.samples import HOST

NOW = 1_800_000_000
STRANGER = Standing(rail="eip155:1029", host=HOST.address)
LIVES = st.lists(st.sampled_from(Seen), max_size=400)


def lived(*seen: Seen) -> Standing:
    return reduce(lambda standing, each: standing.after(each, NOW), seen, STRANGER)


@given(LIVES)
def test_a_score_and_what_it_is_made_of_stay_within_bounds(life: list[Seen]) -> None:
    standing = lived(*life)
    assert 0 <= standing.score(NOW) <= MAX_SCORE
    assert sum(getattr(standing, each) for each in Seen) <= MOST_SEEN + standing.wrong + 1
    assert bool(standing.wrong) == (Seen.WRONG in life)


@given(LIVES)
def test_keeping_never_costs_and_every_fault_never_helps(life: list[Seen]) -> None:
    standing = lived(*life)
    if sum(getattr(standing, each) for each in Seen) >= MOST_SEEN:
        return  # halving rounds
    before = standing.score(NOW)
    assert standing.after(Seen.KEPT, NOW).score(NOW) >= before
    for fault in set(Seen) - {Seen.KEPT}:
        assert standing.after(fault, NOW).score(NOW) <= before


def test_strangers_are_neutral_and_habits_decide() -> None:
    assert STRANGER.score(NOW) == NEUTRAL
    assert lived(*[Seen.KEPT] * 60).score(NOW) > 900
    assert lived(*[Seen.SILENT] * 8).score(NOW) < LEAST_SCORE
    assert lived(*[Seen.BROKEN] * 4).score(NOW) < LEAST_SCORE
    assert lived(*[Seen.DECLINED] * 30).score(NOW) > LEAST_SCORE, "who says no has promised nothing"


def test_a_wrong_answer_leaves_no_score_until_it_is_long_ago() -> None:
    standing = lived(*[Seen.KEPT] * 100, Seen.WRONG)
    assert standing.score(NOW + AVOIDED_FOR - 1) == 0
    assert 0 < standing.score(NOW + AVOIDED_FOR) < lived(*[Seen.KEPT] * 100).score(NOW)


def test_what_was_bad_can_become_good_again() -> None:
    assert lived(*[Seen.SILENT] * 100, *[Seen.KEPT] * 200).score(NOW) > NEUTRAL
