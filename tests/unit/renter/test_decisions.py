"""What is due for a contract, from its record and the time alone."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.ports.renting import Rental
from node.services.renter.decisions import Todo, given_up, health, latest, to_free, to_place, to_renew, todo
from node.services.renter.fetching import Source, order
from node.services.renter.policy import Policy
from node.services.renter.watch import plan_again, plan_first
from node.storage.lifecycle import ENDS, State, renewal_due
from node.storage.repair import Health
from node.storage.terms import DAY
from tests.unit.storage.samples import MARKET, NOW, contract

POLICY = Policy(margin=100, patience=2)


def rental(state: State = State.ACTIVE, *, shard: int = 0, start: int = NOW, **changes: Any) -> Rental:
    terms = contract(start=start, epochs=30, nonce=shard)
    made = Rental(
        id=terms.digest(MARKET),
        object="ab",
        shard=shard,
        rail="r",
        terms=terms,
        state=state,
        url="http://host",
        network="n",
        peers=(),
        download_price=1,
        renter_signature=b"r",
        host_signature=b"h",
    )
    return replace(made, **changes)


BEFORE, LATE, RUNNING, OVER = NOW - 1000, NOW - 50, NOW + 5, NOW + 31 * DAY


@pytest.mark.parametrize(
    ("state", "now", "changes", "expected"),
    [
        (State.OFFERED, BEFORE, {}, Todo.PROPOSE),
        (State.OFFERED, LATE, {}, Todo.LOOK),
        (State.OFFERED, BEFORE, {"dropped": True}, Todo.NOTHING),
        (State.OFFERED, LATE, {"dropped": True}, Todo.LOOK),
        (State.SIGNED, BEFORE, {}, Todo.OPEN),
        (State.SIGNED, LATE, {}, Todo.LOOK),
        (State.UPLOADING, BEFORE, {}, Todo.DELIVER),
        (State.UPLOADING, LATE, {}, Todo.CALL_OFF),
        (State.UPLOADING, LATE, {"renews": b"\x01" * 32}, Todo.DELIVER),
        (State.UPLOADING, RUNNING, {}, Todo.DELIVER),
        (State.ACTIVE, BEFORE, {}, Todo.WATCH),
        (State.ACTIVE, RUNNING, {}, Todo.WATCH),
        (State.ACTIVE, RUNNING, {"host_signature": b""}, Todo.RECALL),
        (State.ACTIVE, OVER, {"host_signature": b""}, Todo.CLOSE),
        (State.ACTIVE, BEFORE, {"dropped": True}, Todo.CALL_OFF),
        (State.ACTIVE, RUNNING, {"dropped": True}, Todo.CANCEL),
        (State.ACTIVE, OVER, {}, Todo.CLOSE),
        (State.CHALLENGED, OVER, {}, Todo.CLOSE),
        *((end, RUNNING, {}, Todo.NOTHING) for end in sorted(ENDS)),
    ],
)
def test_every_state_has_its_next_step(state: State, now: int, changes: dict[str, Any], expected: Todo) -> None:
    assert todo(rental(state, **changes), now, POLICY) is expected


def test_an_offer_that_a_host_may_hold_is_never_forgotten_before_its_start() -> None:
    for state in (State.OFFERED, State.SIGNED):
        assert state not in ENDS
        assert todo(rental(state, dropped=True), NOW + 1, POLICY) is Todo.LOOK


def test_a_shard_is_placed_again_when_nothing_sound_is_about_it_and_freed_when_something_is() -> None:
    sound = rental(shard=0)
    others = [
        rental(shard=1, missed=1),
        rental(shard=2, leaves=NOW),
        rental(shard=3, convicted=True),
        rental(State.FAILED, shard=4),
        rental(shard=5, dropped=True),
    ]
    under_way = rental(State.UPLOADING, shard=6)
    everything = [sound, *others, under_way]
    assert to_place(everything, range(8), POLICY) == {1, 2, 3, 4, 5, 7}
    assert to_free(everything, range(8), POLICY) == {0}


def test_health_is_the_best_of_a_shards_contracts() -> None:
    def of(*rentals: Rental) -> Health:
        return health(rentals, 0, POLICY, staged=False).health

    assert of() is Health.LOST
    assert of(rental(missed=2)) is Health.LOST
    assert of(rental(convicted=True)) is Health.LOST
    assert of(rental(missed=1)) is Health.SUSPECT
    assert of(rental(State.UPLOADING)) is Health.SUSPECT
    assert of(rental(missed=1), rental(leaves=NOW)) is Health.LEAVING
    assert of(rental(missed=1), rental()) is Health.GOOD
    assert health((), 0, POLICY, staged=True).health is Health.GOOD


def test_the_contract_that_lasts_longest_covers_a_shard_and_an_offer_only_where_there_is_none() -> None:
    running, later = rental(), rental(start=NOW + 30 * DAY)
    offered = rental(State.OFFERED, start=NOW + 60 * DAY)
    assert latest([running, later, offered], POLICY) == {0: later}
    assert latest([offered], POLICY) == {0: offered}
    assert latest([rental(missed=2)], POLICY) == {}


def test_a_contract_is_renewed_once_and_not_with_a_host_in_doubt() -> None:
    running = rental()
    near = renewal_due(running.terms)
    assert to_renew([running], near - 1, POLICY) == []
    assert to_renew([running], near, POLICY) == [running]
    assert to_renew([running], running.terms.end - 1, POLICY) == []
    follower = rental(State.OFFERED, start=running.terms.end, renews=running.id)
    assert to_renew([running, follower], near, POLICY) == []
    assert to_renew([running, replace(follower, dropped=True)], near, POLICY) == [running]
    for doubt in ({"missed": 1}, {"leaves": NOW}, {"convicted": True}):
        assert to_renew([replace(running, **doubt)], near, POLICY) == []


@given(st.integers(0, 30 * DAY - 1), st.integers(0, 2**32))
def test_an_audit_is_planned_within_its_epoch_and_never_in_the_past(after: int, seed: int) -> None:
    kept = rental()
    plan = plan_first(kept, NOW + after, Random(seed).randint)
    assert plan is not None
    assert plan.epoch == after // DAY
    assert NOW + after <= plan.at < NOW + (plan.epoch + 1) * DAY
    again = plan_again(kept, plan.epoch, plan.at, 30)
    assert again.at >= plan.at + 30


def test_no_audit_is_planned_outside_a_contracts_epochs_or_after_one_that_passed() -> None:
    uniform = Random(1).randint
    assert plan_first(rental(), NOW - 1, uniform) is None
    assert plan_first(rental(), NOW + 30 * DAY, uniform) is None
    assert plan_first(rental(passed=1), NOW, uniform) is None
    assert plan_first(rental(passed=1), NOW + DAY, uniform) is not None
    assert plan_first(rental(leaves=NOW + DAY), NOW + DAY, uniform) is None
    assert given_up(rental(missed=2), POLICY)


def test_shards_are_fetched_from_undoubted_hosts_then_cheap_ones_and_data_before_parity() -> None:
    sources = [Source(4, (), 1), Source(0, (), 2), Source(1, (), 1), Source(2, (), 1, doubt=1), Source(2, (), 3)]
    assert order(sources, 3) == [1, 4, 0, 2]
