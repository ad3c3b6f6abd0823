"""What we store with hosts: objects, contracts, audits."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

AMOUNT = sa.LargeBinary(32)


def upgrade() -> None:
    op.create_table(
        "stored_objects",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("rail", sa.String, nullable=False),
        sa.Column("stage", sa.String, nullable=False),
        sa.Column("path", sa.LargeBinary, nullable=False),
        sa.Column("k", sa.BigInteger, nullable=False),
        sa.Column("n", sa.BigInteger, nullable=False),
        sa.Column("public", sa.Boolean, nullable=False),
        sa.Column("seconds", sa.BigInteger, nullable=False),
        sa.Column("max_price", AMOUNT, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.Column("auditor", sa.LargeBinary(20), nullable=False),
        sa.Column("renew", sa.Boolean, nullable=False),
        sa.Column("manifest", sa.LargeBinary, nullable=False),
        sa.Column("note", sa.String, nullable=False),
    )
    op.create_table(
        "rentals",
        sa.Column("id", sa.LargeBinary, primary_key=True),
        sa.Column("object", sa.String, nullable=False),
        sa.Column("shard", sa.BigInteger, nullable=False),
        sa.Column("rail", sa.String, nullable=False),
        sa.Column("terms", sa.LargeBinary, nullable=False),
        *(sa.Column(name, sa.String, nullable=False) for name in ("state", "url", "network", "peers")),
        sa.Column("download_price", AMOUNT, nullable=False),
        *(sa.Column(name, sa.LargeBinary, nullable=False) for name in ("renter_signature", "host_signature", "renews")),
        sa.Column("vouched", sa.BigInteger, nullable=False),
        sa.Column("voucher_signature", sa.LargeBinary, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("told", "passed", "missed", "missed_epoch")),
        sa.Column("convicted", sa.Boolean, nullable=False),
        sa.Column("dropped", sa.Boolean, nullable=False),
        sa.Column("leaves", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "audits",
        sa.Column("contract", sa.LargeBinary, primary_key=True),
        sa.Column("epoch", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("verdict", sa.String, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("evidence", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "latest_audits",
        sa.Column("contract", sa.LargeBinary, primary_key=True),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("evidence", sa.LargeBinary, nullable=False),
    )
