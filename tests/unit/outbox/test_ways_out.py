"""Nothing that is stuck holds up the rest for ever, and order is kept where it was asked for."""

from __future__ import annotations

import pytest

from tests.unit.outbox.desk import FINALITY, KEY, ME, Desk, name
from wallet.chains.base import InsufficientFundsError, NonceError, SignedTx, WrongChainError
from wallet.outbox import RESEND_EVERY, STUCK_AFTER, BlockedError, IntentFailedError, IntentState


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def rival(desk: Desk, nonce: int) -> SignedTx:
    """Another program's transaction with the same key, not sent yet."""
    call = desk.pay(99)
    fee = await desk.chain.estimate(call, ME)
    return desk.chain.sign(await desk.chain.prepare(call, ME, nonce, fee), KEY)


async def displace(desk: Desk, number: int = 1) -> None:
    """Cancel what waits for a block; what does nothing is sent before the next block comes."""
    await desk.cancel(number)
    assert (await desk.advance(number)).displaced
    assert (await desk.advance(number)).state is IntentState.SENT


# --- cancelling -----------------------------------------------------------------------------------------------------


async def test_what_is_only_planned_is_cancelled_at_once(desk: Desk) -> None:
    await desk.submit()
    cancelled = await desk.cancel()
    assert (cancelled.state, cancelled.reason) == (IntentState.FAILED, "cancelled")
    assert not await desk.outbox.open_intents()
    with pytest.raises(IntentFailedError, match="cancelled"):
        await desk.finish()


async def test_a_transaction_that_does_nothing_takes_the_nonce(desk: Desk) -> None:
    sent = await desk.advance()
    held = await desk.chain.native_balance(ME)
    await displace(desk)
    with pytest.raises(IntentFailedError, match="cancelled"):
        await desk.finish()
    ended = await desk.submit()
    assert (ended.replaced, ended.nonce) == ((sent.hash,), sent.nonce)
    assert await desk.paid() == 0
    assert ended.fee_paid is not None
    assert await desk.chain.native_balance(ME) == held - ended.fee_paid


async def test_cancelling_too_late_changes_nothing(desk: Desk) -> None:
    await desk.advance()
    desk.chain.mine()
    await desk.cancel()
    final = await desk.finish()
    assert (final.state, await desk.paid()) == (IntentState.FINAL, 1)
    assert await desk.cancel() == final


async def test_the_first_bytes_may_win_against_the_cancelling_ones(desk: Desk) -> None:
    sent = await desk.advance()
    await desk.cancel()
    assert (await desk.advance()).state is IntentState.SIGNED  # what does nothing, not sent yet
    desk.chain.mine()
    final = await desk.finish()
    assert (final.state, final.hash, await desk.paid()) == (IntentState.FINAL, sent.hash, 1)


async def test_a_cancelled_intent_that_a_reorganisation_takes_back_does_not_return(desk: Desk) -> None:
    await desk.advance()
    desk.chain.mine()
    await desk.advance()
    await desk.cancel()
    desk.chain.reorg(1, forget=True)
    with pytest.raises(IntentFailedError, match="cancelled"):
        await desk.finish()
    assert await desk.paid() == 0


async def test_the_wish_to_cancel_survives_a_crash(desk: Desk) -> None:
    await desk.advance()
    await desk.cancel()
    desk.restart()
    await displace(desk)
    with pytest.raises(IntentFailedError, match="cancelled"):
        await desk.finish()


async def test_cancelling_bids_on_when_fees_rise(desk: Desk) -> None:
    await desk.advance()
    await displace(desk)
    desk.chain.price *= 4
    desk.chain.forget_pending()
    desk.now += RESEND_EVERY
    assert len((await desk.advance()).replaced) == 2
    with pytest.raises(IntentFailedError, match="cancelled"):
        await desk.finish()
    assert await desk.paid() == 0


async def test_cancelling_frees_those_who_wait(desk: Desk) -> None:
    await desk.advance(1)
    assert (await desk.advance(2)).state is IntentState.PLANNED
    await displace(desk, 1)
    assert (await desk.finish(2)).state is IntentState.FINAL
    with pytest.raises(IntentFailedError, match="cancelled"):
        await desk.finish(1)
    assert (await desk.paid(1), await desk.paid(2)) == (0, 2)


# --- who waits for whom ---------------------------------------------------------------------------------------------


async def test_what_cannot_be_paid_for_fails_and_holds_nobody_up(desk: Desk) -> None:
    poor = await desk.outbox.submit("poor", desk.chain.transfer_native(ME, 10**18))
    await desk.submit(1)
    with pytest.raises(IntentFailedError, match="amount and fee take up to"):
        await desk.outbox.finish(poor, deadline=60)
    assert (await desk.finish(1)).nonce == 0


async def test_planned_intents_do_not_wait_for_each_other(desk: Desk) -> None:
    await desk.submit(1)
    assert (await desk.finish(2)).state is IntentState.FINAL
    assert (await desk.submit(1)).state is IntentState.PLANNED


