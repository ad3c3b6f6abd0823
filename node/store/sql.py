"""The `Store` port over SQL: writes go to the group commit, reads to connections of their own."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection, LargeBinary, Select, cast, func, or_, select

from node.ports.btfs import BtfsPayout, BtfsRecord
from node.ports.engine import TorrentId
from node.ports.renting import AuditRecord, Rental, SentLabel, StoredObject
from node.ports.storage import Bond, HostedContract, KeptLabel
from node.ports.storagebooks import Committed
from node.ports.store import (
    CashReceipt,
    ChainCursor,
    Counterparty,
    Entry,
    IssueCheque,
    IssuedCheque,
    JournalRow,
    Line,
    Payout,
    ReceivedCheque,
    Spending,
    StoreClosedError,
    TorrentRecord,
    Transfer,
)
from node.speed.reputation import Changes, Snapshot
from node.storage.standing import Standing
from node.store import hosting, operations, renting, schema, storagebooks
from node.store.database import READERS, Database
from node.store.mapping import (
    AUDITS,
    BTFS_CHEQUES,
    COUNTERPARTIES,
    CURSORS,
    HOSTED,
    INTENTS,
    ISSUED,
    JOURNAL,
    KEPT_LABELS,
    KNOWN_HOSTS,
    LATEST_AUDITS,
    META,
    PAYOUTS,
    POSITIONS,
    RECEIVED,
    RENTALS,
    REPUTATION,
    SENT_LABELS,
    SPENDING,
    STORED_OBJECTS,
    TORRENTS,
    TRANSFERS,
    Key,
    Kind,
    SpendCounter,
)
from node.store.writer import MAX_BATCH, Writer
from wallet.address import Address
from wallet.outbox import CLOSED, Intent
from wallet.storage.books import MarketBooks, Position
from wallet.storage.chain import Happened
from wallet.storage.events import MarketEvent
from wallet.storage_terms import Voucher

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")
R = TypeVar("R", bound="DataclassInstance")

MAX_READS = 64
"""Reads under way; whoever wants more waits."""


class SqlStore:
    """`Store`, `BtfsStore`, `ReputationStore`, `StorageStore` and `RenterStore` of `node.ports`, and
    `wallet.outbox.OutboxStore`. Made by `open_store`."""

    def __init__(self, database: Database, *, max_batch: int = MAX_BATCH) -> None:
        self._database = database
        self._writer = Writer(database.transact, max_batch=max_batch)
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")
        self._reads = asyncio.Semaphore(MAX_READS)
        self._closing: asyncio.Task[None] | None = None

    async def close(self) -> None:
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        await self._writer.close()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._threads.shutdown)
        await loop.run_in_executor(None, self._database.close)

    # --- torrents ----------------------------------------------------------------------------------------------------

    async def save_torrent(self, torrent: TorrentRecord) -> None:
        await self._writer.submit(lambda unit: operations.save_torrent(unit, torrent))

    async def save_resume(self, torrent: TorrentId, resume: bytes) -> None:
        await self._writer.submit(lambda unit: operations.save_resume(unit, torrent, resume))

    async def remove_torrent(self, torrent: TorrentId) -> None:
        await self._writer.submit(lambda unit: operations.remove_torrent(unit, torrent))

    async def torrents(self) -> Sequence[TorrentRecord]:
        table = schema.torrents
        return await self._all(TORRENTS, TORRENTS.select_all.order_by(table.c.added_at, table.c.id))

    async def clean_stop(self) -> bool:
        return await self._writer.submit(operations.clean_stop)

    async def mark_clean(self) -> None:
        await self._writer.submit(operations.mark_clean)

    # --- buying ------------------------------------------------------------------------------------------------------

    async def issue_cheque(self, request: IssueCheque) -> None:
        await self._writer.submit(lambda unit: operations.issue_cheque(unit, request))

    async def save_owed(self, rail: str, payer: Address, payee: Address, owed: int) -> None:
        await self._writer.submit(lambda unit: operations.save_owed(unit, rail, payer, payee, owed))

    async def raise_issued_floor(self, cheque: IssuedCheque) -> int:
        return await self._writer.submit(lambda unit: operations.raise_issued_floor(unit, cheque))

    async def issued(self, rail: str, payer: Address, payee: Address) -> IssuedCheque | None:
        return await self._read(lambda connection: _one(connection, ISSUED, (rail, payer, payee)))

    async def all_issued(self) -> Sequence[IssuedCheque]:
        return await self._all(ISSUED, ISSUED.select_all)

    async def spent(self, day: int) -> Spending:
        def query(connection: Connection) -> Spending:
            total = _one(connection, SPENDING, SpendCounter.total())
            today = _one(connection, SPENDING, SpendCounter.day(day))
            return Spending(total=total.amount if total else 0, today=today.amount if today else 0)

        return await self._read(query)

    async def spent_on(self, torrent: TorrentId) -> int:
        counter = await self._read(lambda connection: _one(connection, SPENDING, SpendCounter.torrent(torrent)))
        return counter.amount if counter else 0

    # --- selling -----------------------------------------------------------------------------------------------------

    async def receive_cheque(self, cheque: ReceivedCheque) -> int:
        return await self._writer.submit(lambda unit: operations.receive_cheque(unit, cheque))

    async def save_earned(self, account: ReceivedCheque) -> None:
        await self._writer.submit(lambda unit: operations.save_earned(unit, account))

    async def mark_cashed(self, receipt: CashReceipt) -> bool:
        return await self._writer.submit(lambda unit: operations.mark_cashed(unit, receipt))

    async def received(self, rail: str, payer: Address, payee: Address) -> ReceivedCheque | None:
        return await self._read(lambda connection: _one(connection, RECEIVED, (rail, payer, payee)))

    async def all_received(self) -> Sequence[ReceivedCheque]:
        return await self._all(RECEIVED, RECEIVED.select_all)

    async def payouts(
        self, *, rail: str | None = None, payer: Address | None = None, before: int | None = None, limit: int = 100
    ) -> Sequence[Payout]:
        table, query = schema.payouts, PAYOUTS.select_all
        if rail is not None:
            query = query.where(table.c.rail == rail)
        if payer is not None:
            query = query.where(table.c.payer == payer)
        if before is not None:
            query = query.where(table.c.number < before)
        return await self._all(PAYOUTS, query.order_by(table.c.number.desc()).limit(limit))

    # --- BTFS (`node.ports.btfs.BtfsStore`) --------------------------------------------------------------------------

    async def keep_btfs(self, cheque: BtfsRecord, gain: int, symbol: str = "") -> None:
        await self._writer.submit(lambda unit: operations.keep_btfs(unit, cheque, gain, symbol))

    async def btfs_cheques(self, rail: str) -> Sequence[BtfsRecord]:
        return await self._all(BTFS_CHEQUES, BTFS_CHEQUES.select_all.where(schema.btfs_cheques.c.rail == rail))

    async def book_btfs(self, payout: BtfsPayout) -> bool:
        return await self._writer.submit(lambda unit: operations.book_btfs(unit, payout))

    async def spent_in(self, rail: str, symbol: str, day: int) -> int:
        key = SpendCounter.token_day(rail, symbol, day)
        counter = await self._read(lambda connection: _one(connection, SPENDING, key))
        return counter.amount if counter else 0

    # --- the chain ---------------------------------------------------------------------------------------------------

    async def cursor(self, rail: str) -> ChainCursor | None:
        return await self._read(lambda connection: _one(connection, CURSORS, (rail,)))

    async def save_cursor(self, cursor: ChainCursor) -> None:
        await self._writer.submit(lambda unit: operations.save_cursor(unit, cursor))

    async def sent_by_us(self, rail: str, transaction: bytes) -> bool:
        table = schema.intents
        query = select(table.c.key).where(
            table.c.rail == rail,
            or_(table.c.hash == transaction, func.instr(cast(table.c.replaced, LargeBinary), transaction) > 0),
        )
        return await self._read(lambda connection: connection.execute(query.limit(1)).first() is not None)

    async def unbooked_intents(self, rail: str, sender: Address) -> Sequence[Intent]:
        table, receipts = schema.intents, schema.receipts
        booked = select(receipts.c.transaction).where(receipts.c.rail == rail)
        query = INTENTS.select_all.where(
            table.c.rail == rail,
            table.c.sender == sender,
            table.c.state.in_(CLOSED),
            table.c.fee_paid.is_not(None),
            func.lower(func.hex(table.c.hash)).not_in(booked),
        )
        return [stored.as_intent() for stored in await self._all(INTENTS, query.order_by(table.c.number))]

    # --- history -----------------------------------------------------------------------------------------------------

    async def add_transfers(self, transfers: Sequence[Transfer]) -> None:
        await self._writer.submit(lambda unit: operations.add_transfers(unit, transfers))

    async def transfers(
        self, *, torrent: TorrentId | None = None, counterparty: Address | None = None
    ) -> Sequence[Transfer]:
        table, query = schema.transfers, TRANSFERS.select_all
        if torrent is not None:
            query = query.where(table.c.torrent == torrent)
        if counterparty is not None:
            query = query.where(table.c.counterparty == counterparty)
        return await self._all(TRANSFERS, query)

    async def save_counterparty(self, counterparty: Counterparty) -> None:
        await self._writer.submit(lambda unit: operations.save_counterparty(unit, counterparty))

    async def counterparties(self) -> Sequence[Counterparty]:
        query = COUNTERPARTIES.select_all.order_by(schema.counterparties.c.last_seen.desc())
        return await self._all(COUNTERPARTIES, query)

    # --- reputations (`node.ports.reputation.ReputationStore`) --------------------------------------------------------

    async def reputations(self) -> Sequence[Snapshot]:
        return await self._all(REPUTATION, REPUTATION.select_all)

    async def save_reputations(self, changes: Changes, judged: int) -> None:
        await self._writer.submit(lambda unit: operations.save_reputations(unit, changes, judged))

    async def judged(self) -> int:
        meta = await self._read(lambda connection: _one(connection, META, (operations.JUDGED,)))
        return meta.value if meta else 0

    async def payouts_after(self, number: int, *, limit: int = 100) -> Sequence[Payout]:
        table = schema.payouts
        query = PAYOUTS.select_all.where(table.c.number > number)
        return await self._all(PAYOUTS, query.order_by(table.c.number).limit(limit))

    # --- hosting (`node.ports.storage.StorageStore`) ------------------------------------------------------------------

    async def hosted(self) -> Sequence[HostedContract]:
        table = schema.hosted
        return await self._all(HOSTED, HOSTED.select_all.order_by(table.c.created_at, table.c.id))

    async def save_hosted(self, contract: HostedContract) -> None:
        await self._writer.submit(lambda unit: hosting.save_hosted(unit, contract))

    async def keep_voucher(self, voucher: Voucher, signature: bytes, at: int) -> None:
        await self._writer.submit(lambda unit: hosting.keep_voucher(unit, voucher, signature, at))

    async def book_paid(self, contract_id: bytes, paid: int) -> int:
        return await self._writer.submit(lambda unit: hosting.book_paid(unit, contract_id, paid))

    async def book_bond(self, bond: Bond) -> bool:
        return await self._writer.submit(lambda unit: hosting.book_bond(unit, bond))

    async def keep_label(self, label: KeptLabel) -> KeptLabel:
        return await self._writer.submit(lambda unit: hosting.keep_label(unit, label))

    async def label(self, contract_id: bytes) -> KeptLabel | None:
        return await self._read(lambda connection: _one(connection, KEPT_LABELS, (contract_id,)))

    async def label_bytes(self) -> int:
        # SQLite knows a value's length without reading it.
        query = select(func.coalesce(func.sum(func.length(schema.kept_labels.c.data)), 0))
        return await self._read(lambda connection: int(connection.execute(query).scalar_one()))

    # --- renting (`node.ports.renting.RenterStore`) -------------------------------------------------------------------

    async def save_object(self, stored: StoredObject) -> None:
        await self._writer.submit(lambda unit: unit.stored_objects.put(stored))

    async def objects(self) -> Sequence[StoredObject]:
        table = schema.stored_objects
        return await self._all(STORED_OBJECTS, STORED_OBJECTS.select_all.order_by(table.c.created, table.c.id))

    async def remove_object(self, object_id: str) -> None:
        await self._writer.submit(lambda unit: renting.remove_object(unit, object_id))

    async def save_rental(self, rental: Rental) -> None:
        await self._writer.submit(lambda unit: renting.save_rental(unit, rental))

    async def rentals(self, object_id: str | None = None) -> Sequence[Rental]:
        table, query = schema.rentals, RENTALS.select_all
        if object_id is not None:
            query = query.where(table.c.object == object_id)
        rentals = await self._all(RENTALS, query)
        return sorted(rentals, key=lambda rental: (rental.shard, rental.terms.start, rental.id))

    async def offer(self, rentals: Sequence[Rental], day: int) -> None:
        await self._writer.submit(lambda unit: renting.offer(unit, rentals, day))

    async def committed(self, day: int) -> Committed:
        found = [position for position in await self.positions() if position.committed]
        today = sum(position.committed for position in found if position.day == day)
        return Committed(sum(position.committed for position in found), today)

    async def save_audit(self, audit: AuditRecord) -> None:
        await self._writer.submit(lambda unit: renting.save_audit(unit, audit))

    async def audits(self, contract: bytes) -> Sequence[AuditRecord]:
        table = schema.audits

        def query(connection: Connection) -> list[AuditRecord]:
            latest = _one(connection, LATEST_AUDITS, (contract,))
            rows = connection.execute(AUDITS.select_all.where(table.c.contract == contract).order_by(table.c.at))
            return [renting.with_evidence(AUDITS.load(row), latest) for row in rows]

        return await self._read(query)

    async def save_label(self, label: SentLabel) -> None:
        await self._writer.submit(lambda unit: renting.save_label(unit, label))

    async def labels(self, object_id: str) -> Sequence[SentLabel]:
        query = SENT_LABELS.select_all.where(schema.sent_labels.c.object == object_id)
        return await self._all(SENT_LABELS, query)

    async def save_standing(self, standing: Standing) -> None:
        await self._writer.submit(lambda unit: renting.save_standing(unit, standing))

    async def standings(self, rail: str) -> Sequence[Standing]:
        return await self._all(KNOWN_HOSTS, KNOWN_HOSTS.select_all.where(schema.known_hosts.c.rail == rail))

    # --- the storage market's books (`node.ports.storagebooks.StorageBooksStore`) -------------------------------------

    async def book_market(
        self, books: MarketBooks, events: Sequence[Happened[MarketEvent]], *, first: int, cursor: ChainCursor, now: int
    ) -> bool:
        return await self._writer.submit(lambda unit: storagebooks.book_market(unit, books, events, first, cursor, now))

    async def positions(self) -> Sequence[Position]:
        return await self._all(POSITIONS, POSITIONS.select_all.order_by(schema.storage_positions.c.id))

    # --- books -------------------------------------------------------------------------------------------------------

    async def post(self, entries: Sequence[Entry], now: int) -> None:
        await self._writer.submit(lambda unit: operations.post(unit, entries, now))

    async def journal(self, *, since_day: int = 0, limit: int = 1000) -> Sequence[JournalRow]:
        table = schema.journal
        query = JOURNAL.select_all.where(table.c.day >= since_day).order_by(table.c.day.desc(), table.c.at.desc())
        return [posting.as_row() for posting in await self._all(JOURNAL, query.limit(limit))]

    async def balances(self) -> Mapping[Line, int]:
        table = schema.journal
        columns = (table.c.rail, table.c.token, table.c.debit, table.c.credit, table.c.amount)
        query = JOURNAL.select_all.with_only_columns(*columns)

        def add_up(connection: Connection) -> dict[Line, int]:
            # In Python: no database adds 256-bit integers.
            sums: defaultdict[Line, int] = defaultdict(int)
            for rail, token, debit, credit, amount in connection.execute(query):
                sums[Line(rail, token, debit)] += amount
                sums[Line(rail, token, credit)] -= amount
            return dict(sums)

        return await self._read(add_up)

    # --- outbox (`wallet.outbox.OutboxStore`) ------------------------------------------------------------------------

    async def save_intent(self, intent: Intent) -> None:
        await self._writer.submit(lambda unit: operations.save_intent(unit, intent))

    async def intent(self, key: str) -> Intent | None:
        stored = await self._read(lambda connection: _one(connection, INTENTS, (key,)))
        return None if stored is None else stored.as_intent()

    async def open_intents(self) -> Sequence[Intent]:
        table = schema.intents
        query = INTENTS.select_all.where(table.c.state.not_in(CLOSED)).order_by(table.c.number)
        return [stored.as_intent() for stored in await self._all(INTENTS, query)]

    async def intents(self, rail: str, sender: Address, *, since: int = 0, limit: int = 1000) -> Sequence[Intent]:
        """All of a sender that were made at or after `since`, whatever became of them, newest first."""
        table = schema.intents
        mine = (table.c.rail == rail) & (table.c.sender == sender) & (table.c.created_at >= since)
        query = INTENTS.select_all.where(mine).order_by(table.c.number.desc()).limit(limit)
        return [stored.as_intent() for stored in await self._all(INTENTS, query)]

    # --- helpers -----------------------------------------------------------------------------------------------------

    async def _read(self, query: Callable[[Connection], T]) -> T:
        if self._closing is not None:
            raise StoreClosedError("the store is closed")
        async with self._reads:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._database.read, query)

    async def _all(self, kind: Kind[R], query: Select[Any]) -> list[R]:
        return await self._read(lambda connection: [kind.load(row) for row in connection.execute(query)])


def _one(connection: Connection, kind: Kind[R], key: Key) -> R | None:
    row = connection.execute(kind.select, kind.key_parameters(key)).first()
    return None if row is None else kind.load(row)


async def open_store(path: Path, mark: Path | None, *, max_batch: int = MAX_BATCH) -> SqlStore:
    """Open, or create, the database at `path`.

    `mark` is the high-water file, kept beside the keystore; None: rollbacks go unnoticed. `max_batch` 1 turns group
    commit off. Raises `DatabaseLockedError`, `DatabaseCorruptError`, `DatabaseTooNewError`, `DatabaseRolledBackError`,
    `DatabaseUnavailableError`, `DiskFullError`.
    """
    return SqlStore(await asyncio.to_thread(Database, path, mark), max_batch=max_batch)


def accept_rollback(path: Path, mark: Path) -> int:
    """Go on with an older database, after the user has decided to; for `bttnode wallet reconcile`.

    Nothing is signed to any payee that it knows before `Store.raise_issued_floor` brings evidence. Returns how many
    those are, 0 where the database had not been rolled back. Raises what `open_store` raises.
    """
    database = Database(path, mark, accept_rollback=True)
    database.close()
    return database.flagged
