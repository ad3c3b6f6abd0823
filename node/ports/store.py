"""The store port: what the node must remember across a restart, as typed protocol and plain data.

The adapter lives in `node.store`; services import only this module.

Theory
------
*Persist, then act.* Every call that changes something returns when the change is durable (fsync), and only then may its
bytes leave the machine. Calls take effect in the order in which they are made, each as one transaction: all of it or
nothing. A call that raises has changed nothing. A call whose task is cancelled may still take effect.

Cheques are cumulative, so an account is one row: the highest figure and its signature. Figures described as cumulative
never fall, whatever the order of the calls. Where a call moves such a figure, the store finds by how much it grew, in
the same transaction, and counts and books exactly that: counters and journal cannot drift from the cheques.

All amounts are `int` in the token's smallest unit, 0 .. 2^256 - 1. Bytes are below 2^63. Times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from node.ports.engine import TorrentId
from wallet.address import Address

SECONDS_PER_DAY = 86_400


def utc_day(now: int) -> int:
    """The UTC day of a Unix time, counted from 1970-01-01: what "per day" means in limits and in the journal."""
    return now // SECONDS_PER_DAY


# --- errors ---------------------------------------------------------------------------------------------------------


class StoreError(Exception):
    """The store cannot do what was asked; nothing was changed. `str()` is one line, `hint` what the user can do."""

    hint = "see the log for what came before"


class StoreClosedError(StoreError):
    """A call after `close()`."""

    hint = "start bttnode again"


class DatabaseLockedError(StoreError):
    """Another process holds this database."""

    hint = "another bttnode runs on this data directory: stop it, or choose another with --data-dir"


class DatabaseCorruptError(StoreError):
    """The file is damaged, or it is not a database of bttnode."""

    hint = "restore the latest backup of the data directory, then run: bttnode wallet reconcile"


class DatabaseTooNewError(StoreError):
    """A newer bttnode has written this database."""

    hint = "install the bttnode version that last used this data directory, or a newer one"


class DatabaseRolledBackError(StoreError):
    """The database is older than what was done with the keys beside it: a backup was restored, or it was deleted."""

    hint = "put the newer database back; if it is lost, run: bttnode wallet reconcile"


class DatabaseUnavailableError(StoreError):
    """The operating system refuses to open, read or write the database (permissions, I/O errors)."""

    hint = "check the disk and the permissions of the data directory"


class DiskFullError(StoreError):
    """No space is left. Later calls work again once there is space."""

    hint = "free some disk space; nothing was lost"


class NeedsReconcileError(StoreError):
    """Cheques to this payee may be missing from a restored database: sign nothing before `raise_issued_floor`."""

    hint = "run: bttnode wallet reconcile"


class UnknownRecordError(StoreError):
    """There is no such record to change."""

    hint = "it may have been removed meanwhile"


# --- torrents -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class TorrentOptions:
    """What the user set for one torrent."""

    speed: bool = True
    """Buy upload priority for it."""
    max_price: int | None = None
    """Units per MiB; None: the node's own limit holds."""
    budget: int | None = None
    """Units for this torrent in all; None: no limit of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TorrentRecord:
    """A torrent of this node. At least one of `torrent` (bencoded file), `magnet`, `resume` is set."""

    id: TorrentId
    name: str
    save_path: Path
    torrent: bytes | None = None
    magnet: str | None = None
    resume: bytes | None = None
    paused: bool = False
    added_at: int
    finished_at: int | None = None
    clean: bool = False
    """`resume` describes the files as they are: it was saved at a clean stop. Otherwise recheck."""
    options: TorrentOptions = TorrentOptions()
    spent: int = 0
    """Units of all cheques signed for it. Ignored by `add_torrent`: only cheques move it."""


# --- trade ----------------------------------------------------------------------------------------------------------


class Role(StrEnum):
    """What the other side is to us."""

    PAYER = "payer"
    PAYEE = "payee"


class Direction(StrEnum):
    """Seen from this node."""

    UPLOAD = "upload"
    DOWNLOAD = "download"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a peer was last seen."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Moved:
    """What was moved for one torrent since the last record of the same connection.

    `priced` and `free` are bytes. `amount` is units: earned on upload, signed for on download.
    """

    torrent: TorrentId
    priced: int = 0
    free: int = 0
    amount: int = 0


@dataclass(frozen=True, slots=True)
class Booking:
    """Which accounts of the journal a growth moves between. `ref` names the business, such as a cheque's payee.

    Bookings of one UTC day with equal rail, accounts and `ref` share one row, so that the journal grows with the number
    of partners, not of cheques.
    """

    debit: str
    credit: str
    ref: str
    memo: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueCheque:
    """A cheque we have signed and want to send. `moved` says for which torrents (amounts: at most its growth)."""

    rail: str
    payer: Address
    payee: Address
    cumulative: int
    signature: bytes
    owed: int
    """Cumulative; what we acknowledge to owe now, at least `cumulative`."""
    moved: Sequence[Moved] = ()
    endpoint: Endpoint | None = None
    booking: Booking | None = None
    now: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordOwed:
    """The buyer's figures at the end of a connection: debts that no cheque covers yet, and bytes.

    Amounts in `moved` must be 0: what is signed is counted by `IssueCheque`.
    """

    rail: str
    payer: Address
    payee: Address
    owed: int
    moved: Sequence[Moved] = ()
    endpoint: Endpoint | None = None
    now: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RaiseIssuedFloor:
    """Proof that we have signed at least `cumulative`: our signature, or (None) what the chain has paid out.

    The growth counts as spent today, so that limits hold even where the counters were lost.
    """

    rail: str
    payer: Address
    payee: Address
    cumulative: int
    signature: bytes | None
    booking: Booking | None = None
    now: int


@dataclass(frozen=True, slots=True)
class IssuedAccount:
    """What we have signed to one payee. `owed` and `cumulative` are cumulative."""

    rail: str
    payer: Address
    payee: Address
    owed: int
    cumulative: int
    signature: bytes
    """b"" where nothing was signed, or the signature is not known."""
    updated_at: int
    needs_reconcile: bool


@dataclass(frozen=True, slots=True)
class CreditHistory:
    """What the seller must remember of a payer. `earned` (units metered) and `paid_bytes` are cumulative.

    `forgiven`: units written off after broken connections; falls when they are paid after all.
    """

    earned: int = 0
    forgiven: int = 0
    paid_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiveCheque:
    """A cheque a payer gave us, signature checked. `history` is the account as it stands now, cheque included."""

    rail: str
    payer: Address
    payee: Address
    cumulative: int
    signature: bytes
    history: CreditHistory
    endpoint: Endpoint | None = None
    booking: Booking | None = None
    now: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordEarned:
    """The seller's figures at the end of a connection."""

    rail: str
    payer: Address
    payee: Address
    history: CreditHistory
    moved: Sequence[Moved] = ()
    endpoint: Endpoint | None = None
    now: int


