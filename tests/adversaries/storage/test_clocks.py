"""Clocks that are wrong, and moments at which it matters who comes first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.services.host.duties import MARGIN, Action, closable_at, duties
from node.services.host.errors import RefusedError
from node.storage.messages import CancelCall
from node.storage.terms import DAY, MAX_LEAD, MIN_LEAD
from tests.adversaries.storage.stage import EPOCH, EPOCHS, stage
from tests.conformance.storage_kit import BOND
from tests.contracts.storage.bench import ANSWER_PERIOD, StorageBench, Terms, refused
from tests.contracts.storage.bench import EPOCH as SHORT
from tests.contracts.storage.case import AUDITOR, COLLATERAL, HOST, PRICE, SHARD, balances, go_to_epoch
from tests.contracts.storage.case import RENTER as CHAIN_RENTER
from tests.unit.hosting.kit import Bench, proposal
from tests.unit.hosting.test_duties import MASKS, MOMENTS, TERMS, on_chain, record
from tests.unit.storage.samples import MARKET, RENTER, Kept
from wallet.storage_terms import Cancel, sign

KEPT = Kept(40_000)
HOUR = 3600
PRODUCER = 15
"""Seconds by which who makes a block may shift its time."""


@pytest.mark.parametrize(
    ("wrong", "looks"),
    [({"host": -3, "other": 3}, (0.25, 0.26, 0.8)), ({"renter": -3}, (0.5, 0.51)), ({"renter": 3}, (0.5, 0.51))],
    ids=["hosts", "renter behind", "renter ahead"],
)
async def test_a_clock_that_is_hours_wrong_costs_its_owner_bonds_and_fees_at_most(
    tmp_path: Path, wrong: dict[str, int], looks: tuple[float, ...]
) -> None:
    """Fails: beyond a minute no call between the two counts, so there are no vouchers; but the chain's clock is one.

    Whose clock is wrong: a host, the fees of proving every epoch; a renter, that and a bond per epoch, for challenges
    of a host that seems silent. The other side: the same fees if it is the host, which the bonds outweigh; the bonds if
    it is the renter. Nobody loses escrow or collateral, as long as a clock is off by less than half an epoch.
    """
    async with stage(tmp_path) as made:
        rentals = await made.stored()
        made.clock.skew = wrong.get("renter", 0) * HOUR
        for landlord, who in zip(made.landlords, ("host", "other"), strict=True):
            landlord.clock.skew = wrong.get(who, 0) * HOUR
        for epoch in range(EPOCHS + 1):
            for part in looks:
                await made.go_to(rentals[0].terms.epoch_start(epoch) + int(part * EPOCH), step=EPOCH)
        await made.turn(120)
        await made.go_to(rentals[0].terms.end + 2 * EPOCH, step=EPOCH)
        answers = 0
        for rental in rentals:
            landlord = made.landlord(rental)
            answered = sum(done.startswith("answer") for done in landlord.transactions)
            assert await made.gain(landlord.address) == rental.terms.escrow + answered * BOND
            answers += answered
        assert 1 <= answers <= EPOCHS * len(rentals)
        assert await made.gain(made.renter_address) == -sum(rental.terms.escrow for rental in rentals) - answers * BOND


@pytest.mark.parametrize("start", [-10 * DAY, -1, 0, MIN_LEAD - 1, MAX_LEAD + 1, 365 * DAY])
async def test_an_offer_that_starts_in_the_past_or_in_a_far_future_gets_no_signature(host: Bench, start: int) -> None:
    """Fails: before anything is reserved. Cheat (a renter): nothing gained. Victim (the host): nothing."""
    offered = await host.offered(KEPT)
    moved = proposal(replace(offered.contract, start=host.clock.wall() + start))
    with pytest.raises(RefusedError) as error:
        await host.host.propose(RENTER.address, moved)
    assert error.value.code == "terms"
    assert (list(host.host.contracts), await host.volumes.shards()) == ([], [])


async def test_an_end_agreed_in_the_last_second_of_an_epoch_pays_the_next_one_too(host: Bench) -> None:
    """Fails: the host agrees to no less than what will have begun when the cancellation is in a block.

    Cheat (a renter that keeps the signature for later): pays one epoch more than has begun. Victim (the host): nothing,
    as it brings the cancellation itself.
    """
    contract = await host.rented(KEPT)
    host.clock.time = contract.epoch_start(2) - 1
    await host.vouch(contract, 2)

    def cancel(through: int) -> CancelCall:
        wish = Cancel(contract.digest(MARKET), through)
        return CancelCall(wish, sign(MARKET, wish, RENTER))

    with pytest.raises(RefusedError) as error:
        await host.host.cancelling.agree(RENTER.address, cancel(2))
    assert error.value.code == "terms"
    await host.host.cancelling.agree(RENTER.address, cancel(3))
    host.clock.time += 1
    await host.round()
    assert host.market.paid(contract) == 0b111


def test_a_voucher_and_a_cancellation_in_either_order_pay_the_higher_of_the_two(
    bench: StorageBench, terms: Terms
) -> None:
    """Fails: bits of epochs, so order does not matter, except that an end is an end.

    Cheat (a renter that lets an old cancellation overtake a voucher): the host's voucher, if it waited with it. Victim
    (the host): nothing, since it agrees to no end below its voucher and hands nothing in after it.
    """
    go_to_epoch(bench, terms, 2)
    bench.settle(terms, 3, CHAIN_RENTER)
    bench.cancel(terms, 1, CHAIN_RENTER, HOST)
    assert balances(bench) == (1000 - 3 * PRICE, 1000, 3 * PRICE, 1000)
    other = terms._replace(start=bench.now + 100, nonce=9)
    bench.open(other, CHAIN_RENTER, HOST)
    bench.now = other.start + 2 * SHORT
    bench.cancel(other, 3, CHAIN_RENTER, HOST)
    with refused("WrongStatus"):
        bench.settle(other, 3, CHAIN_RENTER)
    assert balances(bench) == (1000 - 6 * PRICE, 1000, 6 * PRICE, 1000)


@pytest.mark.parametrize("shift", [-PRODUCER, 0, PRODUCER])
def test_a_producer_that_shifts_its_block_moves_an_answer_s_deadline_by_seconds(
    bench: StorageBench, terms: Terms, shift: int
) -> None:
    """Fails: an answer is given at the host's next look, minutes before it is due.

    Cheat (a producer that sides with the renter): nothing, unless the host answers in the last 15 seconds. Victim (a
    host that does): its collateral; the answer period of a market is hours.
    """
    bench.now = terms.start
    bench.market.send(AUDITOR, "challenge", terms, 1)
    bench.now += ANSWER_PERIOD + shift
    if shift > 0:
        with refused("TooLate"):
            bench.market.send(HOST, "answer", terms, *SHARD.proof(1))
        bench.market.send(AUDITOR, "fail", terms)
        assert bench.balance(HOST) == 1000 - COLLATERAL
    else:
        with refused("NotYet"):
            bench.market.send(AUDITOR, "fail", terms)
        bench.market.send(HOST, "answer", terms, *SHARD.proof(1))


def test_a_proof_is_begun_in_its_epoch_s_window_to_the_second(bench: StorageBench, terms: Terms) -> None:
    """Fails: the window is the next epoch, by block time.

    Cheat (a host that would prove ahead of time, or long after): that epoch's price. Victim (the renter): nothing. A
    producer gains 15 seconds at either end.
    """
    for epoch, at, proved in (
        (0, terms.start + SHORT - 1, None),
        (0, terms.start + SHORT, 0),
        (2, terms.start + 4 * SHORT - 1, 2),
        (2, terms.start + 4 * SHORT, 3),
    ):
        bench.now = at
        if proved is None:
            with refused("NotYet"):
                bench.market.send(HOST, "beginProof", terms)
        else:
            receipt = bench.market.send(HOST, "beginProof", terms)
            assert receipt.events[0][1][1] == proved, epoch


@given(MOMENTS, MASKS, st.integers(0, 6), st.integers(0, 6), st.integers(0, PRODUCER))
def test_what_a_host_does_at_a_bound_holds_in_a_block_that_is_15_seconds_behind(
    now: int, paid: int, attempt: int, voucher: int, behind: int
) -> None:
    """Fails: a host waits a margin beyond each bound.

    Cheat (a producer that shifts its block back): nothing. Victim (the host): nothing, its transaction holds.
    """
    assert behind <= MARGIN
    block = now - behind
    chain = on_chain(paid=paid, attempt=attempt)
    for duty in duties(record(voucher=voucher), chain, now):
        if duty.action is Action.SETTLE:
            assert duty.number <= TERMS.epoch_at(block) + 1
        elif duty.action is Action.BEGIN:
            assert TERMS.provable_at(block) == duty.number
        elif duty.action is Action.CLOSE:
            assert block >= closable_at(TERMS, chain)
