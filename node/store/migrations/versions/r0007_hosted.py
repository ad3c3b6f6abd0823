"""Storage contracts that we host."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "hosted",
        sa.Column("id", sa.LargeBinary, primary_key=True),
        sa.Column("rail", sa.String, nullable=False),
        sa.Column("market", sa.LargeBinary(20), nullable=False),
        sa.Column("contract", sa.LargeBinary, nullable=False),
        sa.Column("renter_signature", sa.LargeBinary, nullable=False),
        sa.Column("host_signature", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("peers", sa.String, nullable=False),
        sa.Column("renews", sa.LargeBinary),
        sa.Column("whole", sa.Boolean, nullable=False),
        sa.Column("damaged", sa.String, nullable=False),
        sa.Column("epochs", sa.BigInteger, nullable=False),
        sa.Column("audits", sa.BigInteger, nullable=False),
        sa.Column("audited_at", sa.BigInteger, nullable=False),
        sa.Column("cancel", sa.BigInteger),
        sa.Column("cancel_signature", sa.LargeBinary, nullable=False),
        sa.Column("note", sa.String, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("voucher", sa.BigInteger, nullable=False),
        sa.Column("voucher_signature", sa.LargeBinary, nullable=False),
        sa.Column("voucher_at", sa.BigInteger, nullable=False),
        sa.Column("paid", sa.LargeBinary(32), nullable=False),
        sa.Column("bonds", sa.LargeBinary(32), nullable=False),
    )
