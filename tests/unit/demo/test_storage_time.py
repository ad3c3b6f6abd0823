"""Where the demo moves its clocks to: every audit is due there, and its epoch is not over."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.demo.storage_time import BEFORE, NEAR, next_audits
from node.storage.audit import ANSWER_SECONDS

EPOCH = 21_600


def test_the_next_audits_are_those_of_the_epoch_that_runs() -> None:
    assert next_audits({"a": 4 * EPOCH}, EPOCH, 100) == [(EPOCH - BEFORE, ["a"])]
    assert next_audits({"a": 4 * EPOCH}, EPOCH, EPOCH - BEFORE) == [(2 * EPOCH - BEFORE, ["a"])]


def test_terms_that_end_together_are_reached_together_and_others_one_after_another() -> None:
    terms = {"late": 4 * EPOCH + 300, "a": 4 * EPOCH, "b": 4 * EPOCH + NEAR}
    assert next_audits(terms, EPOCH, 400) == [
        (EPOCH + NEAR - BEFORE, ["a", "b"]),
        (EPOCH + 300 - BEFORE, ["late"]),
    ]


@given(st.dictionaries(st.text(max_size=3), st.integers(EPOCH, 8 * EPOCH), max_size=6), st.integers(0, 6 * EPOCH))
def test_all_audits_are_due_while_their_epoch_still_runs(terms: dict[str, int], now: int) -> None:
    found = next_audits(terms, EPOCH, now)
    assert sorted(name for _, names in found for name in names) == sorted(terms)
    for moment, names in found:
        for name in names:
            left = (terms[name] - moment) % EPOCH if moment < terms[name] else terms[name] - moment
            assert BEFORE - NEAR <= left <= BEFORE < ANSWER_SECONDS
