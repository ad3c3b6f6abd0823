"""Records as rows: a table and a dataclass whose fields have the names of its columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sqlalchemy import Row, Table, bindparam, delete, insert, select, update

from node.ports.btfs import BtfsRecord
from node.ports.engine import TorrentId
from node.ports.renting import AuditRecord, Rental, SentLabel, StoredObject
from node.ports.storage import HostedContract, KeptLabel
from node.ports.store import (
    Account,
    ChainCursor,
    Counterparty,
    Entry,
    IssuedCheque,
    JournalRow,
    Payout,
    ReceivedCheque,
    TorrentRecord,
    Transfer,
)
from node.speed.reputation import Snapshot
from node.storage.standing import Standing
from node.store import schema
from wallet.address import Address
from wallet.chains.base import Call, Fee
from wallet.intents import Intent, IntentState
from wallet.storage.books import Position

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

R = TypeVar("R", bound="DataclassInstance")

Key = tuple[Any, ...]
"""The values of a record's primary key, in the table's order."""


class Kind(Generic[R]):
    """One table and the record that its rows hold, with the statements for single rows; SQLAlchemy compiles each once.

    The key's parameters are named `key_<column>`, since an update names the columns too.
    """

    def __init__(self, table: Table, record: type[R]) -> None:
        self.table = table
        self.record = record
        self.names = tuple(field.name for field in fields(record))
        if set(self.names) != {column.name for column in table.columns}:
            raise TypeError(f"table {table.name} does not have the columns of {record.__name__}")
        keys = [column.name for column in table.primary_key.columns]
        self._key_names = tuple(f"key_{name}" for name in keys)
        self._key_of: Callable[[R], Any] = attrgetter(*keys)
        self._single = len(keys) == 1
        is_row = [table.c[name] == bindparam(f"key_{name}", type_=table.c[name].type) for name in keys]
        columns = [table.c[name] for name in self.names]
        self._changeable = tuple(name for name in self.names if name not in keys)
        self.select_all = select(*columns)
        self.select = select(*columns).where(*is_row)
        self.insert = insert(table)
        self.update = update(table).where(*is_row)
        self.delete = delete(table).where(*is_row)

    def key(self, record: R) -> Key:
        key = self._key_of(record)
        return (key,) if self._single else key

    def key_parameters(self, key: Key) -> dict[str, Any]:
        return dict(zip(self._key_names, key, strict=True))

    def load(self, row: Row[Any] | Sequence[Any]) -> R:
        return self.record(**dict(zip(self.names, row, strict=True)))

    def insert_parameters(self, record: R) -> dict[str, Any]:
        return {name: getattr(record, name) for name in self.names}

    def update_parameters(self, key: Key, record: R) -> dict[str, Any]:
        return self.key_parameters(key) | {name: getattr(record, name) for name in self._changeable}


@dataclass(frozen=True, slots=True)
class Receipt:
    """A transaction that was booked."""

    rail: str
    transaction: str
    at: int


@dataclass(frozen=True, slots=True)
class SpendCounter:
    """One spend counter."""

    scope: str
    name: str
    amount: int

    @staticmethod
    def total() -> Key:
        return ("total", "")

    @staticmethod
    def day(day: int) -> Key:
        return ("day", str(day))

    @staticmethod
    def token_day(rail: str, symbol: str, day: int) -> Key:
        return (f"{rail} {symbol}", str(day))

    @staticmethod
    def torrent(torrent: TorrentId) -> Key:
        return ("torrent", torrent)


@dataclass(frozen=True, slots=True)
class Posting:
    """A journal row, flat."""

    day: int
    rail: str
    debit: Account
    credit: Account
    ref: str
    token: str
    at: int
    amount: int
    count: int
    memo: str

    def as_row(self) -> JournalRow:
        entry = Entry(
            rail=self.rail,
            debit=self.debit,
            credit=self.credit,
            amount=self.amount,
            ref=self.ref,
            memo=self.memo,
            token=self.token,
        )
        return JournalRow(self.day, self.at, entry, self.count)


@dataclass(frozen=True, slots=True)
class Meta:
    """A number of the database itself."""

    name: str
    value: int


@dataclass(frozen=True, slots=True)
class LatestAudit:
    """The evidence of the latest audit of a contract that passed."""

    contract: bytes
    epoch: int
    at: int
    evidence: bytes


@dataclass(frozen=True, slots=True)
class StoredIntent:
    """An intent of the outbox, flat."""

    key: str
    number: int
    rail: str
    sender: Address
    to: Address
    data: bytes
    value: int
    method: str
    text: str
    state: IntentState
    created_at: int
    nonce: int | None
    fee_limit: int | None
    fee_price: int | None
    raw: bytes | None
    hash: bytes | None
    replaced: tuple[bytes, ...]
    block: int | None
    fee_paid: int | None
    reason: str
    trc10: int
    fee_extra: int | None
    anchor: bytes
    after: str | None
    cancelled: int | None

    @classmethod
    def of(cls, intent: Intent, number: int) -> StoredIntent:
        call, fee = intent.call, intent.fee
        if call.creates:
            raise ValueError("deployments are made by hand and not kept in the store")
        return cls(
            key=intent.key,
            number=number,
            rail=intent.rail,
            sender=intent.sender,
            to=call.to,
            data=call.data,
            value=call.value,
            method=call.method,
            text=call.text,
            state=intent.state,
            created_at=intent.created_at,
            nonce=intent.nonce,
            fee_limit=fee.limit if fee else None,
            fee_price=fee.price if fee else None,
            raw=intent.raw,
            hash=intent.hash,
            replaced=intent.replaced,
            block=intent.block,
            fee_paid=intent.fee_paid,
            reason=intent.reason,
            trc10=call.trc10,
            fee_extra=fee.extra if fee else None,
            anchor=intent.anchor,
            after=intent.after,
            cancelled=intent.cancelled,
        )

    def as_intent(self) -> Intent:
        fee = None
        if self.fee_limit is not None and self.fee_price is not None:
            fee = Fee(self.fee_limit, self.fee_price, self.fee_extra or 0)
        return Intent(
            key=self.key,
            rail=self.rail,
            sender=self.sender,
            call=Call(self.to, self.data, self.value, self.method, self.text, self.trc10),
            state=self.state,
            created_at=self.created_at,
            nonce=self.nonce,
            fee=fee,
            raw=self.raw,
            hash=self.hash,
            replaced=self.replaced,
            block=self.block,
            fee_paid=self.fee_paid,
            reason=self.reason,
            anchor=self.anchor,
            after=self.after,
            cancelled=self.cancelled,
        )


TORRENTS = Kind(schema.torrents, TorrentRecord)
ISSUED = Kind(schema.issued, IssuedCheque)
RECEIVED = Kind(schema.received, ReceivedCheque)
RECEIPTS = Kind(schema.receipts, Receipt)
PAYOUTS = Kind(schema.payouts, Payout)
BTFS_CHEQUES = Kind(schema.btfs_cheques, BtfsRecord)
CURSORS = Kind(schema.cursors, ChainCursor)
SPENDING = Kind(schema.spending, SpendCounter)
TRANSFERS = Kind(schema.transfers, Transfer)
COUNTERPARTIES = Kind(schema.counterparties, Counterparty)
REPUTATION = Kind(schema.reputation, Snapshot)
JOURNAL = Kind(schema.journal, Posting)
INTENTS = Kind(schema.intents, StoredIntent)
HOSTED = Kind(schema.hosted, HostedContract)
STORED_OBJECTS = Kind(schema.stored_objects, StoredObject)
RENTALS = Kind(schema.rentals, Rental)
AUDITS = Kind(schema.audits, AuditRecord)
LATEST_AUDITS = Kind(schema.latest_audits, LatestAudit)
KEPT_LABELS = Kind(schema.kept_labels, KeptLabel)
SENT_LABELS = Kind(schema.sent_labels, SentLabel)
POSITIONS = Kind(schema.storage_positions, Position)
KNOWN_HOSTS = Kind(schema.known_hosts, Standing)
META = Kind(schema.meta, Meta)
