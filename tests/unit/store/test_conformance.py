"""What the port promises, on every configuration of the store."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from node.ports.engine import TorrentId
from node.ports.store import (
    Account,
    AmountMismatchError,
    Cashed,
    CashReceipt,
    Counterparty,
    Direction,
    Entry,
    IssuedCheque,
    Line,
    ReceivedCheque,
    Role,
    Spending,
    Store,
    StoreClosedError,
    StoreError,
    TorrentRecord,
    Transfer,
)
from node.store import SqlStore
from tests.unit.store.kit import DAY, ME, NOW, RAIL, TORRENT, issue, issued, partner, received, torrent
from wallet.amount import MAX_AMOUNT
from wallet.chains.base import Call, Fee
from wallet.errors import StaleChequeError
from wallet.outbox import Intent, IntentState, OutboxStore


async def test_the_adapter_implements_both_ports(store: SqlStore) -> None:
    ports: tuple[Store, OutboxStore] = (store, store)  # mypy looks at the signatures
    assert all(ports)


# --- torrents -------------------------------------------------------------------------------------------------------


async def test_a_torrent_comes_back_as_it_was_saved(store: Store) -> None:
    full = TorrentRecord(
        id=TORRENT,
        name="Ünïcode",
        save_path=Path(os.fsdecode(b"/data/\xff not utf-8")),
        torrent=b"\x00torrent",
        magnet="magnet:?xt=urn:btih:" + TORRENT,
        resume=b"\x00resume",
        paused=True,
        seed_mode=True,
        added_at=NOW,
        finished_at=NOW + 1,
        speed=False,
        max_price=0,
        budget=MAX_AMOUNT,
    )
    await store.save_torrent(full)
    assert await store.torrents() == [full]


async def test_saving_a_torrent_again_replaces_it(store: Store) -> None:
    record = torrent(1)
    await store.save_torrent(record)
    changed = replace(record, paused=True, max_price=7)
    await store.save_torrent(changed)
    assert await store.torrents() == [changed]


async def test_torrents_come_in_the_order_in_which_they_were_added(store: Store) -> None:
    for number, added_at in ((1, NOW + 5), (2, NOW), (3, NOW + 9)):
        await store.save_torrent(torrent(number, added_at=added_at))
    assert [record.name for record in await store.torrents()] == ["torrent 2", "torrent 1", "torrent 3"]


async def test_resume_data_is_replaced_and_nothing_else(store: Store) -> None:
    record = torrent(1, resume=b"old")
    await store.save_torrent(record)
    await store.save_resume(record.id, b"new")
    assert await store.torrents() == [replace(record, resume=b"new")]


async def test_resume_data_of_a_removed_torrent_does_not_bring_it_back(store: Store) -> None:
    record = torrent(1)
    await store.save_torrent(record)
    await asyncio.gather(store.remove_torrent(record.id), store.save_resume(record.id, b"late"))
    assert await store.torrents() == []


async def test_removing_an_unknown_torrent_is_no_error(store: Store) -> None:
    await store.remove_torrent(TorrentId("00" * 20))


async def test_a_torrent_can_be_removed_and_added_in_one_commit(store: Store) -> None:
    record = torrent(1)
    await store.save_torrent(record)
    await asyncio.gather(store.remove_torrent(record.id), store.save_torrent(record))
    assert await store.torrents() == [record]


async def test_a_stop_is_clean_only_if_it_was_marked_and_only_once(store: Store) -> None:
    assert not await store.clean_stop()
    await store.mark_clean()
    assert await store.clean_stop()
    assert not await store.clean_stop()


# --- buying ---------------------------------------------------------------------------------------------------------


async def test_an_issued_cheque_comes_back_as_it_was_signed(store: Store) -> None:
    await store.issue_cheque(issue(MAX_AMOUNT, amount=MAX_AMOUNT))
    assert await store.issued(RAIL, ME, partner(1)) == issued(MAX_AMOUNT)
    assert await store.all_issued() == [issued(MAX_AMOUNT)]
    assert await store.issued(RAIL, ME, partner(2)) is None
    assert await store.issued("eip155:1029", ME, partner(1)) is None


@pytest.mark.parametrize("cumulative", [0, 1, 9, 10])
async def test_a_cheque_that_is_not_higher_is_refused_and_changes_nothing(store: Store, cumulative: int) -> None:
    await store.issue_cheque(issue(10, amount=10))
    with pytest.raises(StaleChequeError):
        await store.issue_cheque(issue(cumulative, amount=1))
    assert await store.issued(RAIL, ME, partner(1)) == issued(10)
    assert await store.spent(DAY) == Spending(10, 10)


async def test_a_cheque_that_grows_by_more_than_the_limits_were_asked_for_is_refused(store: Store) -> None:
    await store.issue_cheque(issue(10, amount=10))
    with pytest.raises(AmountMismatchError):
        await store.issue_cheque(issue(15, amount=4))
    with pytest.raises(AmountMismatchError):
        await store.issue_cheque(issue(15, amount=5, spent={TORRENT: 3, TorrentId("cd" * 20): 3}))
    assert await store.issued(RAIL, ME, partner(1)) == issued(10)


async def test_a_cheque_counts_as_spent_in_total_today_and_on_its_torrents(store: Store) -> None:
    other = TorrentId("cd" * 20)
    await store.issue_cheque(issue(10, amount=10, spent={TORRENT: 6, other: 3}))
    await store.issue_cheque(issue(5, amount=5, payee=2))
    await store.issue_cheque(issue(12, amount=2, day=DAY + 1))
    assert await store.spent(DAY) == Spending(total=17, today=15)
    assert await store.spent(DAY + 1) == Spending(total=17, today=2)
    assert await store.spent(DAY + 2) == Spending(total=17, today=0)
    assert await store.spent_on(TORRENT) == 6 + 5 + 2
    assert await store.spent_on(other) == 3


async def test_what_was_spent_on_a_torrent_survives_its_removal(store: Store) -> None:
    record = replace(torrent(1), id=TORRENT)
    await store.save_torrent(record)
    await store.issue_cheque(issue(10, amount=10))
    await store.remove_torrent(TORRENT)
    await store.save_torrent(record)
    assert await store.spent_on(TORRENT) == 10


async def test_debts_are_remembered_and_never_shrink(store: Store) -> None:
    await store.save_owed(RAIL, ME, partner(1), 7)
    account = await store.issued(RAIL, ME, partner(1))
    assert account is not None
    assert (account.owed, account.cumulative, account.signature) == (7, 0, b"")
    await store.issue_cheque(issue(5, amount=5))
    await store.save_owed(RAIL, ME, partner(1), 6)
    account = await store.issued(RAIL, ME, partner(1))
    assert account is not None
    assert (account.owed, account.cumulative) == (7, 5)


async def test_a_raised_floor_is_the_new_lowest_cheque_and_counts_as_spent(store: Store) -> None:
    await store.issue_cheque(issue(10, amount=10))
    assert await store.raise_issued_floor(issued(30)) == 20
    assert await store.spent(DAY) == Spending(30, 30)
    assert await store.spent_on(TORRENT) == 10
    with pytest.raises(StaleChequeError):
        await store.issue_cheque(issue(30, amount=20))
    await store.issue_cheque(issue(31, amount=1))


async def test_evidence_of_less_than_we_know_changes_nothing(store: Store) -> None:
    await store.issue_cheque(issue(10, amount=10))
    assert await store.raise_issued_floor(issued(9)) == 0
    assert await store.issued(RAIL, ME, partner(1)) == issued(10)
    assert await store.spent(DAY) == Spending(10, 10)


async def test_a_signature_that_the_chain_could_not_tell_is_learnt_later(store: Store) -> None:
    await store.raise_issued_floor(replace(issued(10), signature=b""))
    assert await store.raise_issued_floor(issued(9)) == 0
    account = await store.issued(RAIL, ME, partner(1))
    assert account is not None
    assert (account.cumulative, account.signature) == (10, b"")
    assert await store.raise_issued_floor(issued(10)) == 0
    assert await store.issued(RAIL, ME, partner(1)) == issued(10)


# --- selling --------------------------------------------------------------------------------------------------------


async def test_a_received_cheque_comes_back_with_its_account(store: Store) -> None:
    cheque = received(10, earned=12, forgiven=1, paid_bytes=2**40)
    assert await store.receive_cheque(cheque) == 10
    assert await store.received(RAIL, partner(1), ME) == cheque
    assert await store.all_received() == [cheque]
    assert await store.received(RAIL, partner(2), ME) is None


@pytest.mark.parametrize("cumulative", [0, 9, 10])
async def test_a_received_cheque_that_is_not_higher_is_refused(store: Store, cumulative: int) -> None:
    await store.receive_cheque(received(10, earned=10))
    with pytest.raises(StaleChequeError):
        await store.receive_cheque(received(cumulative, earned=99))
    assert await store.received(RAIL, partner(1), ME) == received(10, earned=10)


async def test_what_a_payer_took_is_remembered_without_a_cheque(store: Store) -> None:
    await store.save_earned(received(99, earned=5))
    account = await store.received(RAIL, partner(1), ME)
    assert account is not None
    assert (account.cumulative, account.signature, account.earned) == (0, b"", 5)


async def test_earned_and_paid_bytes_never_shrink_but_forgiveness_may(store: Store) -> None:
    await store.receive_cheque(received(10, earned=20, forgiven=3, paid_bytes=8))
    await store.save_earned(received(0, earned=19, forgiven=2, paid_bytes=7, now=NOW - 1))
    assert await store.received(RAIL, partner(1), ME) == received(10, earned=20, forgiven=2, paid_bytes=8)


async def test_a_receipt_marks_what_was_paid_and_what_bounced_once(store: Store) -> None:
    await store.receive_cheque(received(10))
    await store.receive_cheque(received(20, payer=2))
    fee = Entry(rail=RAIL, debit=Account.FEES, credit=Account.WALLET, amount=3, ref="0xfe", token="TRX")
    receipt = CashReceipt(
        rail=RAIL,
        transaction="0xfe",
        cashed=[Cashed(partner(1), ME, 10), Cashed(partner(2), ME, 15, bounced=5)],
        entries=[fee],
        now=NOW + 60,
    )
    assert await store.mark_cashed(receipt)
    assert not await store.mark_cashed(receipt)
    good, bad = await store.received(RAIL, partner(1), ME), await store.received(RAIL, partner(2), ME)
    assert isinstance(good, ReceivedCheque)
    assert isinstance(bad, ReceivedCheque)
    assert (good.cashed, good.uncashed, good.bounced, good.bounced_at) == (10, 0, 0, None)
    assert (bad.cashed, bad.uncashed, bad.bounced, bad.bounced_at) == (15, 5, 5, NOW + 60)
    balances = await store.balances()
    assert balances[Line(RAIL, "", Account.WALLET)] == 25
    assert balances[Line(RAIL, "", Account.CHEQUES_HELD)] == 5
    assert balances[Line(RAIL, "TRX", Account.WALLET)] == -3
    assert balances[Line(RAIL, "TRX", Account.FEES)] == 3


async def test_a_bounce_is_remembered_after_it_was_made_good(store: Store) -> None:
    await store.receive_cheque(received(10))
    await store.mark_cashed(CashReceipt(rail=RAIL, transaction="a", cashed=[Cashed(partner(1), ME, 4, 6)], now=NOW))
    await store.mark_cashed(CashReceipt(rail=RAIL, transaction="b", cashed=[Cashed(partner(1), ME, 10)], now=NOW + 9))
    account = await store.received(RAIL, partner(1), ME)
    assert account is not None
    assert (account.cashed, account.bounced, account.bounced_at) == (10, 0, NOW)


async def test_receipts_that_come_out_of_order_never_lower_what_was_cashed(store: Store) -> None:
    await store.receive_cheque(received(10))
    await store.mark_cashed(CashReceipt(rail=RAIL, transaction="b", cashed=[Cashed(partner(1), ME, 10)], now=NOW))
    await store.mark_cashed(CashReceipt(rail=RAIL, transaction="a", cashed=[Cashed(partner(1), ME, 4)], now=NOW))
    account = await store.received(RAIL, partner(1), ME)
    assert account is not None
    assert account.cashed == 10
    assert (await store.balances())[Line(RAIL, "", Account.WALLET)] == 10


async def test_a_payout_for_a_forgotten_cheque_is_booked(store: Store) -> None:
    await store.mark_cashed(CashReceipt(rail=RAIL, transaction="a", cashed=[Cashed(partner(1), ME, 4)], now=NOW))
    account = await store.received(RAIL, partner(1), ME)
    assert account is not None
    assert (account.cashed, account.uncashed) == (4, 0)


# --- history --------------------------------------------------------------------------------------------------------


async def test_transfers_add_up_per_torrent_partner_and_direction(store: Store) -> None:
    up = Transfer(
        torrent=TORRENT, rail=RAIL, counterparty=partner(1), direction=Direction.SENT, bytes=5, amount=7, free=1
    )
    down = replace(up, direction=Direction.RECEIVED)
    other = replace(up, counterparty=partner(2), torrent=TorrentId("cd" * 20))
    await store.add_transfers([up, down])
    await store.add_transfers([up, other])
    twice = replace(up, bytes=10, amount=14, free=2)
    assert sorted(await store.transfers(), key=str) == sorted([twice, down, other], key=str)
    assert await store.transfers(torrent=other.torrent) == [other]
    assert await store.transfers(counterparty=partner(2)) == [other]
    assert await store.transfers(torrent=TORRENT, counterparty=partner(2)) == []


async def test_a_counterparty_keeps_its_first_and_its_latest_sighting(store: Store) -> None:
    seen = Counterparty(
        rail=RAIL, address=partner(1), role=Role.PAYER, first_seen=NOW, last_seen=NOW, host="192.0.2.1", port=1
    )
    again = replace(seen, first_seen=NOW + 9, last_seen=NOW + 9, host="2001:db8::1", port=2)
    older = replace(seen, address=partner(2), last_seen=NOW + 1)
    for sighting in (seen, older, again):
        await store.save_counterparty(sighting)
    assert await store.counterparties() == [replace(again, first_seen=NOW), older]


# --- books ----------------------------------------------------------------------------------------------------------


async def test_the_books_tell_of_every_cheque_and_balance(store: Store) -> None:
    await store.post(
        [Entry(rail=RAIL, debit=Account.VAULT, credit=Account.WALLET, amount=100, ref="0xd0", memo="deposit")], NOW
    )
    await store.issue_cheque(issue(10, amount=10))
    await store.raise_issued_floor(issued(12))
    await store.receive_cheque(received(30))
    balances = await store.balances()
    assert balances == {
        Line(RAIL, "", Account.VAULT): 100,
        Line(RAIL, "", Account.WALLET): -100,
        Line(RAIL, "", Account.SPEED_EXPENSE): 12,
        Line(RAIL, "", Account.CHEQUES_ISSUED): -12,
        Line(RAIL, "", Account.CHEQUES_HELD): 30,
        Line(RAIL, "", Account.SPEED_INCOME): -30,
    }
    assert sum(balances.values()) == 0


async def test_equal_bookings_of_one_day_share_one_row(store: Store) -> None:
    for cumulative in range(1, 11):
        await store.receive_cheque(received(cumulative, now=NOW + cumulative))
    await store.receive_cheque(received(20, now=NOW + 86_400))
    later, first = await store.journal()
    assert (first.day, first.at, first.count, first.entry.amount) == (DAY, NOW + 10, 10, 10)
    assert (later.day, later.count, later.entry.amount) == (DAY + 1, 1, 10)
    assert first.entry.ref == partner(1).evm
    assert await store.journal(since_day=DAY + 1) == [later]
    assert await store.journal(limit=1) == [later]


# --- outbox ---------------------------------------------------------------------------------------------------------


def intent(key: str, created_at: int = NOW) -> Intent:
    call = Call(to=partner(9), data=b"\x00\xff", value=MAX_AMOUNT, method="cashMany", text="cash 2 cheques")
    return Intent(key=key, rail=RAIL, sender=ME, call=call, created_at=created_at)


async def test_an_intent_comes_back_as_it_was_saved_in_every_state(store: SqlStore) -> None:
    planned = intent("a")
    signed = replace(
        planned, state=IntentState.SIGNED, nonce=0, fee=Fee(21_000, 10**18), raw=b"\x02raw", hash=b"\x07" * 32
    )
    dearer = replace(signed, raw=b"\x02more", hash=b"\x08" * 32, replaced=(signed.hash or b"", b"\x00" * 32))
    mined = replace(dearer, state=IntentState.MINED, block=5, fee_paid=2**80)
    failed = replace(mined, state=IntentState.FAILED, reason="refused")
    for state in (planned, signed, dearer, mined, failed):
        await store.save_intent(state)
        assert await store.intent("a") == state
    assert await store.intent("b") is None


async def test_intents_are_listed_newest_first_whatever_became_of_them(store: SqlStore) -> None:
    for number, key in enumerate("zam"):
        await store.save_intent(intent(key, NOW + number))
    await store.save_intent(replace(intent("z", NOW), state=IntentState.FINAL))
    await store.save_intent(replace(intent("other"), sender=partner(9)))
    assert [found.key for found in await store.intents(RAIL, ME)] == ["m", "a", "z"]
    assert [found.key for found in await store.intents(RAIL, ME, since=NOW + 1, limit=1)] == ["m"]
    assert list(await store.intents("eip155:1", ME)) == []


async def test_open_intents_come_oldest_first_and_without_closed_ones(store: SqlStore) -> None:
    for key in ("z", "m", "a"):
        await store.save_intent(intent(key))
    await store.save_intent(replace(intent("m"), state=IntentState.FINAL))
    await store.save_intent(replace(intent("z"), state=IntentState.SENT))
    assert [open_intent.key for open_intent in await store.open_intents()] == ["z", "a"]


# --- the store itself -----------------------------------------------------------------------------------------------


async def test_calls_take_effect_in_the_order_in_which_they_are_made(store: Store) -> None:
    calls = [store.issue_cheque(issue(10 * n, amount=10)) for n in range(1, 301)]
    await asyncio.gather(*calls)
    assert await store.issued(RAIL, ME, partner(1)) == issued(3000)
    assert (await store.spent(DAY)).total == 3000


async def test_only_the_culprit_of_a_group_fails(store: Store) -> None:
    calls = [store.issue_cheque(issue(10, amount=1 if payee == 7 else 10, payee=payee)) for payee in range(1, 21)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results if result is not None] == [AmountMismatchError]
    assert isinstance(results[6], AmountMismatchError)
    payees = {account.payee for account in await store.all_issued()}
    assert payees == {partner(payee) for payee in range(1, 21) if payee != 7}
    assert (await store.spent(DAY)).total == 190


async def test_a_number_that_does_not_fit_is_an_error_of_its_own_call_only(store: Store) -> None:
    good, bad = await asyncio.gather(
        store.issue_cheque(issue(10, amount=10)),
        store.save_earned(received(0, earned=MAX_AMOUNT + 1)),
        return_exceptions=True,
    )
    assert good is None
    assert isinstance(bad, StoreError)
    assert await store.issued(RAIL, ME, partner(1)) == issued(10)
    assert await store.all_received() == []


async def test_a_cancelled_caller_does_not_undo_its_call(store: Store) -> None:
    task = asyncio.create_task(store.issue_cheque(issue(10, amount=10)))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await store.mark_clean()  # comes after it
    assert isinstance(await store.issued(RAIL, ME, partner(1)), IssuedCheque)


async def test_close_finishes_what_was_submitted_and_refuses_the_rest(store: Store, tmp_path: Path) -> None:
    calls = [asyncio.create_task(store.receive_cheque(received(1, payer=n))) for n in range(1, 101)]
    await asyncio.sleep(0)
    await asyncio.gather(store.close(), store.close())
    assert [task.result() for task in calls] == [1] * 100
    with pytest.raises(StoreClosedError):
        await store.receive_cheque(received(2))
    with pytest.raises(StoreClosedError):
        await store.torrents()
    assert not (tmp_path / "node.db-wal").exists()
