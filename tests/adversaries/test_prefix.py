"""Thousands of payers behind one network prefix: what all of them keep, unpaid, and how an honest one fares there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node.speed.credit import CreditPolicy
from node.speed.errors import StopCode
from node.speed.messages import Stop
from node.speed.newcomers import Newcomers
from node.speed.seller import SellerState
from tests.adversaries.stall import Stall, key, open_stall
from tests.unit.speed.pair import PRICE
from wallet.amount import cost

CREDIT = CreditPolicy().newcomer


@pytest.fixture
async def stall(tmp_path: Path) -> AsyncIterator[Stall]:
    async with open_stall(tmp_path) as opened:
        yield opened


async def test_ten_thousand_identities_of_one_prefix_take_one_credit(stall: Stall) -> None:
    """Loss <= w(credit), in waves that vanish and in one that stays."""
    for wave in range(20):
        trades = [stall.bid(key(1 + 500 * wave + n)) for n in range(500)]
        await stall.settle()
        if wave < 19:
            for trade in trades:
                stall.leave(trade)
    assert len(stall.trades.sellers) == 10_000
    assert stall.unpaid == cost(CREDIT, PRICE)


async def test_an_hour_later_as_much_can_be_taken_again_and_no_more(stall: Stall) -> None:
    """Loss <= w(credit x (1 + hours))."""
    hour = Newcomers().release_ms // 1000
    for number in range(1, 200):
        stall.clock.time += hour / 60
        stall.selling.tick()
        trade = stall.bid(key(number))
        await stall.settle()
        stall.leave(trade)
    assert stall.unpaid <= cost(CREDIT, PRICE) * (1 + 200 / 60)


async def test_paying_a_part_frees_no_more_for_the_next_than_was_paid(stall: Stall) -> None:
    """Loss beyond what was paid <= w(credit): cheques over a little buy no fresh credit for the next identity."""
    for number in range(1, 200):
        trade = stall.bid(key(number))
        await stall.settle()
        taken = stall.session(trade).meter.amount
        if taken:
            stall.pay(trade, key(number), 1 + taken // 3)
            await stall.settle()
        stall.leave(trade)
    assert 0 < stall.unpaid - stall.paid <= cost(CREDIT, PRICE)


async def test_an_honest_newcomer_waits_for_its_neighbour_to_pay_and_is_served_at_that_moment(stall: Stall) -> None:
    first = stall.bid(key(1))
    await stall.settle()
    second, elsewhere = stall.bid(key(2)), stall.bid(key(3), host="198.51.100.1")
    await stall.settle()
    assert stall.session(first).meter.bytes == stall.session(elsewhere).meter.bytes == CREDIT
    assert stall.session(second).state is SellerState.WAITING
    assert second.last_word is not None
    assert "newcomers of this network" in second.last_word.text
    assert stall.engine.allowance.get(second.peer) is None, "it is served like anybody"
    stall.pay(first, key(1), stall.session(first).meter.amount)
    await stall.settle()
    assert stall.session(first).meter.bytes == 3 * CREDIT, "what it paid for is its own credit now, beside the share"
    assert stall.session(second).meter.bytes == 0, "which it has until it paid for twice as much"
    stall.pay(first, key(1), stall.session(first).meter.amount)
    await stall.settle()
    assert stall.session(second).meter.bytes == CREDIT


async def test_who_paid_as_much_as_it_left_behind_is_a_newcomer_again_and_no_worse(stall: Stall) -> None:
    """A connection that breaks early costs an honest payer no more than the wait for its neighbours."""
    first = stall.bid(key(1))
    await stall.settle()
    for paid in (CREDIT, 2 * CREDIT):
        stall.pay(first, key(1), cost(paid, PRICE))
        await stall.settle()
    stall.leave(first)
    assert stall.unpaid == stall.paid == cost(2 * CREDIT, PRICE)
    again = stall.bid(key(1))
    await stall.settle()
    stall.leave(again)
    assert CREDIT <= stall.session(again).meter.bytes <= CREDIT + 2 * CREDIT // 64
    refused = stall.bid(key(1))
    await stall.settle()
    assert stall.session(refused).meter.bytes <= CREDIT // 16, "now it has kept one credit beyond what it paid"


async def test_what_a_newcomer_was_never_sent_is_free_for_the_next_when_it_leaves(stall: Stall) -> None:
    first = stall.bid(key(1))
    await stall.carrier.drain()  # it has an allowance, and takes nothing
    second = stall.bid(key(2))
    await stall.carrier.drain()
    assert stall.session(second).state is SellerState.WAITING
    stall.leave(first)
    stall.engine.landed = [(peer, tag) for peer, tag in stall.engine.landed if peer != first.peer]
    await stall.settle()
    assert stall.session(second).meter.bytes == CREDIT


async def test_who_stays_and_trades_no_more_does_not_hold_up_its_neighbours(stall: Stall) -> None:
    idle = stall.bid(key(1))
    await stall.carrier.drain()
    honest = stall.bid(key(2))
    await stall.carrier.drain()
    stall.carrier.run(idle, stall.session(idle).message(Stop(StopCode.BYE, "enough"), stall.carrier.now()))
    await stall.settle()  # what was admitted before the stop comes at its price
    stall.selling.tick()
    await stall.settle()
    assert stall.session(honest).meter.bytes == CREDIT


async def test_time_alone_lets_a_newcomer_in(stall: Stall) -> None:
    thief = stall.bid(key(1))
    await stall.settle()
    stall.leave(thief)
    honest = stall.bid(key(2))
    await stall.settle()
    assert stall.session(honest).meter.bytes == 0
    stall.clock.time += Newcomers().release_ms / 1000
    stall.selling.tick()
    await stall.settle()
    assert stall.session(honest).meter.bytes == CREDIT


async def test_a_newcomer_that_raises_its_bid_again_and_again_takes_and_keeps_one_credit(stall: Stall) -> None:
    """Loss <= w(credit): neither its window opens again as its price rises, nor are its debts fewer bytes then."""
    taken = 0
    for number in range(1, 5):
        trade = stall.bid(key(number))
        await stall.settle()
        for doubled in range(1, 12):
            stall.reprice(trade, key(number), PRICE << doubled)
            await stall.settle()
        taken += stall.session(trade).meter.bytes
        stall.leave(trade)
    assert taken == CREDIT


async def test_what_was_taken_at_a_high_price_is_not_paid_for_at_a_low_one(stall: Stall) -> None:
    """Loss beyond what was paid <= w(credit): a hundredth of the debt frees a hundredth of the credit."""
    first = stall.bid(key(1))
    stall.reprice(first, key(1), 100 * PRICE)
    await stall.settle()
    assert stall.session(first).meter.amount == cost(CREDIT, 100 * PRICE)
    stall.reprice(first, key(1), PRICE)
    second = stall.bid(key(2))
    await stall.settle()
    stall.pay(first, key(1), cost(CREDIT, PRICE))
    await stall.settle()
    assert stall.session(second).meter.bytes <= CREDIT // 100
