"""Repair's promises: never too late to read k shards, never for a loss that can wait, and always possible."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.storage.repair import LEAVE_MARGIN, Health, RepairPlan, ShardState, Urgency, plan, threshold
from tests.unit.storage.samples import NOW

GOOD, SUSPECT, LOST = ShardState(Health.GOOD), ShardState(Health.SUSPECT), ShardState(Health.LOST)
LEAVING = ShardState(Health.LEAVING, leaves=NOW + 3600)


def planned(k: int, n: int, *some: ShardState) -> RepairPlan:
    """The plan when the first shards are `some` and the others good."""
    return plan(k, n, [*some, *[GOOD] * (n - len(some))], NOW)


@pytest.mark.parametrize(("k", "n", "expected"), [(10, 30, 20), (3, 6, 5), (1, 2, 1), (2, 3, 2), (20, 40, 30)])
def test_the_threshold_is_halfway(k: int, n: int, expected: int) -> None:
    assert threshold(k, n) == expected


@given(st.integers(1, 254), st.integers(1, 254))
def test_the_threshold_lies_between_enough_and_all(k: int, more: int) -> None:
    assert k <= threshold(k, k + more) < k + more


STATES = st.builds(ShardState, st.sampled_from(Health), st.integers(NOW - 5, NOW + 2 * LEAVE_MARGIN), st.integers(0, 3))


@given(st.integers(1, 6), st.integers(1, 6), st.data())
def test_every_plan_can_be_carried_out(k: int, more: int, data: st.DataObject) -> None:
    n = k + more
    shards = data.draw(st.lists(STATES, min_size=n, max_size=n))
    made = plan(k, n, shards, NOW)
    readable = {place for place, shard in enumerate(shards) if shard.readable(NOW)}
    assert (made.urgency is Urgency.GONE) == (len(readable) < k)
    assert set(made.copy) <= readable
    assert set(made.read) <= readable
    assert len(made.read) == (k if made.rebuild else 0)
    assert not set(made.rebuild) & readable
    assert bool(made.rebuild) == (made.urgency in (Urgency.REPAIR, Urgency.URGENT))
    if len(readable) == k:
        assert set(made.rebuild) == set(range(n)) - readable


def test_losses_are_collected_until_the_threshold() -> None:
    assert planned(10, 30, *[LOST] * 9).urgency is Urgency.NONE
    made = planned(10, 30, *[LOST] * 10)
    assert made.urgency is Urgency.REPAIR
    assert made.rebuild == tuple(range(10))
    assert made.reason == "20 of 30 shards are good, 10 are needed"


def test_suspects_bring_a_repair_nearer_and_are_rebuilt_only_when_it_is_urgent() -> None:
    made = planned(10, 30, *[LOST] * 6, *[SUSPECT] * 6)
    assert (made.urgency, made.rebuild) == (Urgency.REPAIR, tuple(range(6)))
    made = planned(10, 30, *[LOST] * 6, *[SUSPECT] * 9)
    assert (made.urgency, made.rebuild) == (Urgency.URGENT, tuple(range(15)))
    assert planned(10, 30, *[SUSPECT] * 12).urgency is Urgency.NONE


def test_a_leaving_host_is_copied_in_time_and_not_rebuilt() -> None:
    made = planned(10, 30, LEAVING)
    assert (made.urgency, made.copy, made.rebuild) == (Urgency.COPY, (0,), ())
    assert planned(10, 30, ShardState(Health.LEAVING, leaves=NOW + LEAVE_MARGIN + 1)).urgency is Urgency.NONE
    gone = planned(3, 6, ShardState(Health.LEAVING, leaves=NOW))
    assert (gone.urgency, gone.rebuild, gone.copy) == (Urgency.REPAIR, (0,), ())


def test_the_cheapest_shards_are_read() -> None:
    dear, cheap = ShardState(Health.GOOD, price=9), ShardState(Health.GOOD, price=1)
    assert plan(2, 5, [dear, LOST, cheap, LOST, cheap], NOW).read == (2, 4)


def test_too_few_shards_leave_only_hope() -> None:
    made = planned(3, 6, LOST, LOST, LOST, SUSPECT)
    assert made == RepairPlan(Urgency.GONE, (), (), (), "2 of 6 shards are good, 3 are needed, 1 may come back")


def test_a_plan_needs_a_possible_code() -> None:
    for k, n, count in ((3, 3, 3), (0, 2, 2), (3, 6, 5)):
        with pytest.raises(ValueError, match="shards of a code"):
            plan(k, n, [GOOD] * count, NOW)
