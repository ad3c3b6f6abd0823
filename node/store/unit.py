"""The unit of work: what one database transaction reads and changes.

Theory. A group commit carries many operations that touch the same few rows: the day's counter, a partner's account.
Each row is read once, changed in memory by one operation after the other, and written once, with one `executemany` per
table. An operation that fails leaves the unit dirty; then the whole unit is thrown away with its transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sqlalchemy import Connection

from node.store import mapping
from node.store.mapping import Key, Kind, Meta

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

R = TypeVar("R", bound="DataclassInstance")

SEQUENCE = "sequence"


class Records(Generic[R]):
    """The rows of one table that this transaction has touched."""

    def __init__(self, connection: Connection, kind: Kind[R]) -> None:
        self._connection = connection
        self._kind = kind
        self._now: dict[Key, R | None] = {}
        self._there: set[Key] = set()
        """Keys that are in the database."""
        self._changed: dict[Key, None] = {}

    def get(self, *key: Any) -> R | None:
        """The record as this transaction sees it."""
        try:
            return self._now[key]
        except KeyError:
            pass
        row = self._connection.execute(self._kind.select, self._kind.key_parameters(key)).first()
        record = None
        if row is not None:
            record = self._kind.load(row)
            self._there.add(key)
        self._now[key] = record
        return record

    def all(self) -> list[R]:
        """Every record of the table. Call it first in a transaction: it does not look at changes."""
        records = [self._kind.load(row) for row in self._connection.execute(self._kind.select_all)]
        for record in records:
            key = self._kind.key(record)
            self._there.add(key)
            self._now.setdefault(key, record)
        return records

    def put(self, record: R) -> None:
        """Insert or replace."""
        key = self._kind.key(record)
        self.get(*key)
        self._now[key] = record
        self._changed[key] = None

    def remove(self, *key: Any) -> None:
        """Delete, if it is there."""
        if self.get(*key) is not None:
            self._now[key] = None
            self._changed[key] = None

    def flush(self) -> None:
        """Write what changed."""
        kind = self._kind
        inserts, updates, deletes = [], [], []
        for key in self._changed:
            record = self._now[key]
            if record is None:
                if key in self._there:
                    deletes.append(kind.key_parameters(key))
            elif key in self._there:
                updates.append(kind.update_parameters(key, record))
            else:
                inserts.append(kind.insert_parameters(record))
        for statement, rows in ((kind.delete, deletes), (kind.insert, inserts), (kind.update, updates)):
            if rows:
                self._connection.execute(statement, rows)


class Unit:
    """All tables within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self.torrents = Records(connection, mapping.TORRENTS)
        self.issued = Records(connection, mapping.ISSUED)
        self.received = Records(connection, mapping.RECEIVED)
        self.receipts = Records(connection, mapping.RECEIPTS)
        self.payouts = Records(connection, mapping.PAYOUTS)
        self.btfs_cheques = Records(connection, mapping.BTFS_CHEQUES)
        self.cursors = Records(connection, mapping.CURSORS)
        self.spending = Records(connection, mapping.SPENDING)
        self.transfers = Records(connection, mapping.TRANSFERS)
        self.counterparties = Records(connection, mapping.COUNTERPARTIES)
        self.reputation = Records(connection, mapping.REPUTATION)
        self.journal = Records(connection, mapping.JOURNAL)
        self.intents = Records(connection, mapping.INTENTS)
        self.hosted = Records(connection, mapping.HOSTED)
        self.stored_objects = Records(connection, mapping.STORED_OBJECTS)
        self.rentals = Records(connection, mapping.RENTALS)
        self.audits = Records(connection, mapping.AUDITS)
        self.latest_audits = Records(connection, mapping.LATEST_AUDITS)
        self.kept_labels = Records(connection, mapping.KEPT_LABELS)
        self.sent_labels = Records(connection, mapping.SENT_LABELS)
        self.positions = Records(connection, mapping.POSITIONS)
        self.known_hosts = Records(connection, mapping.KNOWN_HOSTS)
        self.meta = Records(connection, mapping.META)
        self.moved_money = False
        """Set by operations whose loss must be noticed when an old backup is restored."""

    def number(self, name: str) -> int:
        """A number of `meta`, 0 where it was never set."""
        meta = self.meta.get(name)
        return 0 if meta is None else meta.value

    def set_number(self, name: str, value: int) -> None:
        self.meta.put(Meta(name, value))

    def flush(self) -> int | None:
        """Write everything. Returns the new commit sequence if money moved."""
        sequence = None
        if self.moved_money:
            sequence = self.number(SEQUENCE) + 1
            self.set_number(SEQUENCE, sequence)
        for records in (
            self.torrents,
            self.issued,
            self.received,
            self.receipts,
            self.payouts,
            self.btfs_cheques,
            self.cursors,
            self.spending,
            self.transfers,
            self.counterparties,
            self.reputation,
            self.journal,
            self.intents,
            self.hosted,
            self.stored_objects,
            self.rentals,
            self.audits,
            self.latest_audits,
            self.kept_labels,
            self.sent_labels,
            self.positions,
            self.known_hosts,
            self.meta,
        ):
            records.flush()
        return sequence
