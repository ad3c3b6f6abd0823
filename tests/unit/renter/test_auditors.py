"""An auditor stands in for a renter who is away: it challenges, vouches, and keeps evidence."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from node.ports.renting import FOR_OTHERS, Stage
from node.services.renter.errors import RequestError, UnknownObjectError
from node.services.renter.keeper import Renter, StoreRequest
from node.storage.audit import Verdict
from node.storage.errors import EvidenceError, MessageError
from node.storage.evidence import Evidence, check
from node.storage.lifecycle import MarketStatus, State
from node.storage.messages import Appointment
from node.storage.terms import DAY
from tests.unit.packing.kit import make_tree
from tests.unit.renter.ground import MARKET, POLICY, RAIL, MemoryRenterStore
from tests.unit.renter.kit import World
from wallet.keys import PrivateKey
from wallet.storage_terms import Voucher, verify

AUDITOR = PrivateKey(b"\x03" * 32)
MINUTES = 120


async def appointed(tmp_path: Path) -> tuple[World, list[Appointment]]:
    world = World(tmp_path, 3)
    source = make_tree(tmp_path / "source", {"z": 300_000})
    made = await world.renter.store(StoreRequest(path=source, k=1, n=2, days=10, auditor=AUDITOR.address))
    await world.until(lambda: world.store.kept[made.id].stage is Stage.KEPT)
    world.clock.seconds = max(rental.terms.start for rental in await world.store.rentals())
    return world, list(await world.renter.appointments(made.id))


async def test_an_auditor_vouches_while_the_renter_is_away(tmp_path: Path) -> None:
    world, appointments = await appointed(tmp_path)
    assert len(appointments) == 2
    store = MemoryRenterStore(world.points)
    auditor = world.new_renter(tmp_path / "auditor", key=AUDITOR, store=store)
    for appointment in appointments:
        read = Appointment.parse(json.loads(json.dumps(appointment.body())))
        first = await auditor.appointed.take(read)
        assert await auditor.appointed.take(read) == first
    for _ in range(3 * DAY // MINUTES):
        await auditor.tick()
        world.clock.seconds += MINUTES
    rentals = await store.rentals(FOR_OTHERS)
    assert [rental.vouched for rental in rentals] == [3, 3]
    for rental in rentals:
        verify(MARKET, Voucher(rental.id, 3), rental.voucher_signature, AUDITOR.address)
        held = next(host for host in world.hosts if rental.id in host.contracts)
        assert held.vouchers[rental.id] == 3
        *_, latest = await store.audits(rental.id)
        assert check(Evidence.decode(latest.evidence)).witness == AUDITOR.address
    assert all(rental.vouched == 0 for rental in await world.store.rentals())


async def test_plans_of_one_round_outlive_those_of_another(tmp_path: Path) -> None:
    world, appointments = await appointed(tmp_path)
    store = MemoryRenterStore(world.points)
    auditor = world.new_renter(tmp_path / "auditor", key=AUDITOR, store=store)
    for appointment in appointments:
        await auditor.appointed.take(appointment)
    for host in world.hosts:
        host.alive = False
    for _ in range(DAY // 600):
        await auditor.tick()
        world.clock.seconds += 600
    for rental in await store.rentals(FOR_OTHERS):
        assert 1 <= len(await store.audits(rental.id)) < 30


async def test_only_who_is_named_and_only_what_both_signed(tmp_path: Path) -> None:
    world, (appointment, _) = await appointed(tmp_path)
    auditor = world.new_renter(tmp_path / "auditor", key=AUDITOR, store=MemoryRenterStore(world.points))
    with pytest.raises(RequestError, match="not this node"):
        await world.renter.appointed.take(appointment)
    with pytest.raises(RequestError, match="not signed"):
        await auditor.appointed.take(replace(appointment, host_signature=appointment.renter_signature))
    elsewhere = replace(MARKET, chain_id=7)
    with pytest.raises(RequestError, match="no rail"):
        await auditor.appointed.take(replace(appointment, market=elsewhere))
    with pytest.raises(MessageError, match="url"):
        Appointment.parse(appointment.body() | {"url": "file:///etc/passwd"})


async def pass_hours(world: World, node: Renter, hours: int) -> None:
    for _ in range(hours):
        for _ in range(3):
            await node.tick()
        world.clock.seconds += 3600


@pytest.mark.parametrize(("limit", "most"), [(499, 8), (500, 0), (500, 8)])
async def test_an_auditor_disputes_silence_with_its_own_bond_and_within_its_limits(
    tmp_path: Path, limit: int, most: int
) -> None:
    world, appointments = await appointed(tmp_path)
    world.policy = replace(POLICY, max_bond=limit, most_open=most)
    store = MemoryRenterStore(world.points)
    auditor = world.new_renter(tmp_path / "auditor", key=AUDITOR, store=store)
    first, second = [await auditor.appointed.take(appointment) for appointment in appointments]
    lost = next(host for host in world.hosts if host.key.address == first.terms.host)
    lost.alive = False
    before, deposits = world.market.free, len(world.market.deposits)
    await pass_hours(world, auditor, 24 * 5)
    entry = world.market.entries[first.id]
    if limit < 500 or not most:
        assert (entry.status, world.market.challenges) == (MarketStatus.ACTIVE, {})
        return
    assert entry.status is MarketStatus.FAILED
    assert world.market.slashed == first.terms.collateral
    assert list(world.market.challenges) == [first.id], "once, and only the silent one"
    assert len(world.market.deposits) - deposits == (before < 500)
    assert world.market.bonds == 0
    kept = {rental.id: rental for rental in await store.rentals(FOR_OTHERS)}
    assert (kept[first.id].state, kept[second.id].state) == (State.FAILED, State.ACTIVE)
    asked = len(world.api.asked)
    lost.alive = True
    await pass_hours(world, auditor, 24)
    assert (lost.key.address, "challenge") not in world.api.asked[asked:], "what has ended is watched no more"
    world.check_books()


async def test_contracts_that_ran_their_term_are_let_go(tmp_path: Path) -> None:
    world, appointments = await appointed(tmp_path)
    store = MemoryRenterStore(world.points)
    auditor = world.new_renter(tmp_path / "auditor", key=AUDITOR, store=store)
    for appointment in appointments:
        await auditor.appointed.take(appointment)
    for entry in world.market.entries.values():
        entry.status = MarketStatus.COMPLETED
    await pass_hours(world, auditor, 12)
    assert {rental.state for rental in await store.rentals(FOR_OTHERS)} == {State.COMPLETED}


async def test_a_renter_that_is_back_takes_its_auditors_evidence_and_acts_on_it(tmp_path: Path) -> None:
    world, appointments = await appointed(tmp_path)
    store = MemoryRenterStore(world.points)
    auditor = world.new_renter(tmp_path / "auditor", key=AUDITOR, store=store)
    given = [await auditor.appointed.take(appointment) for appointment in appointments]
    liar = next(host for host in world.hosts if host.key.address == given[0].terms.host)
    liar.corrupt(given[0].terms.root)
    await pass_hours(world, auditor, 24)
    found = [judged async for judged in auditor.evidence.verdicts() if judged.audit.verdict is Verdict.WRONG]
    (wrong,) = found
    bundle = await auditor.evidence.bundle(wrong.rental.id, wrong.audit.at)
    taken = await world.renter.evidence.take(bundle)
    assert taken.rental.convicted
    assert world.store.known[RAIL, liar.key.address].wrong == 1
    await world.renter.evidence.take(bundle)
    assert world.store.known[RAIL, liar.key.address].wrong == 1, "the same evidence counts once"
    mine = [judged.audit async for judged in world.renter.evidence.verdicts(taken.rental.object[:6])]
    assert any(AUDITOR.address.evm in audit.reason and audit.evidence == bundle for audit in mine)
    await world.until(
        lambda: any(
            rental.shard == taken.rental.shard and rental.state is State.ACTIVE and not rental.convicted
            for rental in world.store.contracts.values()
        )
    )
    for forged in (bundle[:-1], b"", bundle.replace(b"5:wrong", b"6:silent")):
        with pytest.raises(EvidenceError):
            await world.renter.evidence.take(forged)
    with pytest.raises(RequestError, match="nothing that is stored here"):
        await auditor.evidence.take(bundle)
    with pytest.raises(UnknownObjectError):
        await auditor.evidence.bundle(wrong.rental.id, 1)


async def test_an_answer_on_chain_is_forgiven_and_new_silence_is_disputed_anew(tmp_path: Path) -> None:
    world, appointments = await appointed(tmp_path)
    store = MemoryRenterStore(world.points)
    auditor = world.new_renter(tmp_path / "auditor", key=AUDITOR, store=store)
    first = await auditor.appointed.take(appointments[0])
    next(host for host in world.hosts if host.key.address == first.terms.host).alive = False
    entry = world.market.entries[first.id]
    while not entry.answer_by:
        await pass_hours(world, auditor, 1)
    entry.answer_by = 0  # from another machine, which audits do not reach
    await pass_hours(world, auditor, 4)
    (kept,) = await store.rentals(FOR_OTHERS)
    assert (kept.state, kept.missed) == (State.ACTIVE, 0)
    before = world.clock.seconds
    while not entry.answer_by:
        await pass_hours(world, auditor, 1)
    assert world.clock.seconds - before > (POLICY.patience - 1) * 24 * 3600
