"""Hosts that leave before their contracts end, and what is known of hosts from own experience.

The tables are made anew, since SQLite would append new columns behind the table's constraints; a second time, because
the value that old rows get is none for new ones.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

ADDED = (("hosted", ("leaving", "exit_at"), sa.BigInteger()), ("rentals", ("relieve",), sa.Boolean()))


def upgrade() -> None:
    for table, names, kind in ADDED:
        with op.batch_alter_table(table, recreate="always") as batch:
            for name in names:
                batch.add_column(sa.Column(name, kind, nullable=False, server_default=sa.text("0")))
        with op.batch_alter_table(table, recreate="always") as batch:
            for name in names:
                batch.alter_column(name, server_default=None)
    op.create_table(
        "known_hosts",
        sa.Column("rail", sa.String, primary_key=True),
        sa.Column("host", sa.LargeBinary(20), primary_key=True),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("kept", "silent", "wrong", "broken", "declined")),
        sa.Column("at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
