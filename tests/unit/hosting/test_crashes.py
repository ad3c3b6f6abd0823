"""A host that is killed anywhere goes on from its store: nothing is signed in two ways, done twice, or lost."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from node.services.host.hosting import Hosting
from node.services.host.leaving import Which
from node.storage.lifecycle import State
from node.storage.messages import Proposal
from tests.unit.hosting.kit import BOND, Bench, Killed
from tests.unit.storage.samples import RENTER, Kept

SHARD = Kept(40_000)
STEPS = 39
"""Places to die in `live`."""
LEAVING_STEPS = 26
"""Places to die in `depart`."""


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


async def depart(bench: Bench, offered: Proposal) -> None:
    """A contract that its host leaves alone in epoch 2, after its renter did nothing."""
    contract = offered.contract
    hosting = Hosting(bench.volumes, {"devnet": bench.host}, bench.store)
    if not bench.record(contract).leaving:
        await hosting.departures.leave(Which(every=True), contract.epoch_start(2), {"devnet": contract.exit_fee(4)})
    while bench.clock.time < contract.epoch_start(4) + 2 * contract.epoch_length:
        await bench.round()
        bench.clock.time += 60
        await bench.round()
        bench.clock.time += contract.epoch_length // 2 - 60
    await bench.round()


async def begin(bench: Bench) -> Proposal:
    """Its renter has paid for what was kept so far."""
    offered = await bench.offered(SHARD, epochs=6)
    contract = offered.contract
    await bench.host.propose(RENTER.address, offered)
    bench.market.open(contract)
    await bench.round(4)
    bench.at(contract, 1, 0.1)
    await bench.vouch(contract, 2)
    await bench.round()
    return offered


@pytest.mark.parametrize("step", range(LEAVING_STEPS))
async def test_a_kill_at_any_step_of_leaving_costs_the_same(step: int, bench: Bench) -> None:
    offered = await begin(bench)
    bench.steps_left = step
    with contextlib.suppress(Killed):
        await depart(bench, offered)
    assert bench.dead
    bench.dead, bench.steps_left = False, None
    await bench.host.close()
    await bench.restart()
    await depart(bench, offered)
    record, contract = bench.record(offered.contract), offered.contract
    assert record.state is State.COMPLETED
    assert record.epochs == 4
    assert record.claimed == 4 * contract.price_per_epoch
    assert bench.host.earnings().lost == contract.exit_fee(4)
    assert bench.market.calls.count("exit") == 1
    assert not await bench.volumes.shards()


async def test_every_place_to_die_while_leaving_is_tried(bench: Bench) -> None:
    offered = await begin(bench)
    before = bench.steps
    await depart(bench, offered)
    assert bench.steps - before == LEAVING_STEPS


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
