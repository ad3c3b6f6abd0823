"""A host that is killed anywhere goes on from its store: nothing is signed in two ways, done twice, or lost."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from node.services.host.hosting import Hosting
from node.storage.lifecycle import State
from node.storage.messages import Proposal
from tests.unit.hosting.kit import BOND, Bench, Killed
from tests.unit.storage.samples import RENTER, Kept

SHARD = Kept(40_000)
STEPS = 39
"""Places to die in `live`."""


async def live(bench: Bench, offered: Proposal) -> None:
    """A whole contract, as a renter drives it that repeats what was not answered. Every part may be repeated."""
    contract = offered.contract
    clock = bench.clock
    await bench.host.tables.quote()
    if clock.wall() < contract.start:
        await bench.host.propose(RENTER.address, offered)
        if contract.digest(bench.market.market) not in bench.market.known:
            bench.market.open(contract)
        await bench.round(4)
        bench.at(contract, 0)
    if contract.epoch_at(clock.wall()) == 0:
        if bench.record(contract).voucher < 1:
            await bench.vouch(contract, 1)
        if not bench.market.done:
            bench.market.challenge(contract, 1)
        await bench.round()
        bench.at(contract, 2)
    while clock.time < contract.end + 2 * contract.epoch_length:
        await bench.round()
        clock.time += 60
        await bench.round()
        clock.time += contract.epoch_length - 60
    await bench.round()


@pytest.mark.parametrize("step", range(STEPS))
async def test_a_kill_at_any_step_changes_nothing_of_how_it_ends(step: int, tmp_path: Path) -> None:
    bench = await Bench(tmp_path).open()
    try:
        offered = await bench.offered(SHARD, epochs=3)
        bench.steps_left = step
        with contextlib.suppress(Killed):
            await live(bench, offered)
        assert bench.dead
        bench.dead, bench.steps_left = False, None
        await bench.host.close()
        await bench.restart()
        await live(bench, offered)
        record = bench.record(offered.contract)
        assert record.state is State.COMPLETED
        assert record.claimed == offered.contract.escrow
        assert record.bonds == BOND
        assert len(bench.market.calls) == len(bench.market.done), "each key is one transaction"
        assert bench.market.calls.count("answer") == 1
        assert bench.market.calls.count("prove") == 2
        assert bench.market.calls.count("settle") == 1
        assert not await bench.volumes.shards()
    finally:
        await bench.close()


async def test_every_place_to_die_is_tried(bench: Bench) -> None:
    await live(bench, await bench.offered(SHARD, epochs=3))
    assert bench.steps == STEPS


async def test_a_rail_that_left_the_settings_keeps_its_shards(bench: Bench) -> None:
    contract = await bench.rented(SHARD)
    other = Hosting(bench.volumes, {}, bench.store)
    await other.start()
    assert [root for root, _ in await bench.volumes.shards()] == [contract.root]


async def test_room_that_was_reserved_for_nobody_is_given_back_at_the_start(bench: Bench) -> None:
    await bench.volumes.reserve(b"\x01" * 32, 1000)
    await bench.restart()
    assert not await bench.volumes.shards()
