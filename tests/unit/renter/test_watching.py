"""Audits, vouchers, repair, renewal, forgetting: what a renter's node does by itself while nobody looks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from node.ports.renting import Rental, Stage
from node.services.renter.keeper import StoreRequest
from node.storage.audit import Verdict
from node.storage.evidence import Evidence, check
from node.storage.lifecycle import MarketStatus, State
from node.storage.terms import DAY
from tests.unit.packing.kit import make_tree, snapshot
from tests.unit.renter.kit import FakeHost, World, passed

HOUR = 3600
DAYS = 20


async def kept(world: World, tmp_path: Path, *, k: int = 3, n: int = 6, days: int = DAYS, renew: bool = False) -> str:
    """A stored object, at the start of its first epoch; returns its id."""
    source = make_tree(tmp_path / "source", {"z": 300_000})
    made = await world.renter.store(StoreRequest(path=source, k=k, n=n, days=days, renew=renew))
    await world.until(lambda: world.store.kept[made.id].stage is Stage.KEPT)
    world.clock.seconds = max(rental.terms.start for rental in await world.store.rentals())
    return made.id


async def pass_hours(world: World, hours: int) -> None:
    """The loop runs often: what takes minutes has the time for it, and no epoch ends unseen."""
    for _ in range(hours):
        await world.turn(10, times=4)
        await world.turn(HOUR - 50)
        await world.turn(10)


async def pass_days(world: World, days: int) -> None:
    await pass_hours(world, 24 * days)


def split(world: World) -> tuple[list[FakeHost], list[FakeHost]]:
    """Hosts with a contract, and the others."""
    return [host for host in world.hosts if host.contracts], [host for host in world.hosts if not host.contracts]


def held_by(rentals: Sequence[Rental], host: FakeHost) -> Rental:
    return next(rental for rental in rentals if rental.terms.host == host.key.address)


async def test_every_epoch_brings_one_audit_and_one_voucher(tmp_path: Path) -> None:
    world = World(tmp_path, 6)
    await kept(world, tmp_path)
    await pass_days(world, 3)
    for rental in await world.store.rentals():
        audits = await world.store.audits(rental.id)
        assert [audit.epoch for audit in audits] == [-1, 0, 1, 2]
        assert passed(audits) == 4
        assert (rental.vouched, rental.told, rental.missed) == (3, 3, 0)
    assert [list(host.vouchers.values()) for host in world.hosts] == [[3]] * 6


async def test_the_moment_of_an_audit_is_spread_over_the_epoch(tmp_path: Path) -> None:
    world = World(tmp_path, 6)
    await kept(world, tmp_path)
    await pass_days(world, 8)
    hours = {
        (audit.at - rental.terms.start) % DAY // HOUR
        for rental in await world.store.rentals()
        for audit in await world.store.audits(rental.id)
        if audit.epoch >= 0
    }
    assert len(hours) > 12


async def test_evidence_of_an_audit_holds_offline(tmp_path: Path) -> None:
    world = World(tmp_path, 6)
    name = await kept(world, tmp_path)
    world.hosts[0].corrupt(held_by(await world.store.rentals(), world.hosts[0]).terms.root)
    found = {rental.terms.host: examined for rental, examined in await world.renter.verify(name)}
    for host in world.hosts:
        evidence = found[host.key.address].evidence
        assert evidence is not None
        checked = check(Evidence.decode(evidence.encode()))
        assert checked.proved
        assert checked.finding.verdict is (Verdict.WRONG if host is world.hosts[0] else Verdict.PASSED)


async def test_a_host_that_is_away_for_hours_is_asked_again_and_paid(tmp_path: Path) -> None:
    world = World(tmp_path, 6)
    await kept(world, tmp_path)
    world.hosts[0].alive = False
    await pass_hours(world, 12)
    world.hosts[0].alive = True
    await pass_hours(world, 12)
    rental = held_by(await world.store.rentals(), world.hosts[0])
    assert (rental.vouched, rental.missed) == (1, 0)


async def test_a_silent_host_gets_no_voucher_and_is_paid_in_full_when_it_comes_back(tmp_path: Path) -> None:
    world = World(tmp_path, 6)
    await kept(world, tmp_path)
    world.hosts[0].alive = False
    await pass_days(world, 2)
    silent = held_by(await world.store.rentals(), world.hosts[0])
    assert (silent.vouched, silent.missed) == (0, 2)
    world.hosts[0].alive = True
    await pass_days(world, 1)
    back = held_by(await world.store.rentals(), world.hosts[0])
    assert (back.vouched, back.missed) == (3, 0)


async def test_a_wrong_answer_is_challenged_on_chain_slashed_and_repaired_onto_a_spare(tmp_path: Path) -> None:
    world = World(tmp_path, 7)
    name = await kept(world, tmp_path)
    before = await world.store.rentals()
    others, (free,) = split(world)
    bad = others.pop()
    lost = held_by(before, bad)
    bad.corrupt(lost.terms.root)
    await pass_days(world, 4)
    assert world.market.entries[lost.id].status is MarketStatus.FAILED
    assert world.market.slashed == lost.terms.collateral
    assert lost.id in world.market.challenges
    rentals = await world.store.rentals()
    assert held_by(rentals, bad).state is State.FAILED
    assert held_by(rentals, bad).vouched == 0
    spare = held_by(rentals, free)
    assert (spare.shard, spare.state) == (lost.shard, State.ACTIVE)
    assert free.path(lost.terms.root).stat().st_size == lost.terms.length
    world.check_books()
    for host in others[:3]:
        host.alive = False
    await world.renter.restore(name, tmp_path / "back")
    assert snapshot(tmp_path / "back") == snapshot(tmp_path / "source")


async def test_repair_reads_from_hosts_whose_engines_have_moved_since_they_signed(tmp_path: Path) -> None:
    world = World(tmp_path, 7)
    name = await kept(world, tmp_path)
    others, _ = split(world)
    others[0].alive = False
    for host in others[1:]:
        host.port += 1
    await pass_days(world, 6)
    assert (await world.renter.overview(name)).good == 6


async def test_challenges_are_paid_for_when_escrow_has_left_nothing_free_in_the_market(tmp_path: Path) -> None:
    world = World(tmp_path, 6)
    await kept(world, tmp_path)
    assert world.market.free == 0
    silent = world.hosts[:2]
    for host in silent:
        host.alive = False
    await pass_days(world, 5)
    rentals = await world.store.rentals()
    assert {held_by(rentals, host).id for host in silent} == set(world.market.challenges)
    assert {held_by(rentals, host).state for host in silent} == {State.FAILED}
    assert world.market.slashed == sum(held_by(rentals, host).terms.collateral for host in silent)
    world.check_books()


async def test_what_a_host_was_paid_while_it_was_challenged_is_in_the_books_when_it_has_failed(tmp_path: Path) -> None:
    world = World(tmp_path, 6)
    name = await kept(world, tmp_path)
    await pass_days(world, 1)
    host = world.hosts[0]
    host.alive = False
    while (lost := held_by(await world.store.rentals(), host)).state is not State.CHALLENGED:
        await pass_hours(world, 1)
    world.market.settle(lost.terms, lost.vouched)
    await pass_days(world, 1)
    assert held_by(await world.store.rentals(), host).state is State.FAILED
    assert (await world.renter.overview(name)).paid[lost.id] == lost.terms.price_per_epoch


async def test_shards_of_dead_hosts_are_made_again_on_spares(tmp_path: Path) -> None:
    world = World(tmp_path, 8)
    name = await kept(world, tmp_path)
    before = await world.store.rentals()
    dead = split(world)[0][:2]
    for host in dead:
        host.alive = False
    await pass_days(world, 6)
    overview = await world.renter.overview(name)
    assert overview.good == 6
    shards = {held_by(before, host).shard for host in dead}
    spares = [rental for rental in await world.store.rentals() if rental not in before and rental.shard in shards]
    assert {rental.shard for rental in spares if rental.state is State.ACTIVE} == shards
    assert not list((tmp_path / "renter" / "staging" / name).iterdir())
    world.check_books()


async def test_contracts_are_renewed_with_the_same_hosts_before_their_end(tmp_path: Path) -> None:
    world = World(tmp_path, 6)
    await kept(world, tmp_path, k=1, n=2, days=4, renew=True)
    first = await world.store.rentals()
    fetched = len(world.carrier.fetched)
    await pass_days(world, 7)
    rentals = await world.store.rentals()
    for old in first:
        renewal = next(rental for rental in rentals if rental.renews == old.id)
        assert (renewal.terms.host, renewal.terms.start) == (old.terms.host, old.terms.end)
        assert renewal.vouched >= 2
    assert len(world.carrier.fetched) == fetched
    world.check_books()


async def test_a_host_that_has_shown_its_shard_and_shows_no_more_of_it_is_not_silent(tmp_path: Path) -> None:
    world = World(tmp_path, 6)
    name = await kept(world, tmp_path)
    assert {each.finding.verdict for _, each in await world.renter.verify(name)} == {Verdict.PASSED}
    before = await world.store.rentals()
    for host in world.hosts:
        host.spent = True
    verified = await world.renter.verify(name)
    assert {each.finding.verdict for _, each in verified} == {Verdict.SPENT}
    assert all("has shown its shard in this epoch" in each.finding.reason for _, each in verified)
    assert await world.store.rentals() == before
    await pass_days(world, 3)
    silent = [rental for rental in await world.store.rentals() if rental.id in {each.id for each in before}]
    assert all(rental.missed for rental in silent), "a host that never shows anything hides behind no rule"
    assert {rental.vouched for rental in silent} == {1}


async def test_looking_at_an_object_often_does_not_cost_the_hosts_their_epoch(tmp_path: Path) -> None:
    world = World(tmp_path, 6)
    name = await kept(world, tmp_path)
    for _ in range(3):
        await world.renter.verify(name)
        await world.renter.verify(name)
        await pass_days(world, 1)
    rentals = await world.store.rentals()
    assert {rental.missed for rental in rentals} == {0}
    assert all(rental.vouched >= 3 for rental in rentals)


async def test_a_host_that_became_too_dear_is_followed_by_another(tmp_path: Path) -> None:
    world = World(tmp_path, 3)
    source = make_tree(tmp_path / "source", {"z": 300_000})
    made = await world.renter.store(StoreRequest(path=source, k=1, n=2, days=4, max_price=2 * 10**15))
    await world.until(lambda: world.store.kept[made.id].stage is Stage.KEPT)
    dear = world.holder((await world.store.rentals())[0].terms.root)
    dear.price *= 2
    await pass_days(world, 5)
    live = [rental for rental in await world.store.rentals() if rental.state is State.ACTIVE]
    assert dear.key.address not in {rental.terms.host for rental in live if rental.terms.end > world.clock.seconds}
    assert {rental.shard for rental in live if rental.terms.end > world.clock.seconds} == {0, 1}


async def test_what_runs_out_is_closed_and_what_was_not_earned_comes_back(tmp_path: Path) -> None:
    world = World(tmp_path, 2)
    await kept(world, tmp_path, k=1, n=2, days=2)
    world.hosts[0].alive = False
    await pass_days(world, 5)
    assert {entry.status for entry in world.market.entries.values()} == {MarketStatus.COMPLETED}
    assert world.market.locked == 0
    world.check_books()


async def test_forgetting_cancels_what_hosts_agree_to_and_removes_the_object(tmp_path: Path) -> None:
    world = World(tmp_path, 6)
    name = await kept(world, tmp_path)
    await pass_days(world, 1)
    await world.renter.forget(name)
    await world.until(lambda: not world.store.kept)
    assert {entry.status for entry in world.market.entries.values()} == {MarketStatus.CANCELLED}
    assert all(entry.paid == 2 for entry in world.market.entries.values())
    assert not (tmp_path / "renter" / "staging" / name).exists()
    world.check_books()


async def test_forgetting_before_the_start_calls_everything_off(tmp_path: Path) -> None:
    world = World(tmp_path, 6)
    source = make_tree(tmp_path / "source", {"z": 300_000})
    made = await world.renter.store(StoreRequest(path=source, k=3, n=6, days=10))
    await world.until(lambda: len(world.market.opens) == 6)
    await world.renter.forget(made.id)
    await world.until(lambda: not world.store.kept)
    assert world.market.free == sum(world.market.deposits.values())
    world.check_books()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_crash_at_any_point_of_auditing_and_repair_loses_and_doubles_nothing(
    tmp_path: Path, after: bool
) -> None:
    point = 1
    while True:
        base = tmp_path / str(point)
        world = World(base, 4, seed=point)
        name = await kept(world, base, k=1, n=3, days=9)
        lost = split(world)[0][0]
        root = next(iter(lost.contracts.values())).root
        lost.corrupt(root)
        world.points.count, world.points.die_at, world.points.after = 0, point, after
        died = False
        for _ in range(60):
            await pass_hours(world, 1)
            if world.points.dead:
                died = True
                break
        await world.restart()
        await pass_hours(world, 48 if died else 0)
        world.check_books()
        assert (await world.renter.overview(name)).good == 3
        for host in world.hosts:
            for contract_id, through in host.vouchers.items():
                kept_voucher = world.store.contracts[contract_id].vouched
                assert kept_voucher >= through
        if not died:
            return
        point += 7


async def test_an_object_that_cannot_be_restored_any_more_says_so(tmp_path: Path) -> None:
    world = World(tmp_path, 6)
    name = await kept(world, tmp_path)
    for host in world.hosts[:4]:
        host.alive = False
    await pass_days(world, 4)
    assert "2 of 6 shards are good, 3 are needed" in world.store.kept[name].note
