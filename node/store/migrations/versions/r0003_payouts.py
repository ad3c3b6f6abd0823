"""Payouts: what each final receipt says of each cheque; and up to where each rail's vault events were read."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

AMOUNT = sa.LargeBinary(32)
ADDRESS = sa.LargeBinary(20)


def upgrade() -> None:
    op.create_table(
        "payouts",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("rail", sa.String, nullable=False),
        sa.Column("transaction", sa.String, nullable=False),
        sa.Column("block", sa.BigInteger, nullable=False),
        sa.Column("payer", ADDRESS, nullable=False),
        sa.Column("payee", ADDRESS, nullable=False),
        sa.Column("amount", AMOUNT, nullable=False),
        sa.Column("bounced", AMOUNT, nullable=False),
        sa.Column("fee", AMOUNT, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "cursors",
        sa.Column("rail", sa.String, primary_key=True),
        sa.Column("block", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
