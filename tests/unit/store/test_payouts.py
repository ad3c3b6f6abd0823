"""What the port promises about payouts, the vault's cursor and transactions that nobody has booked."""

from __future__ import annotations

from dataclasses import replace

from node.ports.store import Cashed, CashReceipt, ChainCursor, Payout
from node.store import SqlStore
from tests.unit.store.kit import ME, NOW, RAIL, partner, received
from wallet.chains.base import Call, Fee
from wallet.intents import Intent, IntentState


def cash_receipt(name: str, *cashed: Cashed, now: int = NOW) -> CashReceipt:
    return CashReceipt(rail=RAIL, transaction=name, block=7, cashed=cashed, now=now)


async def test_each_cheque_of_a_receipt_is_a_payout_of_what_it_added(store: SqlStore) -> None:
    await store.receive_cheque(received(10, payer=1))
    await store.mark_cashed(cash_receipt("a", Cashed(partner(1), ME, 4, 6, 3)))
    await store.mark_cashed(cash_receipt("b", Cashed(partner(1), ME, 10, 0, 5), Cashed(partner(2), ME, 8)))
    first = Payout(
        number=1,
        rail=RAIL,
        transaction="a",
        block=7,
        payer=partner(1),
        payee=ME,
        amount=4,
        bounced=6,
        fee=3,
        at=NOW,
    )
    assert await store.payouts() == [
        replace(first, number=3, transaction="b", payer=partner(2), amount=8, bounced=0, fee=0),
        replace(first, number=2, transaction="b", amount=6, bounced=0, fee=5),
        first,
    ]
    assert [payout.number for payout in await store.payouts(before=3, limit=1)] == [2]
    assert [payout.number for payout in await store.payouts(payer=partner(2))] == [3]
    assert await store.payouts(rail="eip155:1029") == []


async def test_a_receipt_that_is_reported_again_makes_no_second_payout(store: SqlStore) -> None:
    for _ in range(2):
        await store.mark_cashed(cash_receipt("a", Cashed(partner(1), ME, 4)))
    assert len(await store.payouts()) == 1


async def test_receipts_in_the_wrong_order_leave_the_later_ones_word_on_what_bounced(store: SqlStore) -> None:
    await store.receive_cheque(received(10))
    await store.mark_cashed(cash_receipt("later", Cashed(partner(1), ME, 10)))
    await store.mark_cashed(cash_receipt("earlier", Cashed(partner(1), ME, 4, 6)))
    account = await store.received(RAIL, partner(1), ME)
    assert account is not None
    assert (account.cashed, account.bounced, account.bounced_at) == (10, 0, NOW)


async def test_a_cursor_is_replaced_and_may_go_back(store: SqlStore) -> None:
    assert await store.cursor(RAIL) is None
    for block in (5, 9, 3):
        await store.save_cursor(ChainCursor(RAIL, block, bytes([block]) * 32))
    assert await store.cursor(RAIL) == ChainCursor(RAIL, 3, b"\3" * 32)
    assert await store.cursor("eip155:1029") is None


def intent(key: str, state: IntentState, *, paid: int | None = None, number: int = 1) -> Intent:
    return Intent(
        key=key,
        rail=RAIL,
        sender=ME,
        call=Call(partner(1), b"", 0, "cashMany", "cash"),
        state=state,
        nonce=number,
        fee=Fee(1, 1),
        raw=b"raw",
        hash=bytes([number]) * 32,
        replaced=(bytes([100 + number]) * 32, bytes([200 + number]) * 32),
        fee_paid=paid,
    )


async def test_every_id_that_an_intent_ever_had_is_ours(store: SqlStore) -> None:
    await store.save_intent(intent("a", IntentState.SENT))
    for ours in (1, 101, 201):
        assert await store.sent_by_us(RAIL, bytes([ours]) * 32)
    assert not await store.sent_by_us(RAIL, b"\2" * 32)
    assert not await store.sent_by_us("eip155:1029", b"\1" * 32)


async def test_what_ended_at_a_price_and_was_never_booked_is_found(store: SqlStore) -> None:
    open_one = intent("open", IntentState.MINED, paid=5, number=1)
    never_sent = replace(intent("never", IntentState.FAILED, number=2), hash=None, replaced=())
    final, failed = (
        intent("final", IntentState.FINAL, paid=5, number=3),
        intent("f", IntentState.FAILED, paid=1, number=4),
    )
    for made in (open_one, never_sent, final, failed):
        await store.save_intent(made)
    assert await store.unbooked_intents(RAIL, ME) == [final, failed]
    assert await store.unbooked_intents(RAIL, partner(1)) == []
    assert final.hash is not None
    await store.mark_cashed(cash_receipt(final.hash.hex()))
    assert await store.unbooked_intents(RAIL, ME) == [failed]