@dataclass(frozen=True, slots=True)
class ReceivedAccount:
    """What one payer has signed to us. `cumulative` and `cashed` are cumulative."""

    rail: str
    payer: Address
    payee: Address
    cumulative: int
    signature: bytes
    """b"" where no cheque came yet."""
    updated_at: int
    history: CreditHistory
    cashed: int
    """Paid out by the vault, as receipts confirmed."""
    bounced: int
    """What the vault did not cover when the cheque was last cashed."""
    bounced_at: int | None
    """When a cheque last bounced; stays when a later one is covered."""

    @property
    def uncashed(self) -> int:
        """What cashing now would bring, if the vault covers it."""
        return max(0, self.cumulative - self.cashed)


@dataclass(frozen=True, slots=True)
class Cashed:
    """What a transaction did for one cheque: the vault's cumulative payout after it, and what it could not cover."""

    payer: Address
    payee: Address
    paid_out: int
    bounced: int = 0
    booking: Booking | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the double-entry journal: `amount` moves from account `credit` to account `debit`."""

    rail: str
    debit: str
    credit: str
    amount: int
    ref: str
    memo: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkCashed:
    """A final receipt. `transaction` makes it count once, however often it is reported.

    `entries` are what else the transaction moved, such as its fee.
    """

    rail: str
    transaction: str
    cashed: Sequence[Cashed]
    entries: Sequence[Entry] = ()
    now: int


# --- views ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Spending:
    """Units of all cheques signed: since ever, and on one UTC day."""

    total: int
    today: int


@dataclass(frozen=True, slots=True)
class Transfer:
    """All that was moved for one torrent with one counterparty."""

    torrent: TorrentId
    rail: str
    counterparty: Address
    direction: Direction
    priced: int
    free: int
    amount: int


@dataclass(frozen=True, slots=True)
class Counterparty:
    """Somebody we trade with. Bytes and amount are the sums of its transfers."""

    rail: str
    address: Address
    role: Role
    first_seen: int
    last_seen: int
    endpoint: Endpoint | None
    priced: int
    free: int
    amount: int


@dataclass(frozen=True, slots=True)
class JournalRow:
    """The sum of `count` equal bookings of one UTC day; `at` is the time of the last."""

    day: int
    at: int
    entry: Entry
    count: int


# --- the port -------------------------------------------------------------------------------------------------------


class Store(Protocol):
    """Everything durable but keys. All calls on one asyncio loop; none blocks it.

    Any call may raise `StoreError`. Reads see everything that has returned before.
    """

    async def close(self) -> None:
        """Finish what was submitted, then close. Idempotent."""

    # torrents
    async def add_torrent(self, torrent: TorrentRecord) -> None:
        """Insert or replace. What was spent on it before, even under an earlier record, stays counted."""

    async def torrents(self) -> Sequence[TorrentRecord]:
        """All, in the order in which they were added."""

    async def torrent(self, torrent: TorrentId) -> TorrentRecord | None: ...

    async def remove_torrent(self, torrent: TorrentId) -> None:
        """Forget the torrent; its transfers and what was spent on it stay. Unknown ids are ignored."""

    # Changes to a torrent that is not there raise `UnknownRecordError`.
    async def set_torrent_metadata(self, torrent: TorrentId, *, name: str, torrent_file: bytes) -> None: ...

    async def set_torrent_resume(self, torrent: TorrentId, resume: bytes, *, clean: bool) -> None: ...

    async def set_torrent_paused(self, torrent: TorrentId, paused: bool) -> None: ...

    async def set_torrent_finished(self, torrent: TorrentId, at: int) -> None: ...

    async def set_torrent_options(self, torrent: TorrentId, options: TorrentOptions) -> None: ...

    async def mark_unclean(self, torrents: Collection[TorrentId]) -> None:
        """The engine is about to write to these torrents' files: until the next clean stop, recheck."""

    # buying
    async def issue_cheque(self, request: IssueCheque) -> int:
        """Return by how much the cheque grew, after counting it as spent.

        Raises `StaleChequeError` unless `cumulative` is above everything issued, `NeedsReconcileError` where a restored
        database may have forgotten cheques, `ValueError` when `moved` claims more than the growth.
        """

    async def record_owed(self, request: RecordOwed) -> None: ...

    async def raise_issued_floor(self, request: RaiseIssuedFloor) -> int:
        """Never sign below this again. Clears `needs_reconcile`, also when nothing grew. Returns the growth."""

    async def issued_account(self, rail: str, payer: Address, payee: Address) -> IssuedAccount | None: ...

    async def issued_accounts(self) -> Sequence[IssuedAccount]: ...

    async def spending(self, now: int) -> Spending: ...

    async def spent_on(self, torrent: TorrentId) -> int:
        """Also for torrents that are removed."""

    # selling
    async def receive_cheque(self, request: ReceiveCheque) -> int:
        """Return by how much the cheque grew. Raises `StaleChequeError` unless it is above everything received."""

    async def record_earned(self, request: RecordEarned) -> None: ...

    async def received_account(self, rail: str, payer: Address, payee: Address) -> ReceivedAccount | None: ...

    async def received_accounts(self) -> Sequence[ReceivedAccount]: ...

    async def mark_cashed(self, request: MarkCashed) -> bool:
        """Book a final receipt; False: it was booked before, nothing changed."""

    # books
    async def post(self, entries: Sequence[Entry], now: int) -> None:
        """Book lines that no cheque brings about, such as deposits and withdrawals."""

    async def journal(self, *, since_day: int = 0, limit: int = 1000) -> Sequence[JournalRow]:
        """The newest rows first."""

    async def balances(self) -> dict[tuple[str, str], int]:
        """(rail, account) → debits minus credits. Over all accounts of a rail they sum to zero."""

    async def transfers(
        self, *, torrent: TorrentId | None = None, counterparty: Address | None = None
    ) -> Sequence[Transfer]: ...

    async def counterparties(self) -> Sequence[Counterparty]:
        """The latest seen first."""
