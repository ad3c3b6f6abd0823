"""The lifecycle's promises: every contract can end, locked money never waits for both sides, ends are final."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.storage.errors import TransitionError
from node.storage.lifecycle import (
    ENDS,
    LOCKED,
    TRANSITIONS,
    Event,
    MarketStatus,
    State,
    due,
    from_chain,
    renewal_due,
    step,
)
from tests.unit.storage.samples import contract

ONE_SIDED = set(Event) - {Event.CANCEL, Event.HAND_OVER, Event.SIGN}
TERMS = contract(epochs=8)


def reachable(start: State, events: Collection[Event]) -> set[State]:
    found, open_ends = {start}, [start]
    while open_ends:
        for event, state in TRANSITIONS[open_ends.pop()].items():
            if event in events and state not in found:
                found.add(state)
                open_ends.append(state)
    return found


def test_every_state_is_in_the_table_and_comes_from_an_offer() -> None:
    assert set(TRANSITIONS) == set(State) == reachable(State.OFFERED, set(Event))


@pytest.mark.parametrize("state", State)
def test_every_state_has_a_way_to_an_end_that_needs_one_side_only(state: State) -> None:
    assert reachable(state, ONE_SIDED) & ENDS


def test_ends_are_final() -> None:
    assert {State.COMPLETED, State.FAILED, State.CANCELLED, State.LAPSED} == ENDS
    for state in ENDS:
        for event in Event:
            with pytest.raises(TransitionError, match=f"that is {state} cannot {event}"):
                step(state, event)


@given(st.lists(st.sampled_from(Event), max_size=30))
def test_money_is_locked_by_open_and_freed_by_ends_only(events: list[Event]) -> None:
    state = State.OFFERED
    for event in events:
        if event not in TRANSITIONS[state]:
            continue
        after = step(state, event)
        assert (after in LOCKED) == (event is Event.OPEN or (state in LOCKED and after not in ENDS))
        assert not (state in LOCKED and after is State.LAPSED)
        state = after


def test_both_sides_may_end_a_contract_in_force_at_any_time() -> None:
    for state in LOCKED:
        assert step(state, Event.CANCEL) is step(state, Event.HAND_OVER) is State.CANCELLED


def test_a_challenge_keeps_an_exit_in_mind() -> None:
    assert step(step(State.EXITING, Event.CHALLENGE), Event.ANSWER) is State.EXITING
    assert step(step(State.ACTIVE, Event.CHALLENGE), Event.ANSWER) is State.ACTIVE
    with pytest.raises(TransitionError):
        step(State.CHALLENGED, Event.EXIT)
    with pytest.raises(TransitionError):
        step(State.CHALLENGED, Event.COMPLETE)


@pytest.mark.parametrize("state", State)
def test_what_time_brings_is_in_the_table(state: State) -> None:
    found = due(state, TERMS, answer_by=TERMS.start)
    if state in ENDS:
        assert found is None
    else:
        assert found is not None
        assert found.event in TRANSITIONS[state]
        assert TRANSITIONS[state][found.event] in ENDS


def test_a_contract_can_be_closed_when_all_is_paid_or_cannot_be_proved_any_more() -> None:
    paid, unpaid = due(State.ACTIVE, TERMS, settled=True), due(State.ACTIVE, TERMS)
    assert paid == (TERMS.end, Event.COMPLETE)
    assert unpaid == (TERMS.end + TERMS.epoch_length, Event.COMPLETE)
    assert due(State.EXITING, TERMS, epochs=3, settled=True) == (TERMS.epoch_start(3), Event.COMPLETE)
    assert due(State.CHALLENGED, TERMS, answer_by=99) == (100, Event.FAIL)
    with pytest.raises(ValueError, match="deadline"):
        due(State.CHALLENGED, TERMS)


@pytest.mark.parametrize(
    ("status", "challenged", "exiting", "delivered", "state"),
    [
        (MarketStatus.UNKNOWN, False, False, True, None),
        (MarketStatus.ACTIVE, False, False, False, State.UPLOADING),
        (MarketStatus.ACTIVE, False, False, True, State.ACTIVE),
        (MarketStatus.ACTIVE, True, False, True, State.CHALLENGED),
        (MarketStatus.ACTIVE, False, True, True, State.EXITING),
        (MarketStatus.ACTIVE, True, True, True, State.EXITING_CHALLENGED),
        (MarketStatus.CALLED_OFF, False, False, False, State.CANCELLED),
        (MarketStatus.COMPLETED, False, True, True, State.COMPLETED),
        (MarketStatus.CANCELLED, False, False, True, State.CANCELLED),
        (MarketStatus.FAILED, False, False, True, State.FAILED),
    ],
)
def test_a_node_that_starts_again_believes_the_market(
    status: MarketStatus, challenged: bool, exiting: bool, delivered: bool, state: State | None
) -> None:
    assert from_chain(status, challenged=challenged, exiting=exiting, delivered=delivered) is state


@given(st.integers(1, 256))
def test_renewal_begins_before_the_end(epochs: int) -> None:
    terms = contract(epochs=epochs)
    assert terms.start <= renewal_due(terms) < terms.end
