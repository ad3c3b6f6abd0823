"""An intent takes effect once or fails, and the user is told which."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.unit.outbox.desk import FINALITY, KEY, ME, Desk
from wallet.chains.base import (
    ChainAnswerError,
    ChainUnreachableError,
    Fee,
    InsufficientFundsError,
    NonceError,
    UnderpricedError,
    UnsignedTx,
)
from wallet.chains.fake import FakeChain
from wallet.outbox import (
    RESEND_EVERY,
    STUCK_AFTER,
    VOID_GRACE,
    Intent,
    IntentFailedError,
    IntentState,
    KeyReusedError,
    MemoryOutboxStore,
    Outbox,
)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def fail_once(desk: Desk, question: str, error: Exception) -> None:
    """The next time this question is asked, it fails."""

    def hook(asked: str) -> None:
        if asked == question:
            desk.chain.hook = lambda _: None
            raise error

    desk.chain.hook = hook


# --- the straight way -----------------------------------------------------------------------------------------------


async def test_an_intent_goes_from_plan_to_final(desk: Desk) -> None:
    assert (await desk.submit()).state is IntentState.PLANNED
    assert (await desk.advance()).state is IntentState.SENT
    desk.chain.mine()
    assert (await desk.advance()).state is IntentState.MINED
    desk.chain.mine(FINALITY)
    final = await desk.advance()
    assert final.state is IntentState.FINAL
    assert final.fee_paid == 21_000 * desk.chain.price
    assert await desk.paid() == 1


async def test_finish_waits_for_the_final_receipt(desk: Desk) -> None:
    intent, receipt = await desk.outbox.finish(await desk.submit(), deadline=60)
    assert intent.state is IntentState.FINAL
    assert receipt.hash == intent.hash
    assert await desk.chain.is_final(receipt)


async def test_the_same_key_is_the_same_intent(desk: Desk) -> None:
    first, _ = await desk.outbox.finish(await desk.submit(), deadline=60)
    assert await desk.submit() == first
    await desk.outbox.finish(first, deadline=0)
    assert await desk.paid() == 1


async def test_a_key_cannot_stand_for_two_calls(desk: Desk) -> None:
    await desk.outbox.submit("key", desk.pay(1))
    with pytest.raises(KeyReusedError, match="stands for something else"):
        await desk.outbox.submit("key", desk.pay(2))


async def test_two_tasks_may_finish_one_intent(desk: Desk) -> None:
    intent = await desk.submit()
    ends = await asyncio.gather(*(desk.outbox.finish(intent, deadline=60) for _ in range(3)))
    assert {end.state for end, _ in ends} == {IntentState.FINAL}
    assert await desk.paid() == 1


async def test_open_intents_are_this_senders_on_this_rail(desk: Desk) -> None:
    intent = await desk.submit()
    await desk.store.save_intent(replace(intent, key="other sender", sender=desk.chain.token))
    await desk.store.save_intent(replace(intent, key="other rail", rail="eip155:1029"))
    assert await desk.outbox.open_intents() == [intent]


# --- order ----------------------------------------------------------------------------------------------------------


async def test_a_second_intent_waits_for_the_firsts_receipt(desk: Desk) -> None:
    assert (await desk.advance(1)).state is IntentState.SENT
    assert (await desk.advance(2)).state is IntentState.PLANNED
    desk.chain.mine()
    assert (await desk.advance(2)).state is IntentState.SENT


async def test_a_call_may_rely_on_the_one_before(desk: Desk) -> None:
    approve = await desk.outbox.submit("approve", desk.chain.approve(5))
    deposit = await desk.outbox.submit("deposit", desk.chain.deposit(5))
    await asyncio.gather(desk.outbox.finish(approve, deadline=60), desk.outbox.finish(deposit, deadline=60))
    assert (await desk.chain.payer_state(ME)).balance == 5


async def test_a_nonce_that_a_reorganisation_frees_is_not_given_away(desk: Desk) -> None:
    first = await desk.advance(1)
    desk.chain.mine()
    await desk.advance(1)
    desk.chain.reorg(1, forget=True)
    second = await desk.advance(2)
    assert (first.nonce, second.nonce) == (0, 1)
    for number in (1, 2):
        await desk.outbox.finish(await desk.submit(number), deadline=60)
    assert (await desk.paid(1), await desk.paid(2)) == (1, 2)


# --- refusals -------------------------------------------------------------------------------------------------------


async def test_what_the_chain_refuses_fails_before_anything_is_signed(desk: Desk) -> None:
    intent = await desk.outbox.submit("deposit", desk.chain.deposit(5))
    with pytest.raises(IntentFailedError, match=r"deposit .* BTT: the contract refuses: the contract may take 0 units"):
        await desk.outbox.finish(intent, deadline=60)
    failed = await desk.store.intent("deposit")
    assert failed is not None
    assert (failed.state, failed.nonce, failed.raw) == (IntentState.FAILED, None, None)
    assert (await desk.advance()).nonce == 0


async def test_what_reverts_in_its_block_fails_with_the_reason_once_that_is_final(desk: Desk) -> None:
    await desk.outbox.finish(await desk.outbox.submit("approve", desk.chain.approve(5)), deadline=60)
    intent = await desk.outbox.submit("deposit", desk.chain.deposit(5))
    intent, _ = await desk.outbox.advance(intent)
    desk.chain.fund(ME, token=-1000)
    desk.chain.mine()
    intent, _ = await desk.outbox.advance(intent)
    assert intent.state is IntentState.MINED
    desk.chain.mine(FINALITY)
    intent, receipt = await desk.outbox.advance(intent)
    assert intent.state is IntentState.FAILED
    assert "the wallet holds 0 units" in intent.reason
    assert receipt is not None
    assert intent.fee_paid == receipt.fee_paid > 0


async def test_a_local_fault_ends_finish_and_leaves_the_intent_open(desk: Desk) -> None:
    intent = await desk.submit()
    fail_once(desk, "broadcast", InsufficientFundsError("no money"))
    with pytest.raises(InsufficientFundsError):
        await desk.outbox.finish(intent, deadline=60)
    assert [open_.state for open_ in await desk.outbox.open_intents()] == [IntentState.SIGNED]
    await desk.outbox.finish(intent, deadline=60)
    assert await desk.paid() == 1


# --- remote faults --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("question", ["estimate", "next_nonce", "prepare", "broadcast", "broadcast done", "receipt"])
async def test_a_remote_fault_anywhere_delays_and_doubles_nothing(desk: Desk, question: str) -> None:
    fail_once(desk, question, ChainUnreachableError("gone"))
    intent, _ = await desk.outbox.finish(await desk.submit(), deadline=60)
    assert (intent.state, await desk.paid()) == (IntentState.FINAL, 1)


async def test_a_wish_to_wait_is_granted(desk: Desk) -> None:
    fail_once(desk, "estimate", ChainAnswerError("slow down", retry_after=7.0))
    await desk.outbox.finish(await desk.submit(), deadline=60)
    assert desk.slept[0] == 7.0


async def test_finish_gives_up_at_its_deadline_and_says_why(desk: Desk) -> None:
    def hook(_question: str) -> None:
        raise ChainUnreachableError("cannot reach example")

    desk.chain.hook = hook
    with pytest.raises(TimeoutError, match="cannot reach example after 5 s; it stays open"):
        await desk.outbox.finish(await desk.submit(), deadline=5)
    assert await desk.outbox.open_intents()


async def test_bytes_are_durable_before_the_network_sees_them() -> None:
    class Store(MemoryOutboxStore):
        saved: Intent

        async def save_intent(self, intent: Intent) -> None:
            await super().save_intent(intent)
            self.saved = intent

    store = Store()
    desk = Desk(store=store)
    seen: list[tuple[IntentState, bytes | None]] = []
    desk.chain.hook = lambda question: (
        seen.append((store.saved.state, store.saved.raw)) if "broadcast" in question else None
    )
    sent = await desk.advance()
    assert seen[0] == (IntentState.SIGNED, sent.raw)


# --- the same bytes again -------------------------------------------------------------------------------------------


async def test_after_a_crash_the_same_bytes_are_sent(desk: Desk) -> None:
    fail_once(desk, "broadcast", ChainUnreachableError("crash"))
    with pytest.raises(ChainUnreachableError):
        await desk.advance()
    signed = await desk.submit()
    desk.restart()
    sent = await desk.advance()
    assert (signed.state, sent.state) == (IntentState.SIGNED, IntentState.SENT)
    assert sent.raw == signed.raw


async def test_a_reorganisation_leads_to_the_same_transaction_again(desk: Desk) -> None:
    first = await desk.advance()
    desk.chain.mine(FINALITY)
    assert (await desk.advance()).state is IntentState.MINED
    desk.chain.reorg(FINALITY, forget=True)
    assert await desk.paid() == 0
    again = await desk.advance()
    assert (again.state, again.hash, again.block, again.fee_paid) == (IntentState.SENT, first.hash, None, None)
    await desk.outbox.finish(again, deadline=60)
    assert await desk.paid() == 1


async def test_bytes_that_wait_are_sent_again_only_now_and_then(desk: Desk) -> None:
    asked: list[str] = []
    desk.chain.hook = asked.append
    for _ in range(5):
        await desk.advance()
    assert asked.count("broadcast") == 1
    desk.chain.forget_pending()
    desk.now += RESEND_EVERY
    await desk.advance()
    assert asked.count("broadcast") == 2
    desk.chain.mine()
    assert await desk.paid() == 1


# --- dearer bytes ---------------------------------------------------------------------------------------------------


async def stuck(desk: Desk) -> tuple[Intent, Intent]:
    """An intent that became dearer because nobody took it: before and after."""
    cheap = await desk.advance()
    desk.chain.price *= 2
    desk.now += STUCK_AFTER
    assert (await desk.advance()).state is IntentState.SIGNED
    return cheap, await desk.advance()


async def test_a_stuck_transaction_gets_dearer_under_the_same_nonce(desk: Desk) -> None:
    cheap, dear = await stuck(desk)
    assert (dear.state, dear.nonce, dear.replaced) == (IntentState.SENT, cheap.nonce, (cheap.hash,))
    assert dear.fee == Fee(21_000, desk.chain.price)
    await desk.outbox.finish(dear, deadline=60)
    assert await desk.paid() == 1


async def test_the_cheaper_bytes_may_be_those_that_take_effect(desk: Desk) -> None:
    cheap, _ = await stuck(desk)
    assert cheap.raw is not None
    assert cheap.hash is not None
    assert cheap.nonce is not None
    assert cheap.fee is not None
    desk.chain.forget_pending()
    desk.chain.price //= 2
    unsigned = UnsignedTx(cheap.call, ME, cheap.nonce, cheap.fee)
    await desk.chain.broadcast(desk.chain.sign(unsigned, KEY))
    intent, receipt = await desk.outbox.finish(await desk.submit(), deadline=60)
    assert intent.hash == receipt.hash == cheap.hash
    assert await desk.paid() == 1


async def test_a_transaction_refused_as_too_cheap_gets_dearer(desk: Desk) -> None:
    fail_once(desk, "broadcast", ChainUnreachableError("gone"))
    with pytest.raises(ChainUnreachableError):
        await desk.advance()
    desk.chain.price *= 3
    await desk.outbox.finish(await desk.submit(), deadline=60)
    assert await desk.paid() == 1


async def test_the_users_bound_holds_for_dearer_bytes(desk: Desk) -> None:
    cheap = await desk.advance()
    desk.chain.max_fee = 21_000 * desk.chain.price
    desk.chain.price *= 2
    desk.now += STUCK_AFTER
    assert (await desk.advance()).raw == cheap.raw
    desk.chain.forget_pending()
    desk.now += RESEND_EVERY
    with pytest.raises(UnderpricedError):
        await desk.advance()
    desk.chain.price //= 2
    await desk.outbox.finish(cheap, deadline=60)
    assert await desk.paid() == 1


# --- somebody else with the same key --------------------------------------------------------------------------------


async def rob(desk: Desk) -> None:
    """Another program uses the nonce of an intent whose bytes were never sent."""
    fail_once(desk, "broadcast", ChainUnreachableError("gone"))
    with pytest.raises(ChainUnreachableError):
        await desk.advance()
    call = desk.pay(99)
    fee = await desk.chain.estimate(call, ME)
    await desk.chain.broadcast(desk.chain.sign(await desk.chain.prepare(call, ME, 0, fee), KEY))
    desk.chain.mine()


async def test_a_robbed_intent_fails_only_when_its_bytes_are_void_for_good(desk: Desk) -> None:
    await rob(desk)
    for _ in range(3):  # the other transaction may still be taken back
        with pytest.raises(NonceError):
            await desk.advance()
        desk.now += VOID_GRACE
    desk.chain.mine(FINALITY)
    with pytest.raises(NonceError):  # one server alone is not believed
        await desk.advance()
    desk.now += VOID_GRACE
    failed = await desk.advance()
    assert failed.state is IntentState.FAILED
    assert failed.reason == "another transaction of this account has used nonce 0"
    assert await desk.paid() == 0


async def test_finish_waits_until_a_robbed_intent_is_known_to_have_failed(desk: Desk) -> None:
    await rob(desk)
    with pytest.raises(IntentFailedError, match="has used nonce 0"):
        await desk.outbox.finish(await desk.submit(), deadline=120)
    await desk.outbox.finish(await desk.submit(2), deadline=120)
    assert (await desk.paid(), await desk.paid(2)) == (0, 2)


async def test_a_key_signs_only_for_its_own_account(desk: Desk) -> None:
    other = FakeChain()
    outbox = Outbox(desk.store, other, KEY, wall=lambda: 0)
    intent = replace(await desk.submit(), key="stolen", sender=other.token)
    await desk.store.save_intent(intent)
    other.fund(other.token, native=10**18)
    with pytest.raises(ValueError, match="cannot sign for"):
        await outbox.advance(intent)
