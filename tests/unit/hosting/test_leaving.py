"""A host leaves contracts before their end: for nothing with its renter, alone for a price that its owner has seen."""

from __future__ import annotations

import pytest

from node.ports.volumes import VolumeState
from node.services.host.errors import RefusedError, WishError
from node.services.host.hosting import Hosting
from node.services.host.leaving import Departure, Which
from node.storage.lifecycle import State
from node.storage.messages import CancelCall
from tests.unit.hosting.kit import EPOCH, NOW, Bench, proposal
from tests.unit.storage.samples import MARKET, RENTER, Kept
from wallet.storage_terms import Cancel, StorageContract, sign

SHARD = Kept(40_000)
RAIL = "devnet"


def departures_of(bench: Bench) -> Hosting:
    return Hosting(bench.volumes, {RAIL: bench.host}, bench.store)


async def leave(bench: Bench, contract: StorageContract, exit_at: int) -> list[Departure]:
    which = Which(contract=contract.digest(MARKET).hex()[:12])
    departures = departures_of(bench).departures
    plan = await departures.plan(which, exit_at)
    most = sum(departure.fee for departure in plan[RAIL])
    return list((await departures.leave(which, exit_at, {RAIL: most}))[RAIL])


async def prove_on(bench: Bench, contract: StorageContract, first: int, last: int) -> None:
    """Epochs pass in which the renter says nothing."""
    for epoch in range(first, last):
        bench.at(contract, epoch)
        await bench.round()
        bench.clock.time += 60
        await bench.round()


async def test_who_is_not_relieved_in_time_leaves_alone_and_is_paid_for_what_it_kept(bench: Bench) -> None:
    contract = await bench.rented(SHARD, epochs=10)
    bench.at(contract, 1)
    (departure,) = await leave(bench, contract, contract.epoch_start(2) + 5)
    assert departure.alone
    assert (departure.fee, departure.until) == (contract.exit_fee(4), contract.epoch_start(4))
    await prove_on(bench, contract, 1, 2)
    assert "exit" not in bench.market.calls, "its renter has its time"
    await prove_on(bench, contract, 2, 4)
    record = bench.record(contract)
    assert (record.state, record.epochs) == (State.EXITING, 4)
    assert bench.host.earnings().at_stake == contract.collateral - departure.fee
    _, body = await bench.challenge(contract)
    assert body.proofs, "it serves until it may go"
    await prove_on(bench, contract, 4, 6)
    record = bench.record(contract)
    assert record.state is State.COMPLETED
    assert record.claimed == 4 * contract.price_per_epoch, "for all that it kept"
    assert bench.host.earnings().lost == departure.fee == contract.collateral * 6 // 20
    assert bench.market.calls.count("exit") == 1
    assert not await bench.volumes.shards()


async def test_the_price_falls_and_is_never_above_what_the_owner_saw(bench: Bench) -> None:
    contract = await bench.rented(SHARD, epochs=10)
    bench.at(contract, 0)
    hosting = departures_of(bench)
    which = Which(every=True)
    fees = [(await hosting.departures.plan(which, contract.epoch_start(epoch)))[RAIL][0].fee for epoch in range(1, 8)]
    assert fees == sorted(fees, reverse=True)
    assert fees[-1] == contract.exit_fee(9)
    (never,) = (await hosting.departures.plan(which, 0))[RAIL]
    assert (never.alone, never.fee, never.until) == (False, 0, contract.end)
    (late,) = (await hosting.departures.plan(which, contract.epoch_start(8)))[RAIL]
    assert (late.alone, late.fee) == (False, 0), "the last two epochs are served in any case"
    with pytest.raises(WishError, match="more than was agreed"):
        await hosting.departures.leave(which, contract.epoch_start(1), {RAIL: fees[0] - 1})
    assert not bench.record(contract).leaving


async def test_a_renter_that_lets_go_costs_nothing_and_pays_for_what_was_kept(bench: Bench) -> None:
    contract = await bench.rented(SHARD, epochs=10)
    bench.at(contract, 1)
    await bench.vouch(contract, 2)
    assert bench.host.leaving.until(contract.digest(MARKET)) == 0
    await leave(bench, contract, 0)
    assert bench.host.leaving.until(contract.digest(MARKET)) == contract.end
    wish = Cancel(contract.digest(MARKET), 2)
    await bench.host.cancelling.agree(RENTER.address, CancelCall(wish, sign(MARKET, wish, RENTER)))
    await bench.round(4)
    record = bench.record(contract)
    assert (record.state, record.claimed) == (State.CANCELLED, 2 * contract.price_per_epoch)
    assert bench.host.earnings().lost == 0
    assert "exit" not in bench.market.calls


async def test_a_contract_that_has_not_begun_is_called_off_and_none_follows_one_that_is_left(bench: Bench) -> None:
    contract = await bench.rented(SHARD)
    bench.at(contract, 1)
    await leave(bench, contract, 0)
    await bench.host.tables.quote()
    follower = proposal((await bench.offered(SHARD)).contract, renews=contract.digest(MARKET))
    with pytest.raises(RefusedError, match="gives this shard up"):
        await bench.host.propose(RENTER.address, follower)
    other = Kept(30_000)
    fresh = await bench.rented(other)
    await leave(bench, fresh, bench.clock.wall())
    await bench.round(4)
    assert bench.record(fresh).state is State.CANCELLED
    assert [root for root, _ in await bench.volumes.shards()] == [contract.root]


async def test_a_drained_volume_is_empty_when_its_contracts_are_left(bench: Bench) -> None:
    (volume,) = await bench.volumes.volumes()
    contract = await bench.rented(SHARD, epochs=10)
    bench.at(contract, 0)
    departures = departures_of(bench).departures
    await departures.leave(Which(volume=volume.id), bench.clock.wall(), {RAIL: contract.collateral})
    (volume,) = await bench.volumes.volumes()
    assert volume.state is VolumeState.DRAINING
    await prove_on(bench, contract, 0, 4)
    assert bench.record(contract).state is State.COMPLETED
    await bench.volumes.remove(volume.id)


async def test_the_owner_may_think_again_until_something_has_happened(bench: Bench) -> None:
    contract = await bench.rented(SHARD, epochs=10)
    bench.at(contract, 0)
    await leave(bench, contract, contract.epoch_start(2))
    await bench.restart()
    assert bench.record(contract).leaving == bench.clock.wall(), "a wish outlives the process"
    kept = await departures_of(bench).departures.stay(Which(every=True))
    assert [record.id for record in kept[RAIL]] == [contract.digest(MARKET)]
    await prove_on(bench, contract, 2, 5)
    assert "exit" not in bench.market.calls
    assert bench.host.leaving.until(contract.digest(MARKET)) == 0


async def test_what_is_not_there_cannot_be_left(bench: Bench) -> None:
    departures = departures_of(bench).departures
    for which in (Which(), Which(contract="ab", every=True), Which(contract="ab"), Which(volume="none")):
        with pytest.raises(WishError):
            await departures.plan(which, NOW + EPOCH)
