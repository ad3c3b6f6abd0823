"""Our money in storage contracts, promised and locked."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

AMOUNT = sa.LargeBinary(32)


def upgrade() -> None:
    op.create_table(
        "storage_positions",
        sa.Column("id", sa.LargeBinary, primary_key=True),
        sa.Column("rail", sa.String, nullable=False),
        sa.Column("day", sa.BigInteger, nullable=False),
        sa.Column("terms", sa.LargeBinary, nullable=False),
        *(sa.Column(name, AMOUNT, nullable=False) for name in ("promised", "escrow", "collateral", "bond", "spent")),
    )
