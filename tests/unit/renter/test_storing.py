"""Store and restore: what the user gets, what it costs, and what a crash changes (nothing)."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from node.packing.errors import OccupiedError
from node.ports.renting import Stage
from node.services.renter.errors import RequestError, RestoreError, UnknownObjectError
from node.services.renter.keeper import StoreRequest
from node.storage.errors import ManifestError
from node.storage.lifecycle import State
from node.storage.manifest import Manifest
from tests.unit.packing.kit import make_tree, snapshot
from tests.unit.renter.kit import Crash, World

FILES = {"a/first": 70_000, "a/ü": 1, "empty": 0, "nothing": None, "z": 200_000}


def source(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "source", FILES)


async def stored(world: World, tmp_path: Path, *, k: int = 3, n: int = 6, **options: object) -> str:
    """Store the tree and wait until hosts have it; returns the id."""
    request = StoreRequest(path=source(tmp_path), k=k, n=n, days=10, **options)  # type: ignore[arg-type] # a test's options
    made = await world.renter.store(request)
    await world.until(lambda: world.store.kept[made.id].stage is Stage.KEPT)
    return made.id


async def test_any_three_of_six_hosts_bring_everything_back(tmp_path: Path) -> None:
    world = World(tmp_path, 6)
    name = await stored(world, tmp_path)
    for host in world.hosts[:3]:
        host.alive = False
    await world.renter.restore(name, tmp_path / "back")
    assert snapshot(tmp_path / "back") == snapshot(tmp_path / "source")
    world.hosts[3].alive = False
    with pytest.raises(RestoreError, match="2 of 3 shards"):
        await world.renter.restore(name, tmp_path / "again")


async def test_six_hosts_have_one_contract_each_and_the_escrow_is_locked_once(tmp_path: Path) -> None:
    world = World(tmp_path, 8)
    await stored(world, tmp_path)
    rentals = await world.store.rentals()
    assert [rental.shard for rental in rentals] == list(range(6))
    assert all(rental.state is State.ACTIVE for rental in rentals)
    assert len({rental.terms.host for rental in rentals}) == 6
    assert world.market.locked == sum(rental.terms.escrow for rental in rentals)
    assert world.market.free == 0
    world.check_books()


async def test_what_is_locked_counts_from_the_opening_on(tmp_path: Path) -> None:
    world = World(tmp_path, 6)
    for host in world.hosts:
        host.fetches = False
    made = await world.renter.store(StoreRequest(path=source(tmp_path), k=3, n=6, days=10))
    await world.until(lambda: len(world.market.opens) == 6)
    assert (await world.renter.overview(made.id)).locked == world.market.locked > 0


async def test_the_staging_folder_is_empty_when_hosts_have_the_shards(tmp_path: Path) -> None:
    world = World(tmp_path, 6)
    name = await stored(world, tmp_path)
    assert not list((tmp_path / "renter" / "staging" / name).iterdir())
    assert not world.carrier.seeding


async def test_a_clean_machine_restores_from_the_manifest_file_and_the_seed(tmp_path: Path) -> None:
    world = World(tmp_path, 6)
    manifest = await world.renter.manifest(await stored(world, tmp_path))
    world.store.kept.clear()
    world.store.contracts.clear()
    for host in world.hosts[3:]:
        host.alive = False
    elsewhere = world.new_renter(tmp_path / "elsewhere")
    await elsewhere.restore_manifest(manifest, tmp_path / "back")
    assert snapshot(tmp_path / "back") == snapshot(tmp_path / "source")
    with pytest.raises(ManifestError):
        await elsewhere.restore_manifest(manifest[:-1], tmp_path / "cut")


async def test_a_damaged_shard_is_replaced_by_another_one(tmp_path: Path) -> None:
    world = World(tmp_path, 6)
    name = await stored(world, tmp_path)
    manifest = Manifest.decode(world.store.kept[name].manifest)
    for shard in manifest.shards[:3]:
        world.holder(shard.root).corrupt(shard.root)
    await world.renter.restore(name, tmp_path / "back")
    assert snapshot(tmp_path / "back") == snapshot(tmp_path / "source")


async def test_a_restore_that_dies_at_any_point_is_finished_by_the_next(tmp_path: Path) -> None:
    world = World(tmp_path, 6)
    name = await stored(world, tmp_path)
    point, died = 0, True
    while died:
        point += 1
        world.points.count, world.points.die_at = 0, point
        out = tmp_path / f"back{point}"
        died = False
        try:
            await world.renter.restore(name, out)
        except Crash:
            died = True
        await world.restart()
        if died:
            assert not out.exists()
            await world.renter.restore(name, out)
        assert snapshot(out) == snapshot(tmp_path / "source")
    assert point > 3


async def test_an_object_on_a_rail_that_left_the_settings_says_so(tmp_path: Path) -> None:
    world = World(tmp_path, 6)
    name = await stored(world, tmp_path)
    world.store.kept[name] = replace(world.store.kept[name], rail="gone")
    await world.turn()
    for ask in (world.renter.manifest, world.renter.verify, world.renter.appointments):
        with pytest.raises(RequestError, match="not in the settings"):
            await ask(name)


async def test_equal_shards_are_one_file_and_still_all_there(tmp_path: Path) -> None:
    world = World(tmp_path, 6)
    (tmp_path / "zeros").write_bytes(bytes(400_000))
    made = await world.renter.store(StoreRequest(path=tmp_path / "zeros", k=3, n=6, days=10, public=True))
    await world.until(lambda: world.store.kept[made.id].stage is Stage.KEPT)
    await world.renter.restore(made.id, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == bytes(400_000)


async def test_what_is_not_with_hosts_yet_is_restored_from_this_machine(tmp_path: Path) -> None:
    world = World(tmp_path, 2)
    made = await world.renter.store(StoreRequest(path=source(tmp_path), k=3, n=6, days=10))
    await world.turn(times=20)
    for host in world.hosts:
        host.alive = False
    await world.renter.restore(made.id, tmp_path / "back")
    assert snapshot(tmp_path / "back") == snapshot(tmp_path / "source")


async def test_nothing_is_overwritten(tmp_path: Path) -> None:
    world = World(tmp_path, 6)
    name = await stored(world, tmp_path)
    with pytest.raises(OccupiedError):
        await world.renter.restore(name, tmp_path / "source")


async def test_a_public_object_without_bytes_needs_no_host(tmp_path: Path) -> None:
    world = World(tmp_path, 0)
    (tmp_path / "empty").touch()
    made = await world.renter.store(StoreRequest(path=tmp_path / "empty", k=3, n=6, public=True))
    await world.until(lambda: world.store.kept[made.id].stage is Stage.KEPT)
    await world.renter.restore(made.id, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b""


async def test_too_few_hosts_are_named_and_later_ones_are_taken(tmp_path: Path) -> None:
    world = World(tmp_path, 6)
    world.hosts[5].price = 10**20
    made = await world.renter.store(StoreRequest(path=source(tmp_path), k=3, n=6, days=10, max_price=10**16))
    await world.turn(times=5)
    assert "1 more host is needed; 1 other is known" in world.store.kept[made.id].note
    assert "too dear" in world.store.kept[made.id].note
    world.hosts[5].price = 10**15
    await world.until(lambda: world.store.kept[made.id].stage is Stage.KEPT)
    assert world.store.kept[made.id].note == ""


async def test_a_host_that_declines_or_never_fetches_is_replaced_and_its_money_comes_back(tmp_path: Path) -> None:
    world = World(tmp_path, 8)
    world.hosts[0].accepts = False
    world.hosts[1].fetches = False
    for host in world.hosts[6:]:
        host.price *= 2  # so that the others are asked first
    await stored(world, tmp_path)
    world.check_books()
    rentals = [rental for rental in await world.store.rentals() if rental.state is State.ACTIVE]
    assert {rental.terms.host for rental in rentals} == {host.key.address for host in world.hosts[2:]}
    assert world.market.locked == sum(rental.terms.escrow for rental in rentals)


async def test_an_unstorable_path_is_said_and_mended(tmp_path: Path) -> None:
    world = World(tmp_path, 6)
    link = source(tmp_path) / "link"
    link.symlink_to("z")
    made = await world.renter.store(StoreRequest(path=tmp_path / "source", k=3, n=6))
    await world.turn(times=2)
    assert "symbolic link" in world.store.kept[made.id].note
    link.unlink()
    await world.until(lambda: world.store.kept[made.id].stage is Stage.KEPT)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"k": 6, "n": 6}, "copies 6/6"),
        ({"days": 0}, "0 days"),
        ({"rail": "eip155:1"}, "no storage market"),
        ({"path": Path("/nowhere/at/all")}, "does not exist"),
    ],
)
async def test_a_senseless_wish_is_refused(tmp_path: Path, change: dict[str, object], said: str) -> None:
    world = World(tmp_path, 0)
    wish: dict[str, object] = {"path": tmp_path, "k": 3, "n": 6, "days": 1}
    with pytest.raises(RequestError, match=said):
        await world.renter.store(StoreRequest(**(wish | change)))  # type: ignore[arg-type] # a test's options
    with pytest.raises(UnknownObjectError):
        await world.renter.overview("ab")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_crash_at_any_point_of_storing_costs_nothing_but_time(tmp_path: Path, after: bool) -> None:
    point = 1
    while True:
        base = tmp_path / str(point)
        world = World(base, 3, seed=point)
        source = make_tree(base / "source", {"z": 5000})
        world.points.die_at, world.points.after = point, after
        with suppress(Crash):
            await world.renter.store(StoreRequest(path=source, k=1, n=3, days=2))
        died = await _run(world)
        await world.restart()
        if not world.store.kept:
            await world.renter.store(StoreRequest(path=source, k=1, n=3, days=2))
        await _kept(world)
        world.check_books()
        live = [rental for rental in await world.store.rentals() if rental.state is State.ACTIVE]
        assert len(live) == 3
        assert world.market.locked == sum(rental.terms.escrow for rental in live)
        if not died:
            return
        point += 1


async def _kept(world: World) -> None:
    await world.until(lambda: all(each.stage is Stage.KEPT for each in world.store.kept.values()))


async def _run(world: World) -> bool:
    """Until it is stored or dead; returns whether it died."""
    for _ in range(20):
        await world.turn()
        if world.points.dead:
            return True
        if all(each.stage is Stage.KEPT for each in world.store.kept.values()) and world.store.kept:
            return False
    raise AssertionError("neither stored nor dead")
