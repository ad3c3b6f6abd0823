"""What hosting brought adds up, and a host that does not earn is told why."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from node.services.host.books import Earnings
from node.services.host.terms import shard_in
from node.storage.lifecycle import ENDS, State
from node.storage.merkle import TreeLayout
from tests.unit.hosting.kit import Bench
from tests.unit.hosting.test_duties import TERMS, record
from tests.unit.storage.samples import HOST, Kept
from wallet.chains.base import ChainUnreachableError


@given(st.sampled_from(State), st.integers(0, 6), st.integers(0, 2**6 - 1))
def test_earned_is_claimed_and_pending_and_never_more_than_the_escrow(state: State, voucher: int, paid: int) -> None:
    found = Earnings.of(replace(record(voucher=voucher), state=state, paid=paid))
    assert 0 <= found.claimed <= found.earned <= TERMS.escrow
    assert found.claimed + found.pending == found.earned
    assert found.earned + found.expected <= TERMS.escrow
    if state in ENDS:
        assert found.pending == found.expected == found.at_stake == 0
    assert found.lost == (TERMS.collateral if state is State.FAILED else 0)


@given(st.integers(0, 2**45))
def test_the_free_space_that_is_quoted_really_fits(room: int) -> None:
    length = shard_in(room)
    if length:
        assert length + TreeLayout(length).size <= room


async def test_an_idle_host_is_told_what_is_missing(bench: Bench) -> None:
    (volume,) = await bench.volumes.volumes()
    await bench.volumes.remove(volume.id)
    bench.market.balances[HOST.address] = 0
    await bench.round()
    found = "\n".join(await bench.host.why())
    for part in ("there is no volume", "collateral", "no contract is running", "no new contracts", "made an offer"):
        assert part in found


async def test_a_silent_renter_and_a_chain_that_is_away_are_named(bench: Bench) -> None:
    contract = await bench.rented(Kept(20_000))
    bench.at(contract, 3)
    bench.market.away = ChainUnreachableError("nobody answers")
    await bench.round()
    found = "\n".join(await bench.host.why())
    assert "has not paid the last 3 epochs" in found
    assert "nobody answers" in found


async def test_a_proof_that_costs_more_than_its_epoch_brings_is_left_out_and_told(bench: Bench) -> None:
    contract = await bench.rented(Kept(20_000))
    bench.fees.units = contract.price_per_epoch
    bench.at(contract, 1)
    await bench.round()
    assert bench.market.calls == []
    assert "above" in "\n".join(await bench.host.why())


async def test_a_chain_that_was_down_for_an_epoch_loses_that_proof_and_no_other(bench: Bench) -> None:
    contract = await bench.rented(Kept(20_000))
    for epoch in range(1, contract.epochs + 2):
        bench.at(contract, epoch)
        bench.market.away = ChainUnreachableError("nobody answers") if epoch == 2 else None
        await bench.round()
        bench.clock.time += 120
        await bench.round()
    bench.at(contract, contract.epochs + 2)
    await bench.round()
    assert bench.record(contract).claimed == contract.escrow - contract.price_per_epoch
