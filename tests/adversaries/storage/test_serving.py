"""Hosts that answer auditors and do not serve their owner, against the node's renter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from node.ports.renting import Rental, Stage
from node.services.renter.keeper import StoreRequest
from node.storage.audit import Verdict
from node.storage.lifecycle import MarketStatus, State
from node.storage.terms import DAY
from node.storage.torrent import MAX_PIECE, piece_length, pieces
from tests.unit.packing.kit import make_tree, snapshot
from tests.unit.renter.ground import MARKET, POLICY, WEALTH, MemoryRenterStore
from tests.unit.renter.kit import FakeHost, World
from wallet.keys import PrivateKey
from wallet.storage_terms import MAX_LENGTH

AUDITOR = PrivateKey(b"\x09" * 32)


async def kept(world: World, tmp_path: Path, *, auditor: bool = False) -> tuple[str, Rental, FakeHost]:
    """A stored object (3 of 6) at the start of its first epoch, one of its contracts, and the host of that one."""
    source = make_tree(tmp_path / "source", {"z": 300_000})
    request = StoreRequest(path=source, k=3, n=6, days=20, renew=False)
    made = await world.renter.store(replace(request, auditor=AUDITOR.address) if auditor else request)
    await world.until(lambda: world.store.kept[made.id].stage is Stage.KEPT)
    rental = (await world.store.rentals())[0]
    world.clock.seconds = rental.terms.start
    return made.id, rental, world.holder(rental.terms.root)


async def days(world: World, count: int) -> None:
    """Four times a day the loop runs often enough for what takes minutes; no day ends unseen."""
    for _ in range(4 * count):
        await world.turn(10, times=6)
        await world.turn(DAY // 4 - 120)
        await world.turn(60)


def staged(world: World) -> list[Path]:
    """Shards that the renter has itself."""
    return [path for path in (world.base / "renter" / "staging").rglob("*") if len(path.name) == 64]


async def latest(world: World, rental: Rental) -> Rental:
    return next(each for each in await world.store.rentals() if each.id == rental.id)


async def test_a_host_that_answers_and_does_not_serve_is_found_and_left(tmp_path: Path) -> None:
    """Fails: one audit in four fetches a piece over BitTorrent, from this host only; after the first that does not
    come, every audit does.

    Cheat: all vouchers from then on (four epochs in the mean), and the renewal; what it proves on chain it is paid for,
    at the fees of two transactions per epoch. Victim: the epochs until then, and the repair; no bond, which such a host
    would win.
    """
    world = World(tmp_path, 7, policy=replace(POLICY, patience=2))
    name, cheated, cheat = await kept(world, tmp_path)
    cheat.serves = False
    await days(world, 14)
    after = await latest(world, cheated)
    audits = [audit for audit in await world.store.audits(cheated.id) if audit.epoch >= 0]
    first = next(place for place, audit in enumerate(audits) if audit.verdict is Verdict.SILENT)
    assert all(audit.verdict is Verdict.SILENT for audit in audits[first:])
    assert "does not come over BitTorrent" in audits[first].reason
    assert not audits[first].evidence, "nobody can prove what did not come"
    assert after.vouched == audits[first].epoch < 10
    assert after.missed >= 2
    assert not world.market.challenges
    spares = [each for each in await world.store.rentals() if each.terms.root == cheated.terms.root and each != after]
    assert [each.state for each in spares] == [State.ACTIVE]
    await world.renter.restore(name, tmp_path / "back")
    assert snapshot(tmp_path / "back") == snapshot(tmp_path / "source")
    assert world.market.entries[cheated.id].status is MarketStatus.ACTIVE
    most = after.vouched * cheated.terms.price_per_epoch
    assert cheat.vouchers[cheated.id] * cheated.terms.price_per_epoch == most < cheated.terms.escrow
    assert world.market.wallet + world.market.free + world.market.locked == WEALTH
    world.check_books()


async def test_a_host_that_serves_again_is_paid_again(tmp_path: Path) -> None:
    """Fails: not for ever; what was kept and is served in the end is paid. Cheat: nothing. Victim: nothing."""
    world = World(tmp_path, 6, policy=replace(POLICY, sampled=1000, patience=5))
    _, cheated, cheat = await kept(world, tmp_path)
    cheat.serves = False
    await days(world, 2)
    assert (await latest(world, cheated)).vouched == 0
    cheat.serves = True
    await days(world, 1)
    assert (await latest(world, cheated)).vouched == 3


async def test_while_its_shard_is_being_repaired_a_host_is_vouched_for_only_if_it_serves(tmp_path: Path) -> None:
    """Fails: the renter has the shard itself then and offers it to others; it stops that to ask for a piece.

    Cheat: its vouchers, as before. Victim: the seconds for which it does not offer the shard.
    """
    world = World(tmp_path, 6, policy=replace(POLICY, sampled=1000, patience=1))  # nobody to take it instead
    _, cheated, cheat = await kept(world, tmp_path)
    cheat.serves = False
    await days(world, 4)
    assert cheated.terms.root.hex() in {path.name for path in staged(world)}
    assert (await latest(world, cheated)).vouched == 0
    cheat.serves = True
    await days(world, 1)
    assert (await latest(world, cheated)).vouched == 5


async def test_every_host_is_asked_for_pieces_at_random_and_an_honest_one_loses_nothing(tmp_path: Path) -> None:
    """The share is the policy's, the pieces are spread over the shard, and each costs one piece of at most 1 MiB."""
    world = World(tmp_path, 6)
    await kept(world, tmp_path)
    await days(world, 16)
    rentals = await world.store.rentals()
    assert [rental.vouched for rental in rentals] == [16] * 6
    audits = 16 * len(rentals)
    assert audits * POLICY.sampled // 2000 <= len(world.carrier.sampled) <= audits * POLICY.sampled // 500
    assert len({root for root, _ in world.carrier.sampled}) == 6
    assert len({piece for _, piece in world.carrier.sampled}) > pieces(rentals[0].terms.length) // 2
    assert piece_length(MAX_LENGTH) <= MAX_PIECE == 2**20


