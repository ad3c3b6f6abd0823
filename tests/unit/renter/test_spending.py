"""Spending limits: never passed, whatever comes together or dies in between, and a refusal that says what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.ports.renting import Stage
from node.ports.storagebooks import Committed
from node.services.renter.keeper import StoreRequest
from node.services.renter.spending import StorageLimits
from node.storage.terms import DAY
from tests.unit.packing.kit import make_tree
from tests.unit.renter.kit import World
from wallet.errors import LimitError

UNITS = st.integers(0, 2**130)


@given(UNITS, UNITS, UNITS, UNITS | st.none(), UNITS | st.none())
def test_a_limit_refuses_exactly_what_passes_it(
    today: int, before: int, wanted: int, per_day: int | None, total: int | None
) -> None:
    committed = Committed(before + today, today)
    allowed = (per_day is None or today + wanted <= per_day) and (total is None or before + today + wanted <= total)
    limits = StorageLimits(per_day, total)
    if allowed:
        limits.check(committed, wanted)
        return
    with pytest.raises(LimitError, match=r"raise \[storage\] spend_") as refused:
        limits.check(committed, wanted)
    assert "\n" not in str(refused.value)


async def store(world: World, tmp_path: Path, name: str = "one", *, days: int = 10, renew: bool = False) -> str:
    source = make_tree(tmp_path / name, {"z": 200_000})
    return (await world.renter.store(StoreRequest(path=source, k=1, n=2, days=days, renew=renew))).id


def is_kept(world: World, name: str) -> bool:
    return world.store.kept[name].stage is Stage.KEPT


async def cost_of_one(tmp_path: Path) -> int:
    world = World(tmp_path / "measured", 2)
    name = await store(world, tmp_path / "measured")
    await world.until(lambda: is_kept(world, name))
    return world.market.locked


@pytest.mark.parametrize(
    ("limit", "limits"),
    [("per_day", lambda units: StorageLimits(per_day=units)), ("total", lambda units: StorageLimits(total=units))],
)
async def test_an_object_that_costs_more_is_not_begun_and_says_which_limit_and_what_to_do(
    tmp_path: Path, limit: str, limits: Callable[[int], StorageLimits]
) -> None:
    cost = await cost_of_one(tmp_path)
    world = World(tmp_path, 2)
    world.limits = limits(cost - 1)
    await world.restart()
    name = await store(world, tmp_path)
    await world.turn(10, times=20)
    assert f"raise [storage] spend_{limit}" in world.store.kept[name].note
    assert world.store.contracts == {}, "half an object is worth nothing"
    assert world.market.deposits == {}
    assert not any(host.proposals for host in world.hosts)
    world.limits = limits(cost)
    await world.restart()
    await world.until(lambda: is_kept(world, name))
    assert world.store.kept[name].note == ""
    world.check_books()


async def test_two_objects_together_do_not_pass_a_limit_that_each_keeps(tmp_path: Path) -> None:
    cost = await cost_of_one(tmp_path)
    world = World(tmp_path, 2)
    world.limits = StorageLimits(per_day=2 * cost - 1)
    await world.restart()
    names = [await store(world, tmp_path, "one"), await store(world, tmp_path, "two")]
    await world.turn(10, times=20)
    assert sorted(is_kept(world, name) for name in names) == [False, True]
    assert world.market.locked == cost
    world.clock.seconds += DAY
    await world.until(lambda: all(is_kept(world, name) for name in names))


async def test_an_offer_that_was_durable_and_not_sent_counts_after_a_crash(tmp_path: Path) -> None:
    cost = await cost_of_one(tmp_path)
    world = World(tmp_path, 2)
    world.limits = StorageLimits(total=2 * cost - 1)
    await world.restart()
    first = await store(world, tmp_path, "one")
    await world.until(lambda: bool(world.store.contracts))
    assert not any(host.proposals for host in world.hosts)
    await world.restart()
    second = await store(world, tmp_path, "two")
    await world.until(lambda: is_kept(world, first))
    await world.turn(10, times=20)
    assert "spend_total" in world.store.kept[second].note
    assert world.market.locked == cost


async def test_a_renewal_that_passes_the_limit_is_not_made_and_says_so(tmp_path: Path) -> None:
    cost = await cost_of_one(tmp_path)
    world = World(tmp_path, 2)
    world.limits = StorageLimits(total=cost)
    await world.restart()
    name = await store(world, tmp_path, renew=True)
    await world.until(lambda: is_kept(world, name))
    for _ in range(9 * 24):
        await world.turn(3600)
    assert "not renewed" in world.store.kept[name].note
    assert "spend_total" in world.store.kept[name].note
    assert len(world.store.contracts) == 2
    world.limits = StorageLimits(total=2 * cost)
    await world.restart()
    await world.turn(60, times=20)
    assert len(world.store.contracts) == 4
    assert world.store.kept[name].note == ""
