"""Where transactions expire: the same bytes while they may live, new ones only when the old can never take effect."""

from __future__ import annotations

import pytest

from tests.unit.outbox.desk import FINALITY, LIFE, ME, Desk
from wallet.chains.base import ExpiredError
from wallet.chains.fake_tron import FakeTronChain
from wallet.outbox import MAX_REPLACED, RESEND_EVERY, VOID_GRACE, IntentFailedError, IntentState


@pytest.fixture
def desk() -> Desk:
    return Desk(FakeTronChain)


def expire(desk: Desk) -> None:
    """The network forgets what waits, and its time is over for good."""
    desk.chain.forget_pending()
    desk.wait(LIFE)
    desk.chain.mine(1 + FINALITY)


async def look_twice(desk: Desk) -> None:
    """The first look that finds the bytes void; the next one, made by the caller, may then sign anew."""
    with pytest.raises(ExpiredError):
        await desk.advance()
    desk.wait(VOID_GRACE)


async def test_an_intent_goes_from_plan_to_final(desk: Desk) -> None:
    final = await desk.finish()
    assert (final.state, final.replaced, await desk.paid()) == (IntentState.FINAL, (), 1)
    assert final.fee is not None
    assert final.fee_paid == final.fee.extra > 0


async def test_the_same_bytes_are_sent_while_they_live(desk: Desk) -> None:
    first = await desk.advance()
    desk.chain.forget_pending()
    desk.restart()
    assert (await desk.advance()).raw == first.raw
    desk.chain.mine()
    assert await desk.paid() == 1


async def test_what_has_expired_is_signed_anew_after_two_looks_some_time_apart(desk: Desk) -> None:
    first = await desk.advance()
    expire(desk)
    await look_twice(desk)
    again = await desk.advance()
    assert (again.state, again.replaced) == (IntentState.SIGNED, (first.hash,))
    assert again.anchor != first.anchor
    assert (await desk.finish()).state is IntentState.FINAL
    assert await desk.paid() == 1


async def test_what_has_expired_is_not_signed_anew_before_that_is_solid(desk: Desk) -> None:
    first = await desk.advance()
    desk.chain.forget_pending()
    desk.wait(LIFE)
    desk.chain.mine()
    for _ in range(3):
        with pytest.raises(ExpiredError):
            await desk.advance()
        desk.wait(VOID_GRACE)
    assert (await desk.submit()).raw == first.raw


async def test_a_crash_between_the_looks_starts_them_again(desk: Desk) -> None:
    first = await desk.advance()
    expire(desk)
    await look_twice(desk)
    desk.restart()
    await look_twice(desk)
    assert (await desk.advance()).replaced == (first.hash,)


async def test_one_server_that_is_too_hasty_is_not_believed(desk: Desk) -> None:
    first = await desk.advance()
    desk.chain.hasty = True
    desk.now += RESEND_EVERY
    await desk.advance()
    desk.chain.hasty = False
    desk.now += VOID_GRACE
    await desk.advance()
    desk.chain.mine()
    assert (await desk.finish()).hash == first.hash
    assert await desk.paid() == 1


async def test_a_server_that_says_known_for_ever_does_not_hold_an_intent_up(desk: Desk) -> None:
    assert isinstance(desk.chain, FakeTronChain)
    desk.chain.stubborn = True
    first = await desk.advance()
    expire(desk)
    assert (await desk.finish()).replaced == (first.hash,)
    assert await desk.paid() == 1


async def test_an_earlier_id_that_is_found_after_all_is_the_one(desk: Desk) -> None:
    """Two servers have told the same untruth: the outbox cannot know, but it does not lose sight of the first bytes."""
    first = await desk.advance()
    desk.chain.hasty = True
    for _ in range(2):
        desk.now += VOID_GRACE
        await desk.advance()
    desk.chain.mine()
    final = await desk.finish()
    assert (final.replaced, final.hash) == ((first.hash,), first.hash)
    assert await desk.paid() == 1


async def test_what_never_gets_into_a_block_fails_in_the_end(desk: Desk) -> None:
    def drop(question: str) -> None:
        if question == "broadcast done":
            desk.chain.forget_pending()

    desk.chain.hook = drop
    with pytest.raises(IntentFailedError, match=f"no block took it; it has expired {MAX_REPLACED + 1} times"):
        await desk.outbox.finish(await desk.submit(), deadline=1e6)
    assert await desk.paid() == 0


async def test_a_call_that_has_become_impossible_fails_instead_of_being_signed_anew(desk: Desk) -> None:
    await desk.advance(2)
    expire(desk)
    desk.chain.fund(ME, token=-1000)
    with pytest.raises(IntentFailedError, match="the wallet holds 0 units"):
        await desk.finish(2)
    assert await desk.paid(2) == 0


async def test_energy_that_became_dearer_undoes_the_call_and_is_told(desk: Desk) -> None:
    await desk.advance(2)
    desk.chain.price *= 2
    desk.chain.mine()
    with pytest.raises(IntentFailedError, match="ran out of energy"):
        await desk.finish(2)
    assert await desk.paid(2) == 0


async def test_cancelled_bytes_are_left_to_expire(desk: Desk) -> None:
    await desk.advance()
    await desk.cancel()
    desk.chain.forget_pending()
    with pytest.raises(IntentFailedError, match="cancelled"):
        await desk.finish()
    desk.chain.mine(FINALITY)
    assert (await desk.paid(), (await desk.submit()).replaced) == (0, ())


async def test_a_cancelled_intent_tells_when_it_took_effect_all_the_same(desk: Desk) -> None:
    await desk.advance()
    await desk.cancel()
    final = await desk.finish()
    assert (final.state, await desk.paid()) == (IntentState.FINAL, 1)