async def test_a_fault_of_another_intent_is_told_as_such(desk: Desk) -> None:
    await desk.advance(1)
    desk.chain.forget_pending()
    desk.restart()

    def hook(question: str) -> None:
        if question == "broadcast":
            raise InsufficientFundsError("the account is empty")

    desk.chain.hook = hook
    with pytest.raises(BlockedError, match=r"waits for 'send .* BTT to 0x.*01': the account is empty") as caught:
        await desk.finish(2)
    assert "cancel it" in caught.value.hint


async def test_a_wrong_endpoint_fails_nothing(desk: Desk) -> None:
    def hook(question: str) -> None:
        raise WrongChainError("example serves chain 1, not 199")

    desk.chain.hook = hook
    with pytest.raises(WrongChainError):
        await desk.finish()
    desk.chain.hook = lambda _: None
    assert (await desk.finish()).state is IntentState.FINAL


async def test_what_comes_after_starts_when_the_first_is_final(desk: Desk) -> None:
    await desk.submit(1)
    await desk.submit(2, after=1)
    assert (await desk.advance(2)).state is IntentState.PLANNED
    assert (await desk.submit(1)).state is IntentState.SENT, "whoever waits moves the other, too"
    desk.chain.mine(FINALITY)
    assert (await desk.advance(2)).state is IntentState.PLANNED
    desk.chain.mine()
    assert (await desk.advance(2)).state is IntentState.SENT


async def test_what_comes_after_something_that_failed_fails(desk: Desk) -> None:
    await desk.submit(1)
    await desk.submit(2, after=1)
    await desk.submit(3, after=2)
    await desk.cancel(1)
    with pytest.raises(IntentFailedError, match=r"it was to follow .* which failed: .* which failed: cancelled"):
        await desk.finish(3)


async def test_nothing_comes_after_what_is_not_there(desk: Desk) -> None:
    with pytest.raises(ValueError, match="cannot come after 'pay 1'"):
        await desk.submit(2, after=1)
    assert await desk.store.intent(name(2)) is None


# --- nonces ---------------------------------------------------------------------------------------------------------


async def test_the_next_intent_fills_a_gap(desk: Desk) -> None:
    await desk.chain.broadcast(await rival(desk, 0))
    assert (await desk.advance(1)).nonce == 1
    desk.chain.forget_pending()
    desk.restart()
    await desk.advance(1)
    assert (await desk.advance(2)).state is IntentState.PLANNED, "the other program may send again"
    desk.now += STUCK_AFTER
    assert (await desk.advance(2)).nonce == 0
    assert [(await desk.finish(number)).state for number in (1, 2)] == [IntentState.FINAL] * 2
    assert (await desk.paid(1), await desk.paid(2), await desk.paid(99)) == (1, 2, 0)


async def test_whoever_fills_a_gap_may_lose_it_again(desk: Desk) -> None:
    theirs = await rival(desk, 0)
    await desk.chain.broadcast(theirs)
    await desk.advance(1)
    desk.chain.forget_pending()
    desk.restart()
    await desk.advance(1)
    desk.now += STUCK_AFTER
    filler = await desk.advance(2)
    assert (filler.nonce, filler.state) == (0, IntentState.SENT)
    desk.chain.forget_pending()
    await desk.chain.broadcast(theirs)
    desk.chain.mine()
    assert (await desk.finish(1)).state is IntentState.FINAL
    with pytest.raises(IntentFailedError, match="another transaction of this account has used nonce 0"):
        await desk.finish(2)
    assert (await desk.paid(1), await desk.paid(2), await desk.paid(99)) == (1, 0, 99)


async def test_a_node_that_refuses_gaps_is_no_reason_to_give_up(desk: Desk) -> None:
    await desk.chain.broadcast(await rival(desk, 0))
    gap = True

    def hook(question: str) -> None:
        if question == "broadcast" and gap:
            raise NonceError("the nonce leaves a gap")

    desk.chain.hook = hook
    with pytest.raises(NonceError):
        await desk.advance(1)
    desk.chain.forget_pending()
    with pytest.raises(BlockedError, match="the nonce leaves a gap"):
        await desk.advance(2)
    desk.now += STUCK_AFTER
    gap = False
    assert (await desk.finish(2)).nonce == 0
    assert (await desk.finish(1)).nonce == 1


async def test_what_a_reorganisation_took_back_returns_with_what_stands_on_it(desk: Desk) -> None:
    await desk.advance(1)
    desk.chain.mine()
    assert (await desk.advance(1)).state is IntentState.MINED
    await desk.advance(2)
    desk.chain.reorg(1, forget=True)
    desk.chain.forget_pending()
    desk.restart()
    assert (await desk.finish(2)).state is IntentState.FINAL, "nobody has asked for the first"
    assert (await desk.finish(1)).state is IntentState.FINAL
    assert (await desk.paid(1), await desk.paid(2)) == (1, 2)
