"""When cheques become money by themselves, when not, and that nothing is lost or paid twice on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from fractions import Fraction
from pathlib import Path

import pytest

from node.ports.store import Account, CashReceipt, Line
from node.services.plan import DUST, WOULD_BOUNCE
from node.services.settlement import MAX_BATCH, PAUSE_AFTER_FAILURE, SettlementSettings
from tests.unit.services.till import AMPLE, CHEAP, FEE, ME, Till, payer
from wallet.amount import Token
from wallet.chains.base import ChainUnreachableError, RevertedError
from wallet.chains.fake import FakeChain
from wallet.chains.fake_tron import FakeTronChain
from wallet.intents import IntentState
from wallet.outbox import IntentFailedError

OTHER_TOKEN = Token("TKN", 18)


@pytest.fixture
async def till(tmp_path: Path) -> AsyncIterator[Till]:
    till = await Till(tmp_path).open()
    yield till
    await till.close()


@pytest.fixture
async def foreign(tmp_path: Path) -> AsyncIterator[Till]:
    """The fee is paid in another coin than the cheques."""
    till = await Till(tmp_path, chain=FakeChain(token=OTHER_TOKEN)).open()
    yield till
    await till.close()


# --- when it cashes -------------------------------------------------------------------------------------------------


async def test_it_cashes_once_the_fee_is_small_enough_a_share(till: Till) -> None:
    key = await till.covered(CHEAP - 1)
    assert await till.settlement.step() == ()
    await till.hold(key, CHEAP)
    (done,) = await till.settlement.step()
    assert done.intent.state is IntentState.FINAL
    assert await till.tokens() == CHEAP


async def test_the_share_is_the_users_to_choose(till: Till) -> None:
    till.set(fee_permille=100)
    await till.covered(CHEAP // 10)
    assert len(await till.settlement.step()) == 1


async def test_it_does_not_cash_by_itself_when_told_not_to(till: Till) -> None:
    till.settings = SettlementSettings(auto=False)
    till.restart()
    await till.covered(CHEAP)
    assert await till.settlement.step() == ()


async def test_a_notice_of_withdrawal_makes_a_small_payout_worth_its_fee(till: Till) -> None:
    key = await till.covered(2 * FEE)
    assert await till.settlement.step() == ()
    await till.act(key, till.chain.give_notice(AMPLE))
    plan = await till.settlement.plan()
    assert "notice of withdrawal was given by 1" in plan.why
    assert len(await till.settlement.step()) == 1


async def test_a_notice_that_leaves_enough_behind_changes_nothing(till: Till) -> None:
    key = await till.covered(2 * FEE)
    await till.act(key, till.chain.give_notice(AMPLE - 4 * FEE))
    assert await till.settlement.step() == ()


async def test_a_lock_for_somebody_else_makes_a_small_payout_worth_its_fee(till: Till) -> None:
    key = await till.covered(2 * FEE)
    await till.act(key, till.chain.lock(payer(9).address, AMPLE - 3 * FEE))
    plan = await till.settlement.plan()
    assert "hardly cover" in plan.why
    assert len(await till.settlement.step()) == 1


async def test_a_deposit_that_falls_towards_what_is_owed_makes_a_small_payout_worth_its_fee(till: Till) -> None:
    key = await till.covered(2 * FEE, deposit=4 * FEE)
    assert await till.settlement.step() == ()
    await till.hold(key, 2 * FEE + 1)
    assert len(await till.settlement.step()) == 1


async def test_even_an_endangered_cheque_is_not_cashed_for_more_than_it_brings(till: Till) -> None:
    key = await till.covered(FEE)
    await till.act(key, till.chain.give_notice(AMPLE))
    plan = await till.settlement.plan()
    assert (plan.worth_it, plan.why) == (False, "the fee would take all of the payout")


async def test_only_the_endangered_cheques_are_cashed_early(till: Till) -> None:
    safe, endangered = await till.covered(2 * FEE, number=1), await till.covered(2 * FEE, number=2)
    await till.act(endangered, till.chain.give_notice(AMPLE))
    plan = await till.settlement.plan()
    assert [(batch.worth_it, [c.payer for c in batch.cheques]) for batch in plan.batches] == [
        (True, [endangered.address]),
        (False, [safe.address]),
    ]
    assert len(await till.settlement.step()) == 1


# --- fees in another coin -------------------------------------------------------------------------------------------


async def test_a_fee_in_another_coin_is_weighed_at_the_rate(foreign: Till) -> None:
    foreign.set(fee_rate=Fraction(1, 3))
    await foreign.covered(CHEAP // 3 - 1)
    assert not (await foreign.settlement.plan()).worth_it
    await foreign.hold(payer(), CHEAP // 3 + 100)
    plan = await foreign.settlement.plan()
    assert (plan.fee, plan.fee_value) == (FEE, -(-FEE // 3))
    assert plan.fee_share == Fraction(-(-FEE // 3), CHEAP // 3 + 100)
    assert len(await foreign.settlement.step()) == 1


async def test_without_a_rate_nothing_is_cheap_and_the_plan_says_why(foreign: Till) -> None:
    await foreign.covered(10 * CHEAP)
    plan = await foreign.settlement.plan()
    assert (plan.worth_it, plan.fee_value, plan.fee_share) == (False, None, None)
    assert "what one BTT is worth in TKN is not known" in plan.why
    assert await foreign.settlement.step() == ()


async def test_without_a_rate_endangered_cheques_are_cashed_once_a_day(foreign: Till) -> None:
    key = await foreign.covered(1000)
    await foreign.act(key, foreign.chain.give_notice(AMPLE))
    assert len(await foreign.settlement.step()) == 1
    await foreign.hold(key, 2000)
    assert await foreign.settlement.step() == ()
    foreign.now += 86_400
    assert len(await foreign.settlement.step()) == 1


# --- what is left out -----------------------------------------------------------------------------------------------


async def test_a_cheque_that_would_bounce_is_held_back_and_said_so(till: Till) -> None:
    await till.hold(payer(1), CHEAP)
    plan = await till.settlement.plan()
    assert (plan.batches, plan.bounces, plan.worth_it) == ((), CHEAP, False)
    assert [(c.payer, c.note) for c in plan.held_back] == [(payer(1).address, WOULD_BOUNCE)]
    assert await till.settlement.step() == ()


async def test_the_plan_tells_how_much_would_bounce_of_a_cheque_that_is_covered_in_part(till: Till) -> None:
    await till.covered(3 * CHEAP, deposit=2 * CHEAP)
    plan = await till.settlement.plan()
    (cheque,) = plan.cheques
    assert (cheque.cumulative, cheque.uncashed, cheque.available) == (3 * CHEAP, 3 * CHEAP, 2 * CHEAP)
    assert (cheque.payout, cheque.bounces, plan.value, plan.bounces) == (2 * CHEAP, CHEAP, 2 * CHEAP, CHEAP)


async def test_cheques_that_bring_less_than_their_part_of_the_fee_stay_out(till: Till) -> None:
    big, _ = await till.covered(10 * CHEAP, number=1), await till.covered(1, number=2)
    plan = await till.settlement.plan()
    assert [c.payer for c in plan.cheques] == [big.address]
    assert [(c.payer, c.note) for c in plan.held_back] == [(payer(2).address, DUST)]


async def test_more_cheques_than_one_transaction_takes_are_cashed_in_several(till: Till) -> None:
    count = MAX_BATCH + 2
    for number in range(1, count + 1):
        await till.covered(CHEAP + number, number=number)
    plan = await till.settlement.plan()
    assert [len(batch.cheques) for batch in plan.batches] == [MAX_BATCH, 2]
    assert len(await till.settlement.step()) == 2
    assert await till.tokens() == plan.value == sum(CHEAP + number for number in range(1, count + 1))


async def test_a_fee_that_cannot_be_paid_is_a_reason_not_a_fault(till: Till) -> None:
    await till.covered(CHEAP)
    till.chain.max_fee = 1
    plan = await till.settlement.plan()
    assert (plan.worth_it, plan.batches[0].fee) == (False, None)
    assert "above your bound" in plan.why


# --- crashes and faults ---------------------------------------------------------------------------------------------


class CrashError(Exception):
    """The process is gone."""


def raising(question: str, error: Exception) -> Callable[[str], None]:
    """A hook that fails one kind of question."""

    def hook(asked: str) -> None:
        if asked == question:
            raise error

    return hook


async def test_a_crash_between_signing_and_booking_cashes_once_and_books_once(till: Till) -> None:
    await till.covered(CHEAP)

    async def crash(receipt: CashReceipt) -> bool:
        raise CrashError

    book, till.store.mark_cashed = till.store.mark_cashed, crash  # type: ignore[method-assign]  # the crash
    with pytest.raises(CrashError):
        await till.settlement.step()
    till.store.mark_cashed = book  # type: ignore[method-assign]  # the restart
    till.restart()
    await till.settlement.step()
    assert (await till.sent(), await till.tokens()) == (1, CHEAP)
    assert (await till.store.balances())[Line(till.rail, "", Account.FEES)] == FEE
    assert (await till.figures()).final == CHEAP


@pytest.mark.parametrize("question", ["broadcast", "broadcast done", "receipt", "is_final"])
async def test_a_crash_around_the_broadcast_leads_to_the_same_transaction(till: Till, question: str) -> None:
    await till.covered(CHEAP)
    till.chain.hook = raising(question, CrashError())
    with pytest.raises(CrashError):
        await till.settlement.step()
    till.chain.hook = lambda asked: None
    till.restart()
    await till.settlement.step()
    assert (await till.sent(), await till.tokens(), (await till.figures()).final) == (1, CHEAP, CHEAP)


async def test_what_is_open_ends_before_anything_new_is_cashed(till: Till) -> None:
    key = await till.covered(CHEAP)
    till.chain.hook = raising("receipt", ChainUnreachableError("away"))
    with pytest.raises(TimeoutError):
        await till.settlement.step()
    till.chain.hook = lambda asked: None
    await till.hold(key, CHEAP + 1)
    await till.settlement.step()
    assert (await till.sent(), await till.tokens()) == (1, CHEAP)


async def test_a_plan_whose_cheques_are_being_cashed_already_is_outdated_once_they_are(till: Till) -> None:
    key = await till.covered(CHEAP)
    till.chain.hook = raising("receipt", ChainUnreachableError("away"))
    with pytest.raises(TimeoutError):
        await till.settlement.step()
    till.chain.hook = lambda asked: None
    till.chain.reorg(1)
    await till.hold(key, CHEAP + 1)
    plan = await till.settlement.plan()
    assert await till.settlement.cash(plan) == ()
    assert (await till.sent(), await till.tokens()) == (1, CHEAP)


async def test_after_a_failure_it_waits_before_it_tries_the_same_cheques_again(till: Till) -> None:
    await till.covered(CHEAP)
    till.chain.hook = raising("prepare", RevertedError("no"))
    with pytest.raises(IntentFailedError):
        await till.settlement.step()
    till.chain.hook = lambda asked: None
    assert await till.settlement.step() == ()
    till.now += PAUSE_AFTER_FAILURE
    assert len(await till.settlement.step()) == 1


async def test_two_who_cash_the_same_plan_pay_one_fee(till: Till) -> None:
    await till.covered(CHEAP)
    plan = await till.settlement.plan()
    first, second = await asyncio.gather(till.settlement.cash(plan), till.settlement.cash(plan))
    assert len(first) + len(second) == 1
    assert await till.sent() == 1


async def test_a_cheque_that_bounced_is_cashed_when_the_deposit_is_topped_up(till: Till) -> None:
    key = await till.covered(2 * CHEAP, deposit=CHEAP)
    await till.settlement.step()
    assert (await till.figures()).bounced == CHEAP
    assert await till.settlement.step() == ()
    await till.deposit(key, AMPLE)
    await till.settlement.step()
    figures = await till.figures()
    assert (figures.final, figures.bounced, await till.tokens()) == (2 * CHEAP, 0, 2 * CHEAP)


async def test_a_cheque_of_which_nothing_was_paid_is_tried_again_when_it_is_covered(till: Till) -> None:
    key = await till.covered(CHEAP)
    plan = await till.settlement.plan()
    await till.act(key, till.chain.give_notice(AMPLE))
    till.chain.pass_time(86_400)
    await till.act(key, till.chain.withdraw(key.address))
    await till.settlement.cash(plan)
    assert (await till.figures()).bounced == CHEAP
    await till.deposit(key, AMPLE)
    await till.settlement.step()
    assert (await till.figures()).final == CHEAP


# --- running --------------------------------------------------------------------------------------------------------


async def test_it_goes_on_after_a_fault_and_ends_when_closed(till: Till) -> None:
    await till.covered(CHEAP)
    till.chain.hook = raising("available", ChainUnreachableError("away"))
    running = asyncio.create_task(till.settlement.run())
    await till.round_ended()
    till.chain.hook = lambda asked: None
    till.settlement.wake()
    await till.round_ended()
    assert await till.tokens() == CHEAP
    await till.settlement.close()
    await till.settlement.close()
    assert running.done()


async def test_two_rails_in_one_store_leave_each_other_alone(till: Till) -> None:
    other = Till(till.folder, chain=FakeChain(chain_id=1029))
    other.store = till.store
    other.restart()
    await till.covered(CHEAP)
    await other.covered(CHEAP)
    assert len(await other.settlement.step()) == 1
    assert (await till.tokens(), await other.tokens()) == (0, CHEAP)
    assert len(await till.settlement.step()) == 1
    assert (await till.tokens(), await other.tokens()) == (CHEAP, CHEAP)


async def test_tron_beside_an_evm_chain_cashes_at_its_rate_and_books_its_fee_in_trx(till: Till) -> None:
    tron = Till(till.folder, chain=FakeTronChain(), settings=SettlementSettings(fee_rate=Fraction(10**12, 2)))
    tron.store = till.store
    tron.restart()
    await till.covered(CHEAP)
    key = await tron.covered(1, deposit=10**30)
    plan = await tron.settlement.plan()
    assert plan.fee_value == -(-plan.fee * 10**12 // 2)
    assert not plan.worth_it
    await tron.hold(key, 100 * plan.fee_value)
    (done,) = await tron.settlement.step()
    assert len(await till.settlement.step()) == 1
    balances = await till.store.balances()
    assert balances[Line(tron.rail, "TRX", Account.FEES)] == done.receipt.fee_paid
    assert balances[Line(till.rail, "", Account.FEES)] == FEE
    by_rail = {report.rail: report.figures.final for report in await till.earnings.report()}
    assert by_rail == {till.rail: CHEAP, tron.rail: 100 * plan.fee_value}


async def test_our_own_deposit_and_withdrawal_are_in_the_books(till: Till) -> None:
    till.chain.fund(ME, token=1000)
    await till.settlement.deposit(600, key="a")
    await till.settlement.deposit(600, key="a")
    await till.settlement.give_notice(500, key="b")
    till.chain.pass_time(86_400)
    till.chain.mine()
    await till.settlement.withdraw(key="c")
    assert await till.tokens() == 900
    assert (await till.store.balances())[Line(till.rail, "", Account.VAULT)] == 100
