"""From offer to end: a host signs, fetches, answers, is paid, and cleans up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.ports.events import TorrentFailed, TorrentFault
from node.services.host.errors import RefusedError
from node.storage.audit import Answer, Verdict, judge
from node.storage.lifecycle import State
from tests.unit.hosting.kit import BOND, EPOCH, Bench, proposal
from tests.unit.storage.samples import HOST, MARKET, RENTER, Kept

SHARD = Kept(100_000)


async def test_a_contract_lives_from_offer_to_end_and_is_paid_to_the_unit(bench: Bench) -> None:
    contract = await bench.rented(SHARD)
    record = bench.record(contract)
    assert (record.state, record.whole) == (State.ACTIVE, True)
    for epoch in range(contract.epochs):
        bench.at(contract, epoch)
        challenge, body = await bench.challenge(contract)
        answer = Answer(challenge.digest(MARKET), body.proofs)
        finding = judge(MARKET, contract, challenge, answer, body.signature, bench.clock.wall())
        assert finding.verdict is Verdict.PASSED
        assert await bench.vouch(contract, epoch + 1) == contract.price_per_epoch
        await bench.round()
    bench.at(contract, contract.epochs)
    await bench.round()
    record = bench.record(contract)
    assert (record.state, record.claimed, record.audits) == (State.COMPLETED, contract.escrow, contract.epochs)
    assert bench.host.earnings().claimed == contract.escrow
    assert not bench.engine.torrents
    assert not await bench.volumes.shards()
    assert "begin" not in bench.market.calls, "a renter that pays costs no proof"


async def test_an_end_is_booked_as_soon_as_it_is_final(bench: Bench) -> None:
    contract = await bench.rented(SHARD)
    bench.at(contract, contract.epochs - 1)
    await bench.vouch(contract, contract.epochs)
    bench.at(contract, contract.epochs)
    bench.market.unfinal = True
    await bench.round()
    assert bench.record(contract).claimed == 0
    bench.market.unfinal = False
    await bench.round()  # no second has passed
    record = bench.record(contract)
    assert (record.state, record.claimed) == (State.COMPLETED, contract.escrow)


async def test_a_silent_renter_is_answered_with_proofs_on_chain(bench: Bench) -> None:
    contract = await bench.rented(SHARD)
    for epoch in range(1, contract.epochs + 1):
        bench.at(contract, epoch)
        await bench.round()
        bench.clock.time += 60
        await bench.round()
    bench.at(contract, contract.epochs + 1)
    await bench.round()
    record = bench.record(contract)
    assert bench.market.calls == ["begin", "prove"] * contract.epochs + ["close"]
    assert (record.state, record.claimed) == (State.COMPLETED, contract.escrow)


async def test_a_challenge_on_chain_is_answered_and_its_bond_booked_once(bench: Bench) -> None:
    contract = await bench.rented(SHARD)
    bench.at(contract, 0)
    bench.market.challenge(contract, 5)
    await bench.round()
    assert bench.market.calls == ["answer"]
    assert bench.record(contract).bonds == BOND
    assert bench.record(contract).state is State.ACTIVE


async def test_a_shard_that_does_not_come_is_called_off_before_the_start(bench: Bench) -> None:
    offered = await bench.offered(SHARD)
    bench.engine.swarm.clear()
    await bench.host.propose(RENTER.address, offered)
    bench.market.open(offered.contract)
    await bench.round()
    assert bench.record(offered.contract).state is State.UPLOADING
    bench.clock.time = offered.contract.start - 200
    await bench.round()
    assert bench.market.calls == ["call_off"]
    assert bench.record(offered.contract).state is State.CANCELLED
    assert not await bench.volumes.shards()


async def test_an_offer_that_is_never_opened_gives_its_room_back(bench: Bench) -> None:
    offered = await bench.offered(SHARD)
    await bench.host.propose(RENTER.address, offered)
    assert len(await bench.volumes.shards()) == 1
    bench.fees.units = offered.contract.collateral + 1
    bench.clock.time = offered.contract.start - 10
    await bench.round()
    assert bench.market.calls == [], "calling it off would cost more than it could"
    bench.clock.time = offered.contract.start + 599
    await bench.round()
    assert bench.record(offered.contract).state is State.SIGNED
    bench.clock.time += 1
    await bench.round()
    assert bench.record(offered.contract).state is State.LAPSED
    assert not await bench.volumes.shards()


async def test_an_offer_cannot_be_opened_when_no_time_is_left_to_fetch_its_shard(bench: Bench) -> None:
    offered = await bench.offered(SHARD)
    await bench.host.propose(RENTER.address, offered)
    bench.clock.time = offered.contract.start - 100
    await bench.round()
    assert bench.market.calls == ["call_off"]
    assert bench.record(offered.contract).state is State.CANCELLED


async def test_nothing_is_fetched_before_the_renter_has_locked_its_money(bench: Bench) -> None:
    offered = await bench.offered(SHARD)
    await bench.host.propose(RENTER.address, offered)
    await bench.round()
    assert not bench.engine.torrents


async def test_a_restarted_host_serves_and_answers_by_itself(bench: Bench) -> None:
    contract = await bench.rented(SHARD)
    bench.at(contract, 0)
    await bench.restart()
    await bench.round()
    (request,) = bench.engine.torrents.values()
    assert request.seed_mode
    challenge, body = await bench.challenge(contract)
    assert len(body.proofs) == len(challenge.indices)


async def test_a_renewal_keeps_the_shard_when_the_first_contract_ends(bench: Bench) -> None:
    contract = await bench.rented(SHARD, epochs=2)
    bench.at(contract, 1)
    await bench.vouch(contract, 2)
    again = replace(contract, start=contract.end, nonce=99)
    await bench.host.tables.quote()
    await bench.host.propose(RENTER.address, proposal(again, contract.digest(MARKET)))
    bench.market.open(again)
    await bench.round()
    bench.clock.time = again.start + EPOCH / 2
    await bench.round()
    assert bench.record(contract).state is State.COMPLETED
    assert bench.record(again).state is State.ACTIVE
    assert len(await bench.volumes.shards()) == 1
    assert len(bench.engine.torrents) == 1
    await bench.challenge(again)


async def test_the_same_proposal_again_brings_the_same_signature(bench: Bench) -> None:
    offered = await bench.offered(SHARD)
    first = await bench.host.propose(RENTER.address, offered)
    await bench.restart()
    assert await bench.host.propose(RENTER.address, offered) == first
    assert first.signature == HOST.sign_digest(offered.contract.digest(MARKET))


async def test_one_shard_is_not_taken_for_two_contracts(bench: Bench) -> None:
    await bench.host.propose(RENTER.address, await bench.offered(SHARD))
    with pytest.raises(RefusedError, match="another contract"):
        await bench.host.propose(RENTER.address, await bench.offered(SHARD))


async def test_a_contract_whose_opening_was_taken_back_ends_and_gives_its_room_back(bench: Bench) -> None:
    contract = await bench.rented(SHARD)
    del bench.market.known[contract.digest(MARKET)]
    bench.clock.time = contract.start + 601
    await bench.round()
    assert bench.record(contract).state is State.LAPSED
    assert not await bench.volumes.shards()


async def test_a_shard_that_its_engine_gave_up_is_named_and_taken_up_again(bench: Bench) -> None:
    contract = await bench.rented(SHARD)
    (name,) = bench.engine.torrents
    bench.engine.failed.add(name)
    bench.host.handle(TorrentFailed(name, TorrentFault.DISK, "input/output error"))
    assert any("input/output error" in reason for reason in await bench.host.why())
    bench.at(contract, 0)
    await bench.round()
    assert not bench.engine.failed
    assert not any("input/output error" in reason for reason in await bench.host.why())
