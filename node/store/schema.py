"""The tables, declared once.

Columns have the names of the record's fields that they keep (`node.store.mapping`). Figures that a cheque moves lie in
small rows of their own: SQLite rewrites a row as a whole, and a torrent's row can have megabytes.

A change here needs a new file in `migrations/versions` and its id at the end of `REVISIONS`; a test compares the two.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, LargeBinary, MetaData, String, Table

from node.ports.renting import Stage
from node.ports.store import Account, Direction, Role
from node.storage.audit import Verdict
from node.storage.lifecycle import State
from node.store.types import AddressBytes, Amount256, EnumText, HashList, OptionalAddress, PackedTerms, PathBytes, Words
from wallet.intents import IntentState

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010", "0011")
"""Every schema there has been, oldest first."""

APPLICATION_ID = 0x62747431
"""SQLite's mark of whose file it is: "btt1"."""

metadata = MetaData()

torrents = Table(
    "torrents",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("save_path", PathBytes, nullable=False),
    Column("torrent", LargeBinary),
    Column("magnet", String),
    Column("resume", LargeBinary),
    Column("paused", Boolean, nullable=False),
    Column("seed_mode", Boolean, nullable=False),
    Column("added_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    Column("speed", Boolean, nullable=False),
    Column("max_price", Amount256),
    Column("budget", Amount256),
    Column("rate", BigInteger, nullable=False),
    Column("strategy", String, nullable=False),
    Column("deadline", BigInteger),
)

issued = Table(
    "issued",
    metadata,
    Column("rail", String, primary_key=True),
    Column("payer", AddressBytes, primary_key=True),
    Column("payee", AddressBytes, primary_key=True),
    Column("cumulative", Amount256, nullable=False),
    Column("owed", Amount256, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("needs_reconcile", Boolean, nullable=False),
    sqlite_with_rowid=False,
)

received = Table(
    "received",
    metadata,
    Column("rail", String, primary_key=True),
    Column("payer", AddressBytes, primary_key=True),
    Column("payee", AddressBytes, primary_key=True),
    Column("cumulative", Amount256, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("earned", Amount256, nullable=False),
    Column("forgiven", Amount256, nullable=False),
    Column("paid_bytes", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("cashed", Amount256, nullable=False),
    Column("bounced", Amount256, nullable=False),
    Column("bounced_at", BigInteger),
    sqlite_with_rowid=False,
)

receipts = Table(
    "receipts",
    metadata,
    Column("rail", String, primary_key=True),
    Column("transaction", String, primary_key=True),
    Column("at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

payouts = Table(
    "payouts",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("rail", String, nullable=False),
    Column("transaction", String, nullable=False),
    Column("block", BigInteger, nullable=False),
    Column("payer", AddressBytes, nullable=False),
    Column("payee", AddressBytes, nullable=False),
    Column("amount", Amount256, nullable=False),
    Column("bounced", Amount256, nullable=False),
    Column("fee", Amount256, nullable=False),
    Column("at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

btfs_cheques = Table(
    "btfs_cheques",
    metadata,
    Column("rail", String, primary_key=True),
    Column("role", EnumText(Role), primary_key=True),
    Column("vault", AddressBytes, primary_key=True),
    Column("beneficiary", AddressBytes, primary_key=True),
    Column("token", OptionalAddress, primary_key=True),
    Column("cumulative", Amount256, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("cashed", Amount256, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

cursors = Table(
    "cursors",
    metadata,
    Column("rail", String, primary_key=True),
    Column("block", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

spending = Table(
    "spending",
    metadata,
    Column("scope", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("amount", Amount256, nullable=False),
    sqlite_with_rowid=False,
)

transfers = Table(
    "transfers",
    metadata,
    Column("torrent", String, primary_key=True),
    Column("rail", String, primary_key=True),
    Column("counterparty", AddressBytes, primary_key=True),
    Column("direction", EnumText(Direction), primary_key=True),
    Column("bytes", BigInteger, nullable=False),
    Column("amount", Amount256, nullable=False),
    Column("free", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

counterparties = Table(
    "counterparties",
    metadata,
    Column("rail", String, primary_key=True),
    Column("address", AddressBytes, primary_key=True),
    Column("role", EnumText(Role), primary_key=True),
    Column("first_seen", BigInteger, nullable=False),
    Column("last_seen", BigInteger, nullable=False),
    Column("host", String, nullable=False),
    Column("port", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

reputation = Table(
    "reputation",
    metadata,
    Column("rail", String, primary_key=True),
    Column("address", AddressBytes, primary_key=True),
    Column("delivered", Amount256, nullable=False),
    Column("bought", Amount256, nullable=False),
    Column("paid", Amount256, nullable=False),
    Column("failed", Amount256, nullable=False),
    Column("bounced", Amount256, nullable=False),
    Column("overcounted", Amount256, nullable=False),
    Column("unpaid", Amount256, nullable=False),
    Column("stops", Amount256, nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("met_at", BigInteger, nullable=False),
    Column("bounces", BigInteger, nullable=False),
    Column("barred_until", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

journal = Table(
    "journal",
    metadata,
    Column("day", BigInteger, primary_key=True, autoincrement=False),
    Column("rail", String, primary_key=True),
    Column("debit", EnumText(Account), primary_key=True),
    Column("credit", EnumText(Account), primary_key=True),
    Column("ref", String, primary_key=True),
    Column("token", String, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("amount", Amount256, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("memo", String, nullable=False),
    sqlite_with_rowid=False,
)

intents = Table(
    "intents",
    metadata,
    Column("key", String, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("rail", String, nullable=False),
    Column("sender", AddressBytes, nullable=False),
    Column("to", AddressBytes, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("value", Amount256, nullable=False),
    Column("method", String, nullable=False),
    Column("text", String, nullable=False),
    Column("state", EnumText(IntentState), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("nonce", BigInteger),
    Column("fee_limit", BigInteger),
    Column("fee_price", Amount256),
    Column("raw", LargeBinary),
    Column("hash", LargeBinary),
    Column("replaced", HashList, nullable=False),
    Column("block", BigInteger),
    Column("fee_paid", Amount256),
    Column("reason", String, nullable=False),
    Column("trc10", BigInteger, nullable=False),
    Column("fee_extra", Amount256),
    Column("anchor", LargeBinary, nullable=False),
    Column("after", String),
    Column("cancelled", BigInteger),
)
"""`number`: the order in which they came."""

hosted = Table(
    "hosted",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    Column("rail", String, nullable=False),
    Column("market", AddressBytes, nullable=False),
    Column("contract", PackedTerms, nullable=False),
    Column("renter_signature", LargeBinary, nullable=False),
    Column("host_signature", LargeBinary, nullable=False),
    Column("state", EnumText(State), nullable=False),
    Column("peers", Words, nullable=False),
    Column("renews", LargeBinary),
    Column("whole", Boolean, nullable=False),
    Column("damaged", String, nullable=False),
    Column("epochs", BigInteger, nullable=False),
    Column("audits", BigInteger, nullable=False),
    Column("audited_at", BigInteger, nullable=False),
    Column("cancel", BigInteger),
    Column("cancel_signature", LargeBinary, nullable=False),
    Column("note", String, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("voucher", BigInteger, nullable=False),
    Column("voucher_signature", LargeBinary, nullable=False),
    Column("voucher_at", BigInteger, nullable=False),
    Column("paid", Amount256, nullable=False),
    Column("bonds", Amount256, nullable=False),
    Column("leaving", BigInteger, nullable=False),
    Column("exit_at", BigInteger, nullable=False),
)
"""Storage contracts that we host. `paid` is a bit for each of at most 256 epochs."""
stored_objects = Table(
    "stored_objects",
    metadata,
    Column("id", String, primary_key=True),
    Column("rail", String, nullable=False),
    Column("stage", EnumText(Stage), nullable=False),
    Column("path", PathBytes, nullable=False),
    Column("k", BigInteger, nullable=False),
    Column("n", BigInteger, nullable=False),
    Column("public", Boolean, nullable=False),
    Column("seconds", BigInteger, nullable=False),
    Column("max_price", Amount256, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False),
    Column("auditor", AddressBytes, nullable=False),
    Column("renew", Boolean, nullable=False),
    Column("manifest", LargeBinary, nullable=False),
    Column("note", String, nullable=False),
)

rentals = Table(
    "rentals",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    Column("object", String, nullable=False),
    Column("shard", BigInteger, nullable=False),
    Column("rail", String, nullable=False),
    Column("terms", PackedTerms, nullable=False),
    Column("state", EnumText(State), nullable=False),
    Column("url", String, nullable=False),
    Column("network", String, nullable=False),
    Column("peers", Words, nullable=False),
    Column("download_price", Amount256, nullable=False),
    Column("renter_signature", LargeBinary, nullable=False),
    Column("host_signature", LargeBinary, nullable=False),
    Column("renews", LargeBinary, nullable=False),
    Column("vouched", BigInteger, nullable=False),
    Column("voucher_signature", LargeBinary, nullable=False),
    Column("told", BigInteger, nullable=False),
    Column("passed", BigInteger, nullable=False),
    Column("missed", BigInteger, nullable=False),
    Column("missed_epoch", BigInteger, nullable=False),
    Column("convicted", Boolean, nullable=False),
    Column("dropped", Boolean, nullable=False),
    Column("leaves", BigInteger, nullable=False),
    Column("relieve", Boolean, nullable=False),
)

known_hosts = Table(
    "known_hosts",
    metadata,
    Column("rail", String, primary_key=True),
    Column("host", AddressBytes, primary_key=True),
    Column("kept", BigInteger, nullable=False),
    Column("silent", BigInteger, nullable=False),
    Column("wrong", BigInteger, nullable=False),
    Column("broken", BigInteger, nullable=False),
    Column("declined", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

audits = Table(
    "audits",
    metadata,
    Column("contract", LargeBinary, primary_key=True),
    Column("epoch", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, primary_key=True, autoincrement=False),
    Column("verdict", EnumText(Verdict), nullable=False),
    Column("reason", String, nullable=False),
    Column("evidence", LargeBinary, nullable=False),
)

latest_audits = Table(
    "latest_audits",
    metadata,
    Column("contract", LargeBinary, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("evidence", LargeBinary, nullable=False),
)
"""The evidence of each contract's latest audit that passed: up to 1 MiB, so only one of them is kept."""

kept_labels = Table(
    "kept_labels",
    metadata,
    Column("contract", LargeBinary, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("data", LargeBinary, nullable=False),
)
"""What renters want to find again with the contracts that we host."""

sent_labels = Table(
    "sent_labels",
    metadata,
    Column("contract", LargeBinary, primary_key=True),
    Column("object", String, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False),
)
"""What our hosts have confirmed."""

storage_positions = Table(
    "storage_positions",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    Column("rail", String, nullable=False),
    Column("day", BigInteger, nullable=False),
    Column("terms", PackedTerms, nullable=False),
    Column("promised", Amount256, nullable=False),
    Column("escrow", Amount256, nullable=False),
    Column("collateral", Amount256, nullable=False),
    Column("bond", Amount256, nullable=False),
    Column("spent", Amount256, nullable=False),
)
"""Our money in storage contracts, whatever our part in them. They outlive the objects: limits count since ever."""

meta = Table(
    "meta",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""`sequence`: transactions that moved money. `clean`: 1 after a clean stop. `intents`, `payouts`: how many so far.
`judged`: the last payout that reputations know of."""
