"""Estimates: what storing will lock, told before anything is begun."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.ports.renting import Stage
from node.services.renter.errors import RequestError
from node.services.renter.keeper import StoreRequest
from node.services.renter.spending import StorageLimits
from tests.unit.packing.kit import make_tree
from tests.unit.renter.kit import World


def request(tmp_path: Path, size: int = 300_000, *, public: bool = False, max_price: int | None = None) -> StoreRequest:
    source = make_tree(tmp_path / f"source{size}", {"a": size, "b/c": 1})
    return StoreRequest(path=source, k=3, n=6, days=10, public=public, max_price=max_price)


@pytest.mark.parametrize("public", [False, True])
async def test_what_is_estimated_is_what_is_locked(tmp_path: Path, public: bool) -> None:
    world = World(tmp_path, 6)
    wanted = request(tmp_path, public=public)
    estimate = await world.renter.estimate(wanted)
    assert (estimate.size, estimate.shards, len(estimate.hosts), estimate.notes) == (300_001, 6, 6, [])
    made = await world.renter.store(wanted)
    await world.until(lambda: world.store.kept[made.id].stage is Stage.KEPT)
    rentals = await world.store.rentals()
    assert {rental.terms.length for rental in rentals} == {estimate.shard_length}
    assert world.market.locked == estimate.escrow > 0
    assert sum(host.collateral for host in estimate.hosts) == sum(rental.terms.collateral for rental in rentals)


async def test_an_estimate_begins_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, 6)
    await world.renter.estimate(request(tmp_path))
    await world.turn(10, times=3)
    assert (world.store.kept, world.store.contracts, world.store.promised, world.market.deposits) == ({}, {}, {}, {})
    assert {call for _, call in world.api.asked} == {"terms"}


async def test_what_would_hold_it_up_is_said(tmp_path: Path) -> None:
    world = World(tmp_path, 4)
    wanted = request(tmp_path)
    (missing,) = (await world.renter.estimate(wanted)).notes
    assert missing.startswith("2 more hosts are needed, and no other is known")
    world.limits = StorageLimits(per_day=1)
    await world.restart()
    _, limit = (await world.renter.estimate(wanted)).notes
    assert "raise [storage] spend_per_day" in limit
    (dear,) = (await world.renter.estimate(request(tmp_path, max_price=1))).notes
    assert "too dear" in dear


async def test_what_cannot_be_stored_is_refused_like_by_store(tmp_path: Path) -> None:
    world = World(tmp_path, 1)
    with pytest.raises(RequestError, match="does not exist"):
        await world.renter.estimate(StoreRequest(path=tmp_path / "nothing"))
