"""Bad weather: a full, read-only or vanished disk, a chain that is away. The host says what is wrong and what helps,
loses nothing by it, and goes on by itself when it is over."""

from __future__ import annotations

import errno
import logging

import pytest

from node.ports.volumes import VolumeState
from node.services.host.disks import DiskWatch
from node.services.host.errors import RefusedError
from node.storage.lifecycle import MarketStatus
from tests.unit.hosting.kit import Bench, damage
from tests.unit.storage.samples import MARKET, RENTER, Kept
from tests.unit.volumes.kit import MIB, plug_in, refusing, unplug
from wallet.amount import format_amount
from wallet.chains.base import ChainUnreachableError

SHARD = Kept(60_000)
OTHER = Kept(30_000)


async def why(bench: Bench) -> str:
    return "\n".join(await bench.host.why())


async def propose(bench: Bench, kept: Kept) -> None:
    bench.clock.time += 6  # the disks are looked at again for who asks for the terms
    await bench.host.propose(RENTER.address, await bench.offered(kept))


# --- full -------------------------------------------------------------------------------------------------------------


async def test_a_full_volume_is_named_with_what_helps_and_a_larger_quota_is_offered_at_once(bench: Bench) -> None:
    contract = await bench.rented(SHARD)
    (volume,) = await bench.volumes.volumes()
    await bench.volumes.resize(volume.id, 70_000)
    with pytest.raises(RefusedError, match="free"):
        await propose(bench, OTHER)
    assert f"volume {volume.path} is full" in await why(bench)
    assert f"`bttnode host volume resize {volume.id} --quota SIZE`" in await why(bench)
    await bench.challenge(contract)
    await bench.volumes.resize(volume.id, 64 * MIB)
    await propose(bench, OTHER)
    assert "is full" not in await why(bench)


async def test_a_disk_filled_by_others_is_told_from_a_quota_that_is_reached(bench: Bench) -> None:
    contract = await bench.rented(SHARD)
    bench.free = lambda disk: 5_000
    with pytest.raises(RefusedError, match="free"):
        await propose(bench, OTHER)
    assert "its disk has 4.88 KiB left" in await why(bench)
    assert "make room on it" in await why(bench)
    await bench.challenge(contract)


async def test_a_disk_without_a_byte_left_is_full_and_not_sick(bench: Bench) -> None:
    contract = await bench.rented(SHARD)
    with refusing(bench.folder / "disk", errno.ENOSPC):
        await bench.round()
        assert "is full: its disk has 0 B left" in await why(bench)
        with pytest.raises(RefusedError):
            await propose(bench, OTHER)
        await bench.challenge(contract)
    await propose(bench, OTHER)


# --- read-only --------------------------------------------------------------------------------------------------------


async def test_a_read_only_disk_takes_nothing_new_and_serves_what_it_has(bench: Bench) -> None:
    contract = await bench.rented(SHARD)
    with refusing(bench.folder / "disk", errno.EROFS):
        await bench.round()
        assert "takes no new shards" in await why(bench)
        assert "Read-only file system" in await why(bench)
        assert "drained" not in await why(bench)
        with pytest.raises(RefusedError):
            await propose(bench, OTHER)
        await bench.challenge(contract)
    await propose(bench, OTHER)


async def test_a_contract_that_ends_on_a_read_only_disk_does_not_make_the_others_suspect(bench: Bench) -> None:
    kept, ended = await bench.rented(SHARD), await bench.rented(OTHER)
    with refusing(bench.folder / "disk", errno.EROFS):
        bench.market.known[ended.digest(MARKET)].status = MarketStatus.CANCELLED
        bench.clock.time += 200
        await bench.round()
        assert not bench.record(ended).live
        (volume,) = await bench.volumes.volumes()
        assert (volume.state, volume.shards) == (VolumeState.READ_ONLY, 2)
        await bench.challenge(kept)
    await bench.round()
    assert [root for root, _ in await bench.volumes.shards()] == [kept.root], "deleted when it could be"


# --- vanished ---------------------------------------------------------------------------------------------------------


async def test_a_host_that_starts_without_its_disk_promises_nothing_new(bench: Bench) -> None:
    contract = await bench.rented(SHARD)
    spare = bench.folder / "spare"
    spare.mkdir()
    await bench.volumes.add(spare, 1 << 30)
    unplug(bench.folder / "disk")
    await bench.restart()
    await bench.round()
    with pytest.raises(RefusedError) as error:
        await propose(bench, OTHER)
    assert error.value.code == "closed"
    assert "is its disk mounted?" in await why(bench)
    plug_in(bench.folder / "disk")
    await bench.round()
    assert all(reason.startswith("an offer was refused") for reason in await bench.host.why()), "at once"
    await bench.challenge(contract)
    await propose(bench, OTHER)


async def test_a_challenge_that_a_vanished_disk_cannot_answer_is_told_with_its_price_and_answered_in_time(
    bench: Bench,
) -> None:
    contract = await bench.rented(SHARD)
    told: list[str] = []
    bench.host.on_fault = told.append
    bench.at(contract, 0)
    unplug(bench.folder / "disk")
    bench.market.challenge(contract, 1)
    await bench.round()
    bench.clock.time += 120
    await bench.round()
    (alarm,) = told
    assert f"its collateral of {format_amount(contract.collateral)} is lost" in alarm
    assert (await bench.host.why())[0].startswith(f"contract {contract.digest(MARKET).hex()[:12]} is challenged")
    plug_in(bench.folder / "disk")
    await bench.round()
    assert bench.market.calls == ["answer"]
    assert "challenged" not in await why(bench)


async def test_a_challenge_of_a_damaged_shard_is_told_with_its_price(bench: Bench) -> None:
    contract = await bench.rented(SHARD)
    bench.at(contract, 0)
    damage(bench, contract, 0)
    with pytest.raises(RefusedError):
        await bench.challenge(contract, 4)
    told: list[str] = []
    bench.host.on_fault = told.append
    bench.market.challenge(contract, 1)
    bench.clock.time += 120
    await bench.round()
    assert any("is challenged on chain: unless its shard can be read" in text for text in told)


async def test_disks_that_go_and_come_are_told_once_each(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    await bench.rented(SHARD)
    watch, told = DiskWatch(bench.volumes), list[str]()
    watch.on_fault = told.append
    with caplog.at_level(logging.INFO, "node.services.host.disks"):
        await watch.look()
        for change in (unplug, plug_in):
            change(bench.folder / "disk")
            await watch.look()
            await watch.look()
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]
    assert told == [caplog.messages[0]]
    assert "serves nothing" in told[0]


# --- the chain --------------------------------------------------------------------------------------------------------


async def test_a_chain_that_is_away_is_told_once_and_audits_and_vouchers_go_on(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    contract = await bench.rented(SHARD)
    bench.at(contract, 1)
    bench.market.away = ChainUnreachableError("nobody answers")
    with caplog.at_level(logging.INFO, "node.services.host.host"):
        await bench.round(3)
        assert "the chain does not answer" in await why(bench)
        await bench.challenge(contract)
        await bench.vouch(contract, 2)
        bench.market.away = None
        bench.clock.time += 120
        await bench.round(3)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "the chain does not answer" not in await why(bench)
