"""An auditor stands in for a renter who is away: it challenges, vouches, and keeps evidence."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from node.ports.renting import FOR_OTHERS, Stage
from node.services.renter.errors import RequestError
from node.services.renter.keeper import StoreRequest
from node.storage.errors import MessageError
from node.storage.evidence import Evidence, check
from node.storage.messages import Appointment
from node.storage.terms import DAY
from tests.unit.packing.kit import make_tree
from tests.unit.renter.kit import MARKET, MemoryRenterStore, World
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
        first = await auditor.audit(read)
        assert await auditor.audit(read) == first
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
        await auditor.audit(appointment)
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
        await world.renter.audit(appointment)
    with pytest.raises(RequestError, match="not signed"):
        await auditor.audit(replace(appointment, host_signature=appointment.renter_signature))
    elsewhere = replace(MARKET, chain_id=7)
    with pytest.raises(RequestError, match="no rail"):
        await auditor.audit(replace(appointment, market=elsewhere))
    with pytest.raises(MessageError, match="url"):
        Appointment.parse(appointment.body() | {"url": "file:///etc/passwd"})
