"""What counterparties did, so that a bounced cheque is remembered over a restart."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

AMOUNT = sa.LargeBinary(32)
TALLIES = ("delivered", "bought", "paid", "failed", "bounced", "overcounted", "unpaid", "stops")


def upgrade() -> None:
    op.create_table(
        "reputation",
        sa.Column("rail", sa.String, primary_key=True),
        sa.Column("address", sa.LargeBinary(20), primary_key=True),
        *(sa.Column(name, AMOUNT, nullable=False) for name in TALLIES),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("step", "met_at", "bounces", "barred_until")),
        sqlite_with_rowid=False,
    )
