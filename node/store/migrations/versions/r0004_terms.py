"""How a torrent bids: for which rate, by which strategy, until when. The table is made anew, as in revision 0002."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

AMOUNT = sa.LargeBinary(32)

KEPT = (
    "id, name, save_path, torrent, magnet, resume, paused, seed_mode, added_at, finished_at, speed, max_price, budget"
)


def upgrade() -> None:
    op.rename_table("torrents", "torrents_0003")
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
        sa.Column("rate", sa.BigInteger, nullable=False),
        sa.Column("strategy", sa.String, nullable=False),
        sa.Column("deadline", sa.BigInteger),
    )
    op.execute(f"INSERT INTO torrents ({KEPT}, rate, strategy) SELECT {KEPT}, 0, '' FROM torrents_0003")  # noqa: S608
    op.drop_table("torrents_0003")
