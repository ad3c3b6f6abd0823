"""What each call of the store port does to the records of one transaction.

Every operation looks first and changes afterwards. Amounts that grow are found here, from what is stored, so that a
cheque, the counters and the journal always tell the same story.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from node.ports.btfs import BtfsPayout, BtfsRecord
from node.ports.engine import TorrentId
from node.ports.store import (
    Account,
    AmountMismatchError,
    Cashed,
    CashReceipt,
    ChainCursor,
    Counterparty,
    Entry,
    IssueCheque,
    IssuedCheque,
    NeedsReconcileError,
    Payout,
    ReceivedCheque,
    Role,
    TorrentRecord,
    Transfer,
    utc_day,
)
from node.speed.reputation import Changes
from node.store.mapping import Key, Posting, Receipt, SpendCounter, StoredIntent
from node.store.unit import Unit
from wallet.address import Address
from wallet.errors import StaleChequeError
from wallet.outbox import Intent

CLEAN = "clean"
INTENTS = "intents"
PAYOUTS = "payouts"
JUDGED = "judged"

# --- torrents -------------------------------------------------------------------------------------------------------


def save_torrent(unit: Unit, torrent: TorrentRecord) -> None:
    unit.torrents.put(torrent)


def save_resume(unit: Unit, torrent: TorrentId, resume: bytes) -> None:
    record = unit.torrents.get(torrent)
    if record is not None:
        unit.torrents.put(replace(record, resume=resume))


def remove_torrent(unit: Unit, torrent: TorrentId) -> None:
    unit.torrents.remove(torrent)


def clean_stop(unit: Unit) -> bool:
    clean = unit.number(CLEAN) == 1
    unit.set_number(CLEAN, 0)
    return clean


def mark_clean(unit: Unit) -> None:
    unit.set_number(CLEAN, 1)


# --- buying ---------------------------------------------------------------------------------------------------------


def issue_cheque(unit: Unit, request: IssueCheque) -> None:
    cheque = request.cheque
    stored = unit.issued.get(cheque.rail, cheque.payer, cheque.payee)
    if stored is not None and stored.needs_reconcile:
        raise NeedsReconcileError(
            f"cheques to {cheque.payee} may be missing from this restored database: nothing is signed to it yet"
        )
    issued = 0 if stored is None else stored.cumulative
    growth = cheque.cumulative - issued
    if growth <= 0:
        raise StaleChequeError(f"a cheque over {issued} to {cheque.payee} exists: {cheque.cumulative} is not higher")
    if growth != request.amount:
        raise AmountMismatchError(
            f"the cheque to {cheque.payee} grows by {growth}, but {request.amount} was asked for: nothing was issued"
        )
    if sum(request.spent.values()) > growth:
        raise AmountMismatchError(
            f"the torrents' shares of a cheque to {cheque.payee} are more than the {growth} of it"
        )
    _put_issued(unit, cheque, stored)
    _count_spent(unit, SpendCounter.total(), growth)
    _count_spent(unit, SpendCounter.day(request.day), growth)
    for torrent, amount in request.spent.items():
        _count_spent(unit, SpendCounter.torrent(torrent), amount)
    _book_issued(unit, cheque, growth)


def raise_issued_floor(unit: Unit, cheque: IssuedCheque) -> int:
    stored = unit.issued.get(cheque.rail, cheque.payer, cheque.payee)
    issued = 0 if stored is None else stored.cumulative
    growth = cheque.cumulative - issued
    if growth > 0:
        _put_issued(unit, cheque, stored)
        _count_spent(unit, SpendCounter.total(), growth)
        _count_spent(unit, SpendCounter.day(utc_day(cheque.updated_at)), growth)
        _book_issued(unit, cheque, growth)
    elif stored is not None:
        # The chain tells amounts only: a payee may bring the signature that goes with one later.
        signature = stored.signature or (cheque.signature if growth == 0 else b"")
        settled = replace(stored, needs_reconcile=False, signature=signature)
        if settled != stored:
            unit.issued.put(settled)
            unit.moved_money = True
    return max(0, growth)


def save_owed(unit: Unit, rail: str, payer: Address, payee: Address, owed: int) -> None:
    stored = unit.issued.get(rail, payer, payee)
    if stored is None:
        stored = IssuedCheque(rail=rail, payer=payer, payee=payee, cumulative=0, owed=0, signature=b"", updated_at=0)
    if owed > stored.owed:
        unit.issued.put(replace(stored, owed=owed))


def flag_all_issued(unit: Unit) -> int:
    """After a rollback: every known account waits for evidence. Returns how many there are."""
    accounts = unit.issued.all()
    for account in accounts:
        unit.issued.put(replace(account, needs_reconcile=True))
    return len(accounts)


def _put_issued(unit: Unit, cheque: IssuedCheque, stored: IssuedCheque | None) -> None:
    owed = max(cheque.owed, cheque.cumulative, 0 if stored is None else stored.owed)
    unit.issued.put(replace(cheque, owed=owed, needs_reconcile=False))
    unit.moved_money = True


def _count_spent(unit: Unit, counter: Key, amount: int) -> None:
    scope, name = counter
    stored = unit.spending.get(scope, name)
    before = 0 if stored is None else stored.amount
    unit.spending.put(SpendCounter(scope, name, before + amount))


def _book_issued(unit: Unit, cheque: IssuedCheque, growth: int) -> None:
    _book(
        unit,
        Entry(
            rail=cheque.rail,
            debit=Account.SPEED_EXPENSE,
            credit=Account.CHEQUES_ISSUED,
            amount=growth,
            ref=cheque.payee.evm,
            memo="cheques issued",
        ),
        cheque.updated_at,
    )


# --- selling --------------------------------------------------------------------------------------------------------


def receive_cheque(unit: Unit, cheque: ReceivedCheque) -> int:
    stored = unit.received.get(cheque.rail, cheque.payer, cheque.payee)
    received = 0 if stored is None else stored.cumulative
    growth = cheque.cumulative - received
    if growth <= 0:
        raise StaleChequeError(
            f"{cheque.payer} gave a cheque over {received} before: {cheque.cumulative} is not higher"
        )
    account = _with_history(_received_account(cheque, stored), cheque)
    unit.received.put(replace(account, cumulative=cheque.cumulative, signature=cheque.signature))
    _book(
        unit,
        Entry(
            rail=cheque.rail,
            debit=Account.CHEQUES_HELD,
            credit=Account.SPEED_INCOME,
            amount=growth,
            ref=cheque.payer.evm,
            memo="cheques received",
        ),
        cheque.updated_at,
    )
    unit.moved_money = True
    return growth


def save_earned(unit: Unit, account: ReceivedCheque) -> None:
    stored = unit.received.get(account.rail, account.payer, account.payee)
    unit.received.put(_with_history(_received_account(account, stored), account))


def mark_cashed(unit: Unit, receipt: CashReceipt) -> bool:
    if unit.receipts.get(receipt.rail, receipt.transaction) is not None:
        return False
    unit.receipts.put(Receipt(receipt.rail, receipt.transaction, receipt.now))
    for cashed in receipt.cashed:
        stored = unit.received.get(receipt.rail, cashed.payer, cashed.payee)
        if stored is None:
            # Somebody may cash for us a cheque that a restored database has forgotten: the payout is real.
            stored = _empty_account(receipt.rail, cashed.payer, cashed.payee, receipt.now)
        growth = max(0, cashed.paid_out - stored.cashed)
        if cashed.paid_out >= stored.cashed:  # else a later receipt came first, and knows better what is not covered
            stored = replace(stored, cashed=cashed.paid_out, bounced=cashed.bounced)
        unit.received.put(replace(stored, bounced_at=receipt.now if cashed.bounced else stored.bounced_at))
        _put_payout(unit, receipt, cashed, growth)
        if growth:
            entry = Entry(
                rail=receipt.rail,
                debit=receipt.into,
                credit=Account.CHEQUES_HELD,
                amount=growth,
                ref=cashed.payer.evm,
                memo="cheques cashed",
            )
            _book(unit, entry, receipt.now)
    post(unit, receipt.entries, receipt.now)
    unit.moved_money = True
    return True


def _put_payout(unit: Unit, receipt: CashReceipt, cashed: Cashed, amount: int) -> None:
    number = unit.number(PAYOUTS) + 1
    unit.set_number(PAYOUTS, number)
    unit.payouts.put(
        Payout(
            number=number,
            rail=receipt.rail,
            transaction=receipt.transaction,
            block=receipt.block,
            payer=cashed.payer,
            payee=cashed.payee,
            amount=amount,
            bounced=cashed.bounced,
            fee=cashed.fee,
            at=receipt.now,
        )
    )


def save_cursor(unit: Unit, cursor: ChainCursor) -> None:
    unit.cursors.put(cursor)


def _empty_account(rail: str, payer: Address, payee: Address, now: int) -> ReceivedCheque:
    return ReceivedCheque(rail=rail, payer=payer, payee=payee, cumulative=0, signature=b"", updated_at=now)


def _received_account(cheque: ReceivedCheque, stored: ReceivedCheque | None) -> ReceivedCheque:
    if stored is not None:
        return stored
    return _empty_account(cheque.rail, cheque.payer, cheque.payee, cheque.updated_at)


def _with_history(stored: ReceivedCheque, account: ReceivedCheque) -> ReceivedCheque:
    return replace(
        stored,
        earned=max(stored.earned, account.earned),
        forgiven=account.forgiven,
        paid_bytes=max(stored.paid_bytes, account.paid_bytes),
        updated_at=max(stored.updated_at, account.updated_at),
    )


# --- BTFS -----------------------------------------------------------------------------------------------------------


def keep_btfs(unit: Unit, cheque: BtfsRecord, gain: int, symbol: str) -> None:
    stored = unit.btfs_cheques.get(cheque.rail, cheque.role, cheque.vault, cheque.beneficiary, cheque.token)
    before, cashed = (0, 0) if stored is None else (stored.cumulative, stored.cashed)
    if cheque.cumulative <= before:
        raise StaleChequeError(
            f"a BTFS cheque over {before} on {cheque.vault} exists: {cheque.cumulative} is no higher"
        )
    unit.btfs_cheques.put(replace(cheque, cashed=cashed))
    issued = cheque.role is Role.PAYEE
    if issued:
        day = utc_day(cheque.updated_at)
        all_cheques = (SpendCounter.total(), SpendCounter.day(day))
        for counter in (SpendCounter.token_day(cheque.rail, symbol, day),) if symbol else all_cheques:
            _count_spent(unit, counter, gain)
    entry = Entry(
        rail=cheque.rail,
        debit=Account.STORAGE_EXPENSE if issued else Account.CHEQUES_HELD,
        credit=Account.CHEQUES_ISSUED if issued else Account.STORAGE_INCOME,
        amount=gain,
        ref=cheque.beneficiary.evm if issued else cheque.vault.evm,
        memo=f"BTFS cheques {'issued' if issued else 'received'}",
        token=symbol,
    )
    _book(unit, entry, cheque.updated_at)
    unit.moved_money = True


def book_btfs(unit: Unit, payout: BtfsPayout) -> bool:
    # The transaction's fee is booked under its id alone, by whoever books all transactions.
    name = f"btfs:{payout.transaction}"
    if unit.receipts.get(payout.rail, name) is not None:
        return False
    unit.receipts.put(Receipt(payout.rail, name, payout.at))
    stored = unit.btfs_cheques.get(payout.rail, Role.PAYER, payout.vault, payout.beneficiary, payout.token)
    if stored is not None:
        unit.btfs_cheques.put(replace(stored, cashed=stored.cashed + payout.amount))
    if payout.amount:
        entry = Entry(
            rail=payout.rail,
            debit=Account.WALLET,
            credit=Account.CHEQUES_HELD,
            amount=payout.amount,
            ref=payout.vault.evm,
            memo="BTFS cheques cashed",
            token=payout.symbol,
        )
        _book(unit, entry, payout.at)
    unit.moved_money = True
    return True


# --- history --------------------------------------------------------------------------------------------------------


def add_transfers(unit: Unit, transfers: Sequence[Transfer]) -> None:
    for new in transfers:
        old = unit.transfers.get(new.torrent, new.rail, new.counterparty, new.direction)
        if old is not None:
            new = replace(new, bytes=old.bytes + new.bytes, amount=old.amount + new.amount, free=old.free + new.free)
        unit.transfers.put(new)


def save_counterparty(unit: Unit, seen: Counterparty) -> None:
    old = unit.counterparties.get(seen.rail, seen.address, seen.role)
    if old is not None:
        first, last = min(old.first_seen, seen.first_seen), max(old.last_seen, seen.last_seen)
        seen = replace(seen, first_seen=first, last_seen=last)
    unit.counterparties.put(seen)


def save_reputations(unit: Unit, changes: Changes, judged: int) -> None:
    for key in changes.forgotten:
        unit.reputation.remove(*key)
    for record in changes.records:
        unit.reputation.put(record)
    if judged != unit.number(JUDGED):
        unit.set_number(JUDGED, judged)


# --- books ----------------------------------------------------------------------------------------------------------


def post(unit: Unit, entries: Sequence[Entry], now: int) -> None:
    for entry in entries:
        _book(unit, entry, now)
        unit.moved_money = True


def _book(unit: Unit, entry: Entry, at: int) -> None:
    day = utc_day(at)
    old = unit.journal.get(day, entry.rail, entry.debit, entry.credit, entry.ref, entry.token)
    amount, count, memo = (0, 0, entry.memo) if old is None else (old.amount, old.count, old.memo)
    unit.journal.put(
        Posting(
            day=day,
            rail=entry.rail,
            debit=entry.debit,
            credit=entry.credit,
            ref=entry.ref,
            token=entry.token,
            at=at if old is None else max(old.at, at),
            amount=amount + entry.amount,
            count=count + 1,
            memo=memo,
        )
    )


# --- outbox ---------------------------------------------------------------------------------------------------------


def save_intent(unit: Unit, intent: Intent) -> None:
    stored = unit.intents.get(intent.key)
    if stored is None:
        number = unit.number(INTENTS) + 1
        unit.set_number(INTENTS, number)
    else:
        number = stored.number
    unit.intents.put(StoredIntent.of(intent, number))
    unit.moved_money = True
