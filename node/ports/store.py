"""The store port: what the node must remember across a restart, as typed protocol and plain data.

The adapter lives in `node.store`; services import only this module.

Theory
------
*Persist, then act.* Every call that changes something returns when the change is durable (fsync), and only then may its
bytes leave the machine. Calls take effect in the order in which they are made, each as one transaction: all of it or
nothing. A call that raises has changed nothing. A call whose task is cancelled may still take effect.

Cheques are cumulative, so an account is one row: the highest figure and its signature. Figures described as cumulative
never fall, whatever the order of the calls. Where a call moves such a figure, the store finds by how much it grew, and
counts and books exactly that in the same transaction: counters and journal cannot drift from the cheques.

All amounts are `int` in the token's smallest unit, 0 .. 2^256 - 1. Bytes are below 2^63. Times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, Protocol

from node.ports.engine import TorrentId
from wallet.address import Address
from wallet.intents import Intent
from wallet.ledger import Account as Account  # an account of the books: part of this port

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


class AmountMismatchError(StoreError):
    """A cheque grows by something else than what the limits were asked for: its account in memory is out of date."""

    hint = "start bttnode again"


# --- torrents -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class TorrentRecord:
    """A torrent of this node. At least one of `torrent` (bencoded file), `magnet`, `resume` is set."""

    id: TorrentId
    name: str
    save_path: Path
    torrent: bytes | None = field(default=None, repr=False)
    magnet: str | None = None
    resume: bytes | None = field(default=None, repr=False)
    paused: bool = False
    seed_mode: bool = False
    added_at: int
    finished_at: int | None = None
    speed: bool = True
    """Buy upload priority for it."""
    max_price: int | None = None
    """Units per MiB; None: the node's own limit holds."""
    budget: int | None = None
    """Units for this torrent in all; None: no limit of its own."""
    rate: int = 0
    """Bytes per second that bids ask for; 0: as much as there is."""
    strategy: str = ""
    """How to bid, by name; empty: as the node's settings say."""
    deadline: int | None = None
    """Unix seconds by which it should be complete, for the strategy of that name."""


# --- trade ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedCheque:
    """What we have signed to one payee: the account of (rail, payer, payee). `cumulative` and `owed` are cumulative."""

    rail: str
    payer: Address
    payee: Address
    cumulative: int
    owed: int
    """What we acknowledge to owe, at least `cumulative`."""
    signature: bytes
    """b"" where nothing was signed, or the signature is not known."""
    updated_at: int
    needs_reconcile: bool = False
    """A restored database may have forgotten cheques of this account. Ignored in calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueCheque:
    """A cheque we have signed and want to send.

    `amount`: by how much it grows, as the limits were asked. `spent`: which torrents it is for; at most `amount` in
    all, since debts from before a crash belong to none. `day`: the UTC day it counts on.
    """

    cheque: IssuedCheque
    amount: int
    spent: Mapping[TorrentId, int]
    day: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedCheque:
    """What one payer has signed to us: the account of (rail, payer, payee), and what the seller must remember of it.

    Cumulative: `cumulative`, `earned` (units metered), `paid_bytes`, `cashed`. `forgiven`: units written off after
    broken connections; falls when they are paid after all.
    """

    rail: str
    payer: Address
    payee: Address
    cumulative: int
    signature: bytes
    """b"" where no cheque came yet."""
    earned: int = 0
    forgiven: int = 0
    paid_bytes: int = 0
    updated_at: int
    cashed: int = 0
    """Paid out by the vault, as receipts confirmed. Moved by `mark_cashed` only, as are the next two."""
    bounced: int = 0
    """What the vault did not cover when the cheque was last cashed."""
    bounced_at: int | None = None
    """When a cheque last bounced; stays when a later one is covered."""

    @property
    def uncashed(self) -> int:
        """What cashing now would bring, if the vault covers it."""
        return max(0, self.cumulative - self.cashed)


@dataclass(frozen=True, slots=True)
class Cashed:
    """What a transaction did for one cheque: the vault's cumulative payout after it, and what it could not cover.

    `fee`: this cheque's part of the fee that we paid, in native units.
    """

    payer: Address
    payee: Address
    paid_out: int
    bounced: int = 0
    fee: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Payout:
    """What a final receipt says of one cheque: `amount` was paid, `bounced` was not covered.

    `number` counts payouts in the order in which they were booked. `fee` as in `Cashed`. The amounts of all payouts of
    one payer add up to its `ReceivedCheque.cashed`.
    """

    number: int
    rail: str
    transaction: str
    block: int
    payer: Address
    payee: Address
    amount: int
    bounced: int
    fee: int
    at: int


@dataclass(frozen=True, slots=True)
class ChainCursor:
    """Up to which block (number, and its 32-byte id) a rail's vault events were read for good."""

    rail: str
    block: int
    hash: bytes


