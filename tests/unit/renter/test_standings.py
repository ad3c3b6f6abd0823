"""Hosts are known by what they did: it is remembered, weighed when shards are placed, and shown."""

from __future__ import annotations

from pathlib import Path

from node.ports.renting import Rental, Stage
from node.services.renter.hostlist import Wanted
from node.services.renter.keeper import StoreRequest
from node.storage.placement import NEUTRAL
from node.storage.standing import Seen, Standing
from tests.unit.packing.kit import make_tree
from tests.unit.renter.ground import RAIL
from tests.unit.renter.kit import World
from tests.unit.renter.test_watching import pass_days


async def store(world: World, folder: Path, **options: int) -> str:
    source = make_tree(folder / "source", {"z": 100_000})
    made = await world.renter.store(StoreRequest(path=source, **({"k": 1, "n": 2, "days": 20} | options)))  # type: ignore[arg-type] # all ints
    await world.until(lambda: world.store.kept[made.id].stage is Stage.KEPT)
    return made.id


def standing(world: World, rental: Rental) -> Standing:
    return world.store.known[RAIL, rental.terms.host]


async def test_what_hosts_do_is_counted_once_in_an_epoch_and_outlives_the_object(tmp_path: Path) -> None:
    world = World(tmp_path, 2)
    name = await store(world, tmp_path)
    good, bad = await world.store.rentals(name)
    silent = next(host for host in world.hosts if host.key.address == bad.terms.host)
    await pass_days(world, 1)
    silent.alive = False
    await pass_days(world, 2)
    assert standing(world, good).kept in (3, 4)
    assert (standing(world, bad).kept, standing(world, bad).silent) in ((1, 2), (2, 2), (1, 1))
    silent.alive = True
    await world.renter.forget(name)
    await world.until(lambda: not world.store.kept)
    await world.restart()
    listed = {each.found.peer.address: each for each in await world.renter.directory.look(Wanted())}
    assert listed[good.terms.host].found.score > NEUTRAL
    assert listed[good.terms.host].found.score > listed[bad.terms.host].found.score


async def test_one_that_answered_wrongly_is_given_nothing_again(tmp_path: Path) -> None:
    world = World(tmp_path, 4)
    name = await store(world, tmp_path)
    (rental, _) = await world.store.rentals(name)
    liar = next(host for host in world.hosts if host.key.address == rental.terms.host)
    liar.corrupt(rental.terms.root)
    await world.until(lambda: (RAIL, rental.terms.host) in world.store.known, seconds=3600)
    assert standing(world, rental).wrong == 1
    asked = liar.proposals
    for number in range(3):
        await store(world, tmp_path / str(number), n=3)
    assert liar.proposals == asked
    (line,) = [each for each in await world.renter.directory.look(Wanted()) if each.found.peer == liar.peer]
    assert line.avoided == "its score is 0, below 200"


async def test_hosts_that_decline_or_do_not_fetch_what_they_signed_are_known_for_it(tmp_path: Path) -> None:
    world = World(tmp_path, 4)
    world.hosts[0].accepts = False
    world.hosts[1].fetches = False
    await store(world, tmp_path)
    for host in world.hosts[:2]:
        host.price = 1  # the cheapest are asked first
    source = make_tree(tmp_path / "more", {"y": 5000})
    await world.renter.store(StoreRequest(path=source, k=1, n=2, days=20))
    await world.turn(10, 100)
    seen = {host: world.store.known.get((RAIL, world.hosts[host].key.address)) for host in range(4)}
    assert seen[0] is not None
    assert seen[0].declined
    assert seen[1] is not None
    assert seen[1].broken


async def test_the_list_says_why_a_host_would_be_avoided(tmp_path: Path) -> None:
    world = World(tmp_path, 4)
    world.hosts[0].alive = False
    world.hosts[1].price *= 5
    lines = await world.renter.directory.look(Wanted(length=2**20, max_price=2 * world.hosts[2].price))
    reasons = {each.found.peer: each.avoided for each in lines}
    assert "no answer" in reasons[world.hosts[0].peer]
    assert "too dear" in reasons[world.hosts[1].peer]
    assert [reasons[host.peer] for host in world.hosts[2:]] == ["", ""]
    assert lines[-1].quote is None
    short = await world.renter.directory.look(Wanted(seconds=300 * 86_400))
    assert all("at most" in each.avoided for each in short if each.quote)


def test_every_experience_is_a_count() -> None:
    assert {each.value for each in Seen} < set(Standing.__dataclass_fields__)
