"""Intents on chains with expiry: TRC-10, bandwidth, anchors; order among intents, and cancelling them.

The table is made anew, since SQLite would append new columns behind the table's constraints.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

AMOUNT = sa.LargeBinary(32)
ADDRESS = sa.LargeBinary(20)

KEPT = (
    '"key", number, rail, sender, "to", data, value, method, text, state, created_at, nonce, fee_limit, fee_price, '
    "raw, hash, replaced, block, fee_paid, reason"
)


def upgrade() -> None:
    op.rename_table("intents", "intents_0001")
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
        sa.Column("trc10", sa.BigInteger, nullable=False),
        sa.Column("fee_extra", AMOUNT),
        sa.Column("anchor", sa.LargeBinary, nullable=False),
        sa.Column("after", sa.String),
        sa.Column("cancelled", sa.BigInteger),
    )
    op.execute(
        f"INSERT INTO intents ({KEPT}, trc10, anchor) SELECT {KEPT}, 0, x'' FROM intents_0001"  # noqa: S608 - constants
    )
    op.drop_table("intents_0001")