async def test_who_audits_for_somebody_else_asks_for_pieces_too(tmp_path: Path) -> None:
    """Fails: an auditor asks the host where its engine is. Cheat and victim: as above."""
    world = World(tmp_path, 6, policy=replace(POLICY, sampled=1000))
    name, cheated, cheat = await kept(world, tmp_path, auditor=True)
    records = MemoryRenterStore(world.points)
    auditor = world.new_renter(tmp_path / "auditor", key=AUDITOR, store=records)
    for appointment in await world.renter.appointments(name):
        await auditor.appointed.take(appointment)
    cheat.serves = False
    for _ in range(8):
        await auditor.tick()
        world.clock.seconds += DAY // 8
    vouched = {rental.id: rental.vouched for rental in await records.rentals()}
    assert vouched.pop(cheated.terms.digest(MARKET)) == 0
    assert set(vouched.values()) == {1}


async def test_a_host_that_says_nowhere_where_its_engine_is_does_not_serve(tmp_path: Path) -> None:
    """Fails: an owner could not fetch from it either; addresses that are none are refused when they are read.

    Cheat: its vouchers. Victim: as above.
    """
    world = World(tmp_path, 6, policy=replace(POLICY, sampled=1000))
    _, cheated, cheat = await kept(world, tmp_path)
    cheat.tells = False
    await world.store.save_rental(replace(await latest(world, cheated), peers=()))
    await days(world, 1)
    assert (await latest(world, cheated)).vouched == 0
    (audit, *_) = [audit for audit in await world.store.audits(cheated.id) if audit.epoch == 0]
    assert "has not said where its engine is" in audit.reason
