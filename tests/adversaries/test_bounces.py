"""A payer whose cheque bounced: what it can still take."""

from __future__ import annotations

from pathlib import Path

from node.ports.engine import PeerId
from node.ports.store import Cashed, CashReceipt
from node.services.trades import Trade
from node.speed.credit import CreditPolicy
from node.speed.errors import StopCode
from node.speed.messages import Clear, Stop
from node.speed.reputation import NEUTRAL
from node.speed.seller import SellerState
from tests.adversaries.stall import Stall, key, open_stall
from tests.unit.speed.pair import PAYEE_KEY, RAIL

CREDIT = CreditPolicy().newcomer
THIEF = key(1)


async def receipt(stall: Stall, name: str, *, paid_out: int, bounced: int) -> None:
    """A transaction that cashed the thief's cheque is final and booked."""
    cashed = Cashed(THIEF.address, PAYEE_KEY.address, paid_out=paid_out, bounced=bounced)
    await stall.store.mark_cashed(CashReceipt(rail=RAIL.id, transaction=name, cashed=[cashed], now=stall.clock.wall()))
    await stall.reputations.judge()


def told(stall: Stall, peer: PeerId) -> Stop | None:
    """The last stop this peer heard."""
    return next((m for who, m in reversed(stall.engine.said) if who == peer and isinstance(m, Stop)), None)


async def customer(stall: Stall) -> Trade:
    trade = stall.bid(THIEF)
    await stall.settle()
    return trade


async def test_a_bounce_ends_service_on_all_connections_and_is_remembered_over_a_restart(tmp_path: Path) -> None:
    """Loss = what was taken before the bounce was final; 0 from then on, until the cheque is paid."""
    async with open_stall(tmp_path) as stall:
        trades = [await customer(stall), await customer(stall)]
        taken = sum(stall.session(trade).meter.amount for trade in trades)
        stall.pay(trades[0], THIEF, taken)
        await stall.settle()
        await receipt(stall, "a", paid_out=taken // 4, bounced=taken - taken // 4)
        await stall.settle()
        for trade in trades:
            assert stall.session(trade).state is SellerState.FREE
            assert stall.session(trade).meter.price == 0
            stop = told(stall, trade.peer)
            assert stop is not None
            assert stop.code is StopCode.INSOLVENT
            assert "bounced: nothing is sold to it before 20" in stop.text
            stall.leave(trade)
        clock = stall.clock
    async with open_stall(tmp_path, clock) as stall:
        again = await customer(stall)
        assert stall.session(again).meter.bytes == 0
        assert told(stall, again.peer) is not None
        assert not any(isinstance(message, Clear) for _, message in stall.engine.said)
        await receipt(stall, "b", paid_out=taken, bounced=0)
        welcome = await customer(stall)
        assert stall.session(welcome).meter.bytes > 0
        assert stall.reputations.bounces(RAIL.id, THIEF.address) == 1


async def test_a_bad_score_narrows_the_window_of_a_payer_with_history(tmp_path: Path) -> None:
    async with open_stall(tmp_path) as stall:
        trade = await customer(stall)
        for _ in range(3):
            stall.pay(trade, THIEF, stall.session(trade).meter.amount)
            await stall.settle()
        account = stall.session(trade).account
        assert account is not None
        before = account.window
        assert before > CREDIT
        paid = account.accepted
        await receipt(stall, "a", paid_out=0, bounced=paid)
        await receipt(stall, "b", paid_out=paid, bounced=0)
        assert 0 < stall.reputations.score(RAIL.id, THIEF.address) < NEUTRAL
        await customer(stall)
        assert account.window < before


async def test_what_a_payer_pays_and_what_it_leaves_unpaid_are_each_remembered_once(tmp_path: Path) -> None:
    async with open_stall(tmp_path) as stall:
        first, second = await customer(stall), await customer(stall)
        paid = stall.session(first).meter.bytes
        stall.pay(first, THIEF, stall.session(first).meter.amount)
        await stall.settle()
        taken = stall.session(first).meter.bytes + stall.session(second).meter.bytes
        for trade in (first, second, await customer(stall)):
            stall.leave(trade)
        (standing,) = stall.reputations.standings()
        assert standing.pays_us
        assert (standing.tallies.bought, standing.tallies.unpaid) == (paid, taken - paid)
        assert standing.tallies.paid == stall.paid
