"""A disk that changes what it holds is found by its owner, before it is found by others."""

from __future__ import annotations

import pytest

from node.ports.volumes import VolumeState
from node.services.host.errors import RefusedError
from node.services.host.hosting import Hosting
from tests.unit.hosting.kit import Bench, damage
from tests.unit.storage.samples import RENTER, Kept

SHARD = Kept(60_000)
OTHER = Kept(30_000)


async def test_a_self_check_finds_damage_stops_the_host_and_says_so(bench: Bench) -> None:
    contract = await bench.rented(SHARD)
    damage(bench, contract, 2)
    told: list[str] = []
    bench.host.on_fault = told.append
    bench.clock.time += 3601
    await bench.round()
    assert bench.record(contract).damaged
    assert not bench.engine.torrents, "what is damaged is not served"
    assert "host volume check" in told[0]
    (volume,) = await bench.volumes.volumes()
    assert volume.state is VolumeState.SICK
    with pytest.raises(RefusedError) as error:
        await bench.host.propose(RENTER.address, await bench.offered(OTHER))
    assert error.value.code == "closed"
    assert any("damaged" in reason for reason in await bench.host.why())


async def test_damage_never_leaves_the_house_as_evidence(bench: Bench) -> None:
    contract = await bench.rented(SHARD)
    damage(bench, contract, 0)
    with pytest.raises(RefusedError) as error:
        await bench.challenge(contract, 4)
    assert error.value.code == "unreadable"
    assert "changed" not in str(error.value)


async def test_a_repaired_disk_is_read_anew_and_serves_again(bench: Bench) -> None:
    contract = await bench.rented(SHARD)
    damage(bench, contract, 1)
    with pytest.raises(RefusedError):
        await bench.challenge(contract, 4)
    await bench.round()
    (volume,) = await bench.volumes.volumes()
    hosting = Hosting(bench.volumes, {"rail": bench.host}, bench.store)
    assert (await hosting.check(volume.id))[1] == [], "it is still damaged"
    await bench.round()
    damage(bench, contract, 1)  # turns the bit back
    info, healed = await hosting.check(volume.id)
    assert (info.state, [record.id for record in healed]) == (VolumeState.ONLINE, [bench.record(contract).id])
    await bench.round()
    assert len(bench.engine.torrents) == 1
    await bench.challenge(contract, 4)


async def test_vouchers_are_settled_before_a_challenge_that_cannot_be_answered_voids_them(bench: Bench) -> None:
    contract = await bench.rented(SHARD)
    bench.fees.units = 10**40  # nothing would be settled for its own sake
    bench.at(contract, 1)
    await bench.vouch(contract, 2)
    damage(bench, contract, 0)
    with pytest.raises(RefusedError):
        await bench.challenge(contract, 4)
    await bench.round()
    assert bench.market.calls == []
    bench.market.challenge(contract, 0)
    bench.clock.time += 101
    await bench.round()
    assert bench.market.calls == ["settle"]
    assert bench.market.paid(contract) == 0b11
