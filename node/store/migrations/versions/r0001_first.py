"""The first schema. Types are spelled out: a revision must not change when the program's own types do."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

AMOUNT = sa.LargeBinary(32)
ADDRESS = sa.LargeBinary(20)


def upgrade() -> None:
    op.create_table(
        "torrents",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("save_path", sa.LargeBinary, nullable=False),
        sa.Column("torrent", sa.LargeBinary),
        sa.Column("magnet", sa.String),
        sa.Column("resume", sa.LargeBinary),
        sa.Column("paused", sa.Boolean, nullable=False),
        sa.Column("seed_mode", sa.Boolean, nullable=False),
        sa.Column("added_at", sa.BigInteger, nullable=False),
        sa.Column("finished_at", sa.BigInteger),
        sa.Column("speed", sa.Boolean, nullable=False),
        sa.Column("max_price", AMOUNT),
        sa.Column("budget", AMOUNT),
    )
    op.create_table(
        "issued",
        sa.Column("rail", sa.String, primary_key=True),
        sa.Column("payer", ADDRESS, primary_key=True),
        sa.Column("payee", ADDRESS, primary_key=True),
        sa.Column("cumulative", AMOUNT, nullable=False),
        sa.Column("owed", AMOUNT, nullable=False),
        sa.Column("signature", sa.LargeBinary, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("needs_reconcile", sa.Boolean, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "received",
        sa.Column("rail", sa.String, primary_key=True),
        sa.Column("payer", ADDRESS, primary_key=True),
        sa.Column("payee", ADDRESS, primary_key=True),
        sa.Column("cumulative", AMOUNT, nullable=False),
        sa.Column("signature", sa.LargeBinary, nullable=False),
        sa.Column("earned", AMOUNT, nullable=False),
        sa.Column("forgiven", AMOUNT, nullable=False),
        sa.Column("paid_bytes", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("cashed", AMOUNT, nullable=False),
        sa.Column("bounced", AMOUNT, nullable=False),
        sa.Column("bounced_at", sa.BigInteger),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "receipts",
        sa.Column("rail", sa.String, primary_key=True),
        sa.Column("transaction", sa.String, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "spending",
        sa.Column("scope", sa.String, primary_key=True),
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("amount", AMOUNT, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "transfers",
        sa.Column("torrent", sa.String, primary_key=True),
        sa.Column("rail", sa.String, primary_key=True),
        sa.Column("counterparty", ADDRESS, primary_key=True),
        sa.Column("direction", sa.String, primary_key=True),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("amount", AMOUNT, nullable=False),
        sa.Column("free", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "counterparties",
        sa.Column("rail", sa.String, primary_key=True),
        sa.Column("address", ADDRESS, primary_key=True),
        sa.Column("role", sa.String, primary_key=True),
        sa.Column("first_seen", sa.BigInteger, nullable=False),
        sa.Column("last_seen", sa.BigInteger, nullable=False),
        sa.Column("host", sa.String, nullable=False),
        sa.Column("port", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "journal",
        sa.Column("day", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("rail", sa.String, primary_key=True),
        sa.Column("debit", sa.String, primary_key=True),
        sa.Column("credit", sa.String, primary_key=True),
        sa.Column("ref", sa.String, primary_key=True),
        sa.Column("token", sa.String, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("amount", AMOUNT, nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("memo", sa.String, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "intents",
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("rail", sa.String, nullable=False),
        sa.Column("sender", ADDRESS, nullable=False),
        sa.Column("to", ADDRESS, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.Column("value", AMOUNT, nullable=False),
        sa.Column("method", sa.String, nullable=False),
        sa.Column("text", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("nonce", sa.BigInteger),
        sa.Column("fee_limit", sa.BigInteger),
        sa.Column("fee_price", AMOUNT),
        sa.Column("raw", sa.LargeBinary),
        sa.Column("hash", sa.LargeBinary),
        sa.Column("replaced", sa.LargeBinary, nullable=False),
        sa.Column("block", sa.BigInteger),
        sa.Column("fee_paid", AMOUNT),
        sa.Column("reason", sa.String, nullable=False),
    )
    op.create_table(
        "meta",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