class Direction(StrEnum):
    """Of bytes, seen from this node."""

    SENT = "sent"
    RECEIVED = "received"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """What was moved for one torrent with one counterparty: priced `bytes`, `free` bytes, and what they cost."""

    torrent: TorrentId
    rail: str
    counterparty: Address
    direction: Direction
    bytes: int
    amount: int
    free: int = 0


class Role(StrEnum):
    """What the other side is to us."""

    PAYER = "payer"
    PAYEE = "payee"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counterparty:
    """Somebody we trade with, and where it was seen last."""

    rail: str
    address: Address
    role: Role
    first_seen: int
    last_seen: int
    host: str
    port: int


# --- books ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the double-entry journal: `amount` moves from account `credit` to account `debit`.

    `ref` names the business, such as a transaction or a partner. `token` is a symbol; "" stands for the token in which
    cheques of this rail are written.
    """

    rail: str
    debit: Account
    credit: Account
    amount: int
    ref: str
    memo: str = ""
    token: str = ""


@dataclass(frozen=True, slots=True)
class JournalRow:
    """`count` bookings of one UTC day with equal rail, token, accounts and `ref`, summed; `at` is the last one's time.

    So the journal grows with partners and days, not with cheques. `entry.memo` is the first one's.
    """

    day: int
    at: int
    entry: Entry
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CashReceipt:
    """A final receipt of a transaction that cashed cheques, or did something else of ours.

    `transaction` makes it count once, however often it is reported. `into`: where the payout went. `entries`: what
    else it moved, such as its fee.
    """

    rail: str
    transaction: str
    block: int = 0
    cashed: Sequence[Cashed]
    into: Account = Account.WALLET
    entries: Sequence[Entry] = ()
    now: int


class Line(NamedTuple):
    """One balance's name: an account of one token (`Entry.token`) on one rail."""

    rail: str
    token: str
    account: Account


@dataclass(frozen=True, slots=True)
class Spending:
    """Units of all cheques signed: since ever, and on the day that was asked for."""

    total: int
    today: int


# --- the port -------------------------------------------------------------------------------------------------------


