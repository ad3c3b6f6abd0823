"""BTFS cheques, received and issued: the latest of each vault, beneficiary and token."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

AMOUNT = sa.LargeBinary(32)
ADDRESS = sa.LargeBinary(20)


def upgrade() -> None:
    op.create_table(
        "btfs_cheques",
        sa.Column("rail", sa.String, primary_key=True),
        sa.Column("role", sa.String, primary_key=True),
        sa.Column("vault", ADDRESS, primary_key=True),
        sa.Column("beneficiary", ADDRESS, primary_key=True),
        sa.Column("token", ADDRESS, primary_key=True),
        sa.Column("cumulative", AMOUNT, nullable=False),
        sa.Column("signature", sa.LargeBinary, nullable=False),
        sa.Column("cashed", AMOUNT, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
