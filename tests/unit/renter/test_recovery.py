"""A machine that has nothing but the wallet's seed: what it finds, and what liars and crashes change (nothing)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from node.ports.peerapi import PeerRefusedError
from node.ports.renting import MarketError, Rental, Stage, StoredObject
from node.services.renter import recovering
from node.services.renter.keeper import StoreRequest
from node.services.renter.recovering import Recovery
from node.storage.lifecycle import State
from node.storage.messages import LabelCall
from node.storage.sealing import wrapping_key
from tests.unit.packing.kit import make_tree, snapshot
from tests.unit.renter.ground import RAIL, WRAPPING, Crash, MemoryRenterStore
from tests.unit.renter.kit import FakeHost, World
from tests.unit.renter.test_watching import kept, pass_days, pass_hours


async def lose_everything(world: World, wrapping: bytes = WRAPPING) -> None:
    """The machine is gone; a new one has the seed."""
    await world.renter.close()
    world.store = MemoryRenterStore(world.points)
    world.base = world.base / "new"
    world.carrier.seeding.clear()
    world.wrapping = wrapping
    world.renter = world.new_renter()


async def recover(world: World, faults: Sequence[str] = ()) -> Recovery:
    recovery = world.renter.recover()
    async with asyncio.timeout(30):
        while not recovery.finished:
            await asyncio.sleep(0)
            world.points.check()
    assert recovery.faults == list(faults)
    return recovery


def bare(stored: StoredObject) -> StoredObject:
    """Without what a new machine cannot know."""
    return replace(stored, path=Path(stored.path.name), note="")


def lasting(rental: Rental) -> Rental:
    """Without the memory of audits; the next one brings it back."""
    return replace(rental, passed=0, told=0)


def spent(world: World) -> tuple[object, ...]:
    """All that recovery must not do again."""
    return len(world.market.opens), dict(world.market.deposits), sum(host.proposals for host in world.hosts)


async def test_objects_and_contracts_come_back_and_restore_without_any_file(tmp_path: Path) -> None:
    world = World(tmp_path, 6)
    name = await kept(world, tmp_path, renew=True)
    await pass_days(world, 3)
    stored, rentals = world.store.kept[name], await world.store.rentals()
    assert {rental.vouched for rental in rentals} == {3}
    await lose_everything(world)
    (found,) = (await recover(world)).objects
    assert (found.stored.id, found.new, found.contracts, found.silent, found.shards) == (name, True, 6, 0, 6)
    assert bare(world.store.kept[name]) == bare(stored)
    assert [*map(lasting, await world.store.rentals())] == [*map(lasting, rentals)]
    await world.renter.restore(name, tmp_path / "back")
    assert snapshot(tmp_path / "back") == snapshot(tmp_path / "source")


async def test_audits_and_vouchers_go_on_and_nothing_is_paid_again(tmp_path: Path) -> None:
    world = World(tmp_path, 8)
    await kept(world, tmp_path)
    await pass_days(world, 3)
    before = spent(world)
    await lose_everything(world)
    await recover(world)
    await pass_days(world, 2)
    assert spent(world) == before
    for rental in await world.store.rentals():
        assert (rental.vouched, rental.told, rental.missed, rental.state) == (5, 5, 0, State.ACTIVE)
    world.check_books()


async def test_recovering_again_changes_nothing_and_brings_what_was_silent(tmp_path: Path) -> None:
    world = World(tmp_path, 6)
    name = await kept(world, tmp_path)
    rentals = await world.store.rentals()
    await lose_everything(world)
    for host in world.hosts[:4]:
        host.alive = False
    (found,) = (await recover(world)).objects
    assert (found.contracts, found.silent, found.shards) == (6, 4, 2)
    assert {rental.missed for rental in await world.store.rentals()} == {0, 1}
    assert [rental.shard for rental in await world.store.rentals()] == list(range(6))
    for host in world.hosts:
        host.alive = True
    (found,) = (await recover(world)).objects
    assert (found.stored.id, found.new, found.silent) == (name, False, 0)
    again = [replace(rental, missed=0, missed_epoch=0) for rental in await world.store.rentals()]
    assert [*map(lasting, again)] == [*map(lasting, rentals)]


async def test_a_host_that_was_away_is_heard_when_it_is_back(tmp_path: Path) -> None:
    world = World(tmp_path, 6)
    name = await kept(world, tmp_path)
    await pass_days(world, 2)
    rentals, before = await world.store.rentals(), spent(world)
    await lose_everything(world)
    away = world.hosts[0]
    away.alive = False
    await recover(world)
    await pass_hours(world, 3)
    assert min(rental.vouched for rental in await world.store.rentals()) == 0
    away.alive = True
    await pass_hours(world, 1)
    again = {rental.id: rental for rental in await world.store.rentals()}
    for rental in rentals:
        now = again[rental.id]
        assert (now.host_signature, now.peers, now.shard) == (rental.host_signature, rental.peers, rental.shard)
        assert now.vouched >= rental.vouched
    await pass_days(world, 1)
    assert {rental.missed for rental in await world.store.rentals()} == {0}
    assert (await world.renter.overview(name)).labelled == 6
    assert spent(world) == before


async def test_a_lost_host_is_repaired_by_the_new_machine(tmp_path: Path) -> None:
    world = World(tmp_path, 9)
    name = await kept(world, tmp_path)
    await lose_everything(world)
    await recover(world)
    gone = [host for host in world.hosts if host.contracts][:2]
    for host in gone:
        host.alive = False
    await pass_days(world, 6)
    overview = await world.renter.overview(name)
    assert overview.good == 6
    assert overview.labelled >= 6
    assert not {rental.terms.host for rental in overview.rentals if not rental.missed} & {
        host.key.address for host in gone
    }
    world.check_books()


async def test_a_renewal_that_had_not_begun_is_no_new_contract(tmp_path: Path) -> None:
    world = World(tmp_path, 6)
    await kept(world, tmp_path, days=4, renew=True)
    await pass_hours(world, 70)
    rentals = await world.store.rentals()
    assert sum(bool(rental.renews) for rental in rentals) == 6
    before = spent(world)
    await lose_everything(world)
    await recover(world)
    assert {rental.id: rental.renews for rental in await world.store.rentals()} == {
        rental.id: rental.renews for rental in rentals
    }
    await pass_hours(world, 30)
    assert spent(world) == before
    later = [rental for rental in await world.store.rentals() if rental.renews]
    assert [rental.state for rental in later] == [State.ACTIVE] * 6


async def test_what_the_user_changed_last_is_what_comes_back(tmp_path: Path) -> None:
    world = World(tmp_path, 6)
    name = await kept(world, tmp_path)
    await world.renter.renew(name, days=33)
    await world.turn(times=3)
    stored = world.store.kept[name]
    assert (stored.renew, stored.seconds) == (True, 33 * 86_400)
    await lose_everything(world)
    await recover(world)
    assert bare(world.store.kept[name]) == bare(stored)


async def test_an_object_that_was_being_forgotten_is_still_forgotten(tmp_path: Path) -> None:
    world = World(tmp_path, 6)
    name = await kept(world, tmp_path)
    await pass_days(world, 1)
    away = next(host for host in world.hosts if host.contracts)
    world.deaf = {(away.key.address, "cancel")}
    await world.renter.forget(name)
    await world.turn(times=5)
    assert sum(rental.state is State.ACTIVE for rental in await world.store.rentals()) == 1
    await lose_everything(world)
    await recover(world)
    assert world.store.kept[name].stage is Stage.FORGOTTEN
    world.deaf = set()
    await world.until(lambda: not world.store.kept)
    assert world.market.locked == 0


async def test_an_offer_that_was_never_opened_is_neither_taken_in_nor_funded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, 6)

    async def away(*arguments: object) -> None:
        raise MarketError("the chain takes too long")

    with monkeypatch.context() as patch:
        patch.setattr(world.market, "open", away)
        source = make_tree(tmp_path / "source", {"z": 5000})
        await world.renter.store(StoreRequest(path=source, k=3, n=6, days=10))
        await world.turn(times=4)
        assert {rental.state for rental in await world.store.rentals()} == {State.SIGNED}
        await lose_everything(world)
    before, deposited = spent(world), world.market.free
    assert deposited > 0
    recovery = await recover(world)
    await world.turn(times=3)
    assert (recovery.objects, recovery.lost, await world.store.rentals()) == ([], [], [])
    assert spent(world) == before
    # What lies in the market pays for the next object.
    again = await world.renter.store(StoreRequest(path=source, k=3, n=6, days=10))
    await world.until(lambda: world.store.kept[again.id].stage is Stage.KEPT)
    assert (sum(world.market.deposits.values()), world.market.free) == (deposited, 0)


async def test_no_host_at_all_is_said_with_the_reason_for_each_contract(tmp_path: Path) -> None:
    world = World(tmp_path, 6)
    await kept(world, tmp_path)
    await lose_everything(world)
    for host in world.hosts:
        host.alive = False
    recovery = await recover(world)
    assert recovery.objects == []
    assert len(recovery.lost) == 6
    assert all("no answer" in lost.why for lost in recovery.lost)
    assert sum(lost.escrow for lost in recovery.lost) == world.market.locked
    assert await world.store.rentals() == []


async def test_another_seed_opens_no_label(tmp_path: Path) -> None:
    world = World(tmp_path, 6)
    await kept(world, tmp_path)
    await lose_everything(world, wrapping_key(b"\x55" * 64))
    recovery = await recover(world)
    assert recovery.objects == []
    assert all("does not open" in lost.why for lost in recovery.lost)


async def test_a_host_that_is_busy_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovering, "BUSY_PAUSE", 0.0)
    world = World(tmp_path, 6)
    await kept(world, tmp_path)
    await lose_everything(world)
    busy, recall, asked = world.hosts[0], world.hosts[0]._recall, 0

    def sometimes(body: Mapping[str, Any]) -> dict[str, Any]:
        nonlocal asked
        asked += 1
        if asked < 4:
            raise PeerRefusedError("busy", "too many requests")
        return recall(body)

    monkeypatch.setattr(busy, "_recall", sometimes)
    (found,) = (await recover(world)).objects
    assert (found.contracts, found.silent) == (6, 0)


async def test_a_chain_that_does_not_answer_is_said_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, 6)
    await kept(world, tmp_path)
    await lose_everything(world)

    async def away(progress: object) -> Any:
        raise MarketError("the chain takes too long")

    monkeypatch.setattr(world.market, "running", away)
    recovery = await recover(world, [f"rail '{RAIL}': the chain takes too long"])
    assert (recovery.objects, recovery.lost, world.store.kept) == ([], [], {})


# --- hosts that lie ---------------------------------------------------------------------------------------------------


def withhold(host: FakeHost, others: list[FakeHost]) -> None:
    host.labels.clear()


def show_the_first(host: FakeHost, others: list[FakeHost]) -> None:
    host.labels = dict(host.old_labels)


def show_it_as_the_newest(host: FakeHost, others: list[FakeHost]) -> None:
    host.labels = {key: replace(call, number=call.number + 10**9) for key, call in host.old_labels.items()}


def show_another_hosts(host: FakeHost, others: list[FakeHost]) -> None:
    ((_, call),) = others[0].labels.items()
    host.labels = {key: replace(call, id=key) for key in host.labels}


def show_noise(host: FakeHost, others: list[FakeHost]) -> None:
    host.labels = {key: LabelCall(key, 2**52, bytes(1000)) for key in host.labels}


LIES = (withhold, show_the_first, show_it_as_the_newest, show_another_hosts, show_noise)


@pytest.mark.parametrize("lie", LIES)
async def test_one_honest_host_is_enough_for_the_newest_label(
    tmp_path: Path, lie: Callable[[FakeHost, list[FakeHost]], None]
) -> None:
    world = World(tmp_path, 6)
    name = await kept(world, tmp_path)
    await world.renter.renew(name, days=33)
    await world.turn(times=3)
    stored, (honest, *liars) = world.store.kept[name], world.hosts
    for host in liars:
        lie(host, [honest])
    await lose_everything(world)
    (found,) = (await recover(world)).objects
    assert bare(found.stored) == bare(stored)
    assert found.contracts == 6
    assert [rental.shard for rental in await world.store.rentals()] == list(range(6))
    # The others get it again from the new machine.
    await world.turn(times=3)
    assert (await world.renter.overview(name)).labelled >= 1


async def test_a_host_that_hides_its_voucher_gains_nothing_and_is_never_sent_a_lower_one(tmp_path: Path) -> None:
    world = World(tmp_path, 6)
    await kept(world, tmp_path)
    await pass_days(world, 4)
    liar = world.hosts[0]
    ((contract_id, through),) = liar.vouchers.items()
    liar.vouchers, liar.signatures = {}, {}
    await lose_everything(world)
    await recover(world)
    await pass_days(world, 1)
    assert liar.vouchers == {contract_id: through + 1}
    assert {rental.vouched for rental in await world.store.rentals()} == {through + 1}


async def test_a_voucher_that_was_never_signed_is_not_believed(tmp_path: Path) -> None:
    world = World(tmp_path, 6)
    await kept(world, tmp_path)
    await pass_days(world, 1)
    liar = world.hosts[0]
    ((contract_id, _),) = liar.vouchers.items()
    liar.vouchers[contract_id] = 15
    await lose_everything(world)
    (found,) = (await recover(world)).objects
    assert (found.contracts, found.silent) == (6, 1)
    assert sorted(rental.vouched for rental in await world.store.rentals()) == [0, 1, 1, 1, 1, 1]


# --- two machines, and crashes ----------------------------------------------------------------------------------------


async def test_two_machines_with_one_seed_hear_of_each_other(tmp_path: Path) -> None:
    world = World(tmp_path, 6)
    name = await kept(world, tmp_path)
    old_store, old = world.store, world.renter
    await lose_everything(world)
    await recover(world)
    world.clock.seconds += 10
    await world.renter.renew(name, days=44)
    await world.turn(times=2)
    assert world.store.kept[name].note == ""
    again = world.new_renter(tmp_path / "old", store=old_store)
    await old.close()
    await again.renew(name, days=5)
    for _ in range(2):
        await again.tick()
        await again.settle()
    assert "another machine" in old_store.kept[name].note
    await again.close()


async def test_labels_that_a_crash_interrupted_reach_every_host_and_no_second_machine_is_suspected(
    tmp_path: Path,
) -> None:
    for point in (1, 3, 8, 9, 10, 14, 19):
        world = World(tmp_path / str(point), 6)
        name = await kept(world, tmp_path / str(point))
        await world.renter.renew(name, days=33)
        world.points.count, world.points.die_at, world.points.after = 0, point, True
        with suppress(Crash):
            await world.turn()
        await world.restart()
        await world.turn(times=12)
        stored = world.store.kept[name]
        assert stored.note == ""
        assert (await world.renter.overview(name)).labelled == 6
        await lose_everything(world)
        await recover(world)
        assert bare(world.store.kept[name]) == bare(stored)


async def test_a_recovery_that_dies_anywhere_is_finished_by_the_next(tmp_path: Path) -> None:
    point, died = 0, True
    while died:
        point += 1
        base = tmp_path / str(point)
        world = World(base, 4, seed=point)
        name = await kept(world, base, k=1, n=3)
        rentals, before = await world.store.rentals(), spent(world)
        await lose_everything(world)
        world.points.count, world.points.die_at = 0, point
        died = False
        try:
            await recover(world)
        except Crash:
            died = True
        await world.restart()
        await world.turn(times=3)
        await recover(world)
        await world.turn(times=3)
        assert [*map(lasting, await world.store.rentals())] == [*map(lasting, rentals)]
        assert list(world.store.kept) == [name]
        assert spent(world) == before
    assert point > 10
