"""Hosts that go before their contracts end: others have their shards in time, and they are paid for what they kept."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from node.ports.renting import Rental, Stage
from node.services.renter.keeper import StoreRequest
from node.storage.lifecycle import MarketStatus, State
from tests.unit.packing.kit import make_tree
from tests.unit.renter.ground import POLICY, Crash
from tests.unit.renter.kit import FakeHost, World
from wallet.address import Address

HOUR = 3600


async def kept(tmp_path: Path, hosts: int = 4, policy: object = POLICY) -> tuple[World, str, FakeHost, Rental]:
    """An object of three shards whose contracts have begun; one of its hosts, with its contract."""
    world = World(tmp_path, hosts, policy=policy)  # type: ignore[arg-type] # a `Policy`; the kit's default is one
    source = make_tree(tmp_path / "source", {"z": 300_000})
    made = await world.renter.store(StoreRequest(path=source, k=2, n=3, days=10))
    await world.until(lambda: world.store.kept[made.id].stage is Stage.KEPT)
    world.clock.seconds = max(rental.terms.start for rental in await world.store.rentals()) + 1
    (rental, *_) = await world.store.rentals(made.id)
    host = next(host for host in world.hosts if host.key.address == rental.terms.host)
    return world, made.id, host, rental


async def pass_hours(world: World, hours: float) -> None:
    """The renter takes several steps, then time passes."""
    await world.turn(5, 6)
    world.clock.seconds += int(hours * HOUR) - 30


def holders(world: World, shard: int) -> set[Address]:
    """Who is bound to keep a shard now, and has it."""
    return {
        entry.terms.host
        for rental in world.store.contracts.values()
        if rental.shard == shard
        and (entry := world.market.entries.get(rental.id)) is not None
        and entry.status is MarketStatus.ACTIVE
        and next(host for host in world.hosts if host.key.address == entry.terms.host).path(entry.terms.root).exists()
    }


async def test_a_host_that_asks_is_let_go_when_another_one_has_its_shard(tmp_path: Path) -> None:
    world, object_id, host, rental = await kept(tmp_path)
    host.leaving = True
    entry = world.market.entries[rental.id]
    while entry.status is MarketStatus.ACTIVE:
        assert world.clock.seconds < rental.terms.epoch_start(3)
        await pass_hours(world, 0.5)
        assert holders(world, rental.shard), "somebody is bound to keep it at every moment"
    assert entry.status is MarketStatus.CANCELLED
    begun = rental.terms.epoch_at(world.clock.seconds - HOUR // 2) + 1
    assert entry.paid == begun, "paid for the epochs it kept, and no more"
    assert entry.moved == begun * rental.terms.price_per_epoch
    (successor,) = holders(world, rental.shard)
    assert successor != host.key.address
    overview = await world.renter.overview(object_id)
    assert (overview.good, overview.stored.note) == (3, "")
    world.check_books()


async def test_nobody_is_let_go_while_no_other_host_is_there(tmp_path: Path) -> None:
    world, _, host, rental = await kept(tmp_path, hosts=3)
    host.leaving = True
    for _ in range(50):
        await pass_hours(world, 1)
    assert world.market.entries[rental.id].status is MarketStatus.ACTIVE
    assert world.store.contracts[rental.id].relieve
    host.leaving = False  # it stays after all
    for _ in range(50):
        await pass_hours(world, 1)
    assert not world.store.contracts[rental.id].relieve
    assert (await world.renter.stored())[0].good == 3


async def test_a_host_that_leaves_alone_is_copied_before_it_goes(tmp_path: Path) -> None:
    world, object_id, host, rental = await kept(tmp_path, policy=replace(POLICY, hand_over=False))
    host.leaving = True
    for _ in range(30):
        await pass_hours(world, 1)
    assert not world.store.contracts[rental.id].relieve
    entry = world.market.entries[rental.id]
    entry.exiting, entry.epochs = True, rental.terms.epoch_at(world.clock.seconds) + 2
    goes = rental.terms.epoch_start(entry.epochs)
    while world.clock.seconds < goes:
        await pass_hours(world, 1)
    assert holders(world, rental.shard) > {host.key.address}
    assert rental.terms.root in world.carrier.fetched, "copied, not rebuilt"
    world.market.pay(rental.terms, world.store.contracts[rental.id].vouched)
    for _ in range(30):
        await pass_hours(world, 1)
    assert world.store.contracts[rental.id].state is State.COMPLETED
    assert entry.moved == entry.epochs * rental.terms.price_per_epoch
    assert (await world.renter.overview(object_id)).good == 3
    world.check_books()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_crash_at_any_effect_of_a_hand_over_changes_nothing(tmp_path: Path, after: bool) -> None:
    point, died = 1 + after, True
    while died:
        world, object_id, host, rental = await kept(tmp_path / str(point))
        host.leaving = True
        world.points.count, world.points.die_at, world.points.after = 0, point, after
        entry, died = world.market.entries[rental.id], False
        while entry.status is MarketStatus.ACTIVE:
            assert world.clock.seconds < rental.terms.epoch_start(4)
            with suppress(Crash):
                await pass_hours(world, 1)
            if world.points.dead:
                died = True
                await world.restart()
            assert holders(world, rental.shard), "somebody is bound to keep it at every moment"
        assert entry.moved == entry.paid * rental.terms.price_per_epoch
        assert entry.paid == rental.terms.epoch_at(world.clock.seconds - HOUR) + 1
        assert (await world.renter.overview(object_id)).good == 3
        world.check_books()
        point += 3
    assert point > 20
