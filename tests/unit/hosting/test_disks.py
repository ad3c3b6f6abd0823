"""Full, vanished and returned disks: a host says no, says why, and goes on by itself."""

from __future__ import annotations

import pytest

from node.services.host.errors import RefusedError
from tests.unit.hosting.kit import Bench
from tests.unit.storage.samples import RENTER, Kept
from tests.unit.volumes.kit import plug_in, unplug

SHARD = Kept(60_000)


async def test_a_full_volume_takes_no_more_and_serves_what_it_has(bench: Bench) -> None:
    contract = await bench.rented(SHARD)
    (volume,) = await bench.volumes.volumes()
    await bench.volumes.resize(volume.id, 70_000)
    bench.clock.time += 6
    with pytest.raises(RefusedError, match="free"):
        await bench.host.propose(RENTER.address, await bench.offered(Kept(30_000)))
    await bench.challenge(contract)


async def test_a_disk_that_was_away_serves_again_when_it_is_back(bench: Bench) -> None:
    contract = await bench.rented(SHARD)
    unplug(bench.folder / "disk")
    bench.clock.time += 3601
    await bench.round()
    with pytest.raises(RefusedError) as error:
        await bench.challenge(contract)
    assert error.value.code == "unreadable"
    assert "mounted" in "\n".join(await bench.host.why())
    with pytest.raises(RefusedError) as error:
        await bench.host.propose(RENTER.address, await bench.offered(Kept(30_000)))
    assert error.value.code == "closed"
    assert bench.record(contract).damaged == "", "what is away is not damaged"
    plug_in(bench.folder / "disk")
    bench.clock.time += 3601
    await bench.round()
    await bench.challenge(contract)
    assert [reason for reason in await bench.host.why() if "its renter has not paid" not in reason] == []


async def test_a_start_without_the_disk_deletes_nothing_and_goes_on_when_it_is_back(bench: Bench) -> None:
    contract = await bench.rented(SHARD)
    unplug(bench.folder / "disk")
    await bench.restart()
    await bench.round()
    assert not bench.engine.torrents
    plug_in(bench.folder / "disk")
    bench.at(contract, 0)
    await bench.volumes.volumes()
    await bench.round()
    assert len(bench.engine.torrents) == 1
    await bench.challenge(contract)
