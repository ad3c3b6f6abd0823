"""Bad weather: a renter that is away, a chain that is down, prices that change. The object is kept, the books tell the
truth, and its note says what is going on in words that help."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.ports.renting import Stage
from node.services.renter.errors import RestoreError
from node.services.renter.keeper import StoreRequest
from node.services.renter.policy import Policy
from node.storage.lifecycle import ENDS, State
from node.storage.terms import DAY
from tests.unit.packing.kit import make_tree, snapshot
from tests.unit.renter.kit import World

HOUR = 3600
LIMIT = 10**16
"""Units per GiB and day that the user pays, all in."""
DEAR = 10**20


async def begun(world: World, tmp_path: Path, **options: object) -> str:
    """Store a tree; returns the id."""
    source = make_tree(tmp_path / "source", {"z": 100_000})
    request = StoreRequest(path=source, **({"k": 1, "n": 2, "days": 4} | options))  # type: ignore[arg-type] # a test's options
    return (await world.renter.store(request)).id


async def kept(world: World, tmp_path: Path, **options: object) -> str:
    """A stored object, at the start of its first epoch; returns its id."""
    name = await begun(world, tmp_path, **options)
    await world.until(lambda: world.store.kept[name].stage is Stage.KEPT)
    world.clock.seconds = max(entry.terms.start for entry in world.market.entries.values())
    return name


async def note(world: World, name: str) -> str:
    return (await world.renter.overview(name)).note


# --- the renter is away ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("renew", [False, True], ids=["once", "renewed"])
async def test_a_renter_who_was_away_for_the_whole_term_finds_what_was_paid_and_can_forget(
    tmp_path: Path, renew: bool
) -> None:
    world = World(tmp_path, 2)
    name = await kept(world, tmp_path, renew=renew)
    await world.renter.close()
    world.clock.seconds += 6 * DAY
    world.market.prove_all()
    escrow = sum(rental.terms.escrow for rental in await world.store.rentals())
    for _ in range(2):
        await world.restart()
        await world.turn(times=4)
        overview = await world.renter.overview(name)
        assert all(rental.state is State.COMPLETED for rental in overview.rentals)
        assert sum(overview.paid.values()) == escrow == world.market.earned
        assert (overview.good, overview.locked) == (0, 0)
        assert ("all its contracts have ended" if renew else "its term is over") in overview.note
        assert "`bttnode forget`" in overview.note
    for host in world.hosts:
        for path in host.folder.iterdir():
            path.unlink()
    with pytest.raises(RestoreError, match="its contracts have ended, so hosts may have deleted it"):
        await world.renter.restore(name, tmp_path / "back")
    await world.renter.forget(name)
    await world.until(lambda: not world.store.kept)
    world.check_books()


async def test_a_host_that_was_away_at_the_end_is_paid_what_it_was_vouched_for(tmp_path: Path) -> None:
    world = World(tmp_path, 2)
    name = await kept(world, tmp_path, renew=False)
    for _ in range(6 * 24):
        await world.turn(HOUR)
    overview = await world.renter.overview(name)
    assert all(rental.state in ENDS and rental.vouched for rental in overview.rentals)
    vouched = sum(rental.vouched * rental.terms.price_per_epoch for rental in overview.rentals)
    assert sum(overview.paid.values()) == world.market.earned == vouched


# --- the chain is down ----------------------------------------------------------------------------------------------


async def test_a_chain_that_is_down_is_named_while_an_object_waits_for_it_and_not_after(tmp_path: Path) -> None:
    world = World(tmp_path, 2)
    world.market.away = "cannot reach the server"
    name = await begun(world, tmp_path)
    await world.turn(times=6)
    assert not world.market.opens
    said = await note(world, name)
    assert "the money for its contracts cannot be put into the market now: cannot reach the server" in said
    assert "the chain does not answer" in said
    world.market.away = ""
    await world.until(lambda: world.store.kept[name].stage is Stage.KEPT)
    await world.turn(times=4)
    assert await note(world, name) == ""
    world.check_books()


async def test_an_epoch_without_the_chain_is_audited_vouched_for_and_restored_from(tmp_path: Path) -> None:
    world = World(tmp_path, 2)
    name = await kept(world, tmp_path)
    world.market.away = "cannot reach the server"
    for _ in range(24):
        await world.turn(HOUR)
    assert all((rental.vouched, rental.told) == (1, 1) for rental in await world.store.rentals())
    assert "audits and restores go on: cannot reach the server" in await note(world, name)
    await world.renter.restore(name, tmp_path / "back")
    assert snapshot(tmp_path / "back") == snapshot(tmp_path / "source")
    world.market.away = ""
    await world.turn(HOUR, times=2)
    assert await note(world, name) == ""


# --- prices change --------------------------------------------------------------------------------------------------


async def test_a_price_that_rose_between_quote_and_offer_is_asked_for_anew_and_paid_within_the_limit(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, 2, policy=Policy(lead=600, margin=120, retry=5, avoid=DAY))
    name = await begun(world, tmp_path, max_price=LIMIT)
    await world.until(lambda: bool(world.store.contracts), seconds=1)
    for host in world.hosts:
        host.price *= 2
    await world.until(lambda: world.store.kept[name].stage is Stage.KEPT, most=20)
    assert [host.proposals for host in world.hosts] == [2, 2]
    assert world.market.locked == sum(entry.terms.escrow for entry in world.market.entries.values())
    world.check_books()


async def test_hosts_above_the_users_price_are_named_with_both_prices(tmp_path: Path) -> None:
    world = World(tmp_path, 2)
    world.hosts[1].price = DEAR
    name = await begun(world, tmp_path, max_price=LIMIT)
    await world.turn(times=5)
    said = await note(world, name)
    assert said.startswith(f"1 more host is needed; 1 other is known: {world.hosts[1].key.address.evm}: asks 100.")
    assert said.endswith(" BTT per GiB and day, all in: too dear, the most you pay is 0.01 BTT")


async def test_a_host_that_declines_and_one_that_is_away_are_told_apart(tmp_path: Path) -> None:
    world = World(tmp_path, 4)
    world.hosts[1].accepts = False
    world.hosts[2].alive = world.hosts[3].alive = False
    name = await begun(world, tmp_path, n=3)
    await world.turn(times=5)
    said = await note(world, name)
    assert said.startswith("2 more hosts are needed; 3 others are known: ")
    assert f"{world.hosts[1].key.address.evm}: declined (not now)" in said
    assert "2 did not answer" in said


async def test_a_host_too_dear_for_a_renewal_is_named_and_its_contract_says_that_it_ends(tmp_path: Path) -> None:
    world = World(tmp_path, 2)
    name = await kept(world, tmp_path, max_price=LIMIT, renew=True)
    world.hosts[0].price = DEAR
    notes = set()
    for _ in range(4 * 24):
        await world.turn(HOUR)
        notes.add(await note(world, name))
    assert any("too dear, the most you pay is 0.01 BTT: its shard goes to another host" in said for said in notes)
    ended = [rental for rental in await world.store.rentals() if rental.terms.host == world.hosts[0].key.address]
    assert [rental.leaves for rental in ended] == [rental.terms.end for rental in ended]
    assert (await world.renter.overview(name)).good >= 1