class Store(Protocol):
    """Everything durable but keys. All calls on one asyncio loop; none blocks it.

    Any call may raise `StoreError`. Reads see everything whose call has returned.
    """

    async def close(self) -> None:
        """Finish what was submitted, then close. Idempotent."""

    # torrents
    async def save_torrent(self, torrent: TorrentRecord) -> None:
        """Insert or replace."""

    async def save_resume(self, torrent: TorrentId, resume: bytes) -> None:
        """Replace the resume data. Ignored for a torrent that has been removed."""

    async def remove_torrent(self, torrent: TorrentId) -> None:
        """Forget the torrent; its transfers and what was spent on it stay. Ignored for one that is not there."""

    async def torrents(self) -> Sequence[TorrentRecord]:
        """All, in the order in which they were added."""

    async def clean_stop(self) -> bool:
        """Whether `mark_clean` was called since the last `clean_stop`, which the next call will then deny."""

    async def mark_clean(self) -> None:
        """Resume data now describes the files as they are."""

    # buying
    async def issue_cheque(self, request: IssueCheque) -> None:
        """Store the cheque, count it as spent, book it.

        Raises `wallet.errors.StaleChequeError` unless it is above everything issued, `NeedsReconcileError` where a
        restored database may have forgotten cheques, `AmountMismatchError` unless it grows by `amount`.
        """

    async def save_owed(self, rail: str, payer: Address, payee: Address, owed: int) -> None:
        """Debts that no cheque covers yet. Never lowers what is stored."""

    async def raise_issued_floor(self, cheque: IssuedCheque) -> int:
        """Proof that we have signed at least this: our signature, or (`signature` b"") what the chain has paid out.

        Clears `needs_reconcile`, also when nothing grew. Returns the growth, which counts as spent on the day of
        `updated_at`, so that limits hold even where the counters were lost.
        """

    async def issued(self, rail: str, payer: Address, payee: Address) -> IssuedCheque | None: ...

    async def all_issued(self) -> Sequence[IssuedCheque]: ...

    async def spent(self, day: int) -> Spending:
        """`day` as `utc_day` gives it."""

    async def spent_on(self, torrent: TorrentId) -> int:
        """Units of all cheques for this torrent, also under an earlier record of it."""

    # selling
    async def receive_cheque(self, cheque: ReceivedCheque) -> int:
        """Store a cheque whose signature was checked, and the account as it stands; book it. Returns the growth.

        Raises `wallet.errors.StaleChequeError` unless it is above everything received.
        """

    async def save_earned(self, account: ReceivedCheque) -> None:
        """Keep `earned`, `forgiven` and `paid_bytes`; the cheque in it is not looked at."""

    async def mark_cashed(self, receipt: CashReceipt) -> bool:
        """Book a final receipt; False: it was booked before, nothing changed."""

    async def received(self, rail: str, payer: Address, payee: Address) -> ReceivedCheque | None: ...

    async def all_received(self) -> Sequence[ReceivedCheque]: ...

    async def payouts(
        self, *, rail: str | None = None, payer: Address | None = None, before: int | None = None, limit: int = 100
    ) -> Sequence[Payout]:
        """The newest first; `before`: only those with a lower number, for the next page."""

    # the chain
    async def cursor(self, rail: str) -> ChainCursor | None: ...

    async def save_cursor(self, cursor: ChainCursor) -> None:
        """Insert or replace; may go back."""

    async def sent_by_us(self, rail: str, transaction: bytes) -> bool:
        """Whether an intent of the outbox has, or once had, this id."""

    async def unbooked_intents(self, rail: str, sender: Address) -> Sequence[Intent]:
        """Intents that have ended and cost a fee, but whose receipt was never booked, oldest first."""

    # history
    async def add_transfers(self, transfers: Sequence[Transfer]) -> None:
        """Add to what is stored for the same torrent, rail, counterparty and direction."""

    async def transfers(
        self, *, torrent: TorrentId | None = None, counterparty: Address | None = None
    ) -> Sequence[Transfer]: ...

    async def save_counterparty(self, counterparty: Counterparty) -> None:
        """Somebody was seen; the earliest `first_seen` stays."""

    async def counterparties(self) -> Sequence[Counterparty]:
        """The latest seen first."""

    # books
    async def post(self, entries: Sequence[Entry], now: int) -> None:
        """Book what no cheque brings about, such as deposits and withdrawals."""

    async def journal(self, *, since_day: int = 0, limit: int = 1000) -> Sequence[JournalRow]:
        """The newest first."""

    async def balances(self) -> Mapping[Line, int]:
        """Debits minus credits. Over all accounts of one token on one rail they sum to zero."""
