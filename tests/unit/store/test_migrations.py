"""An upgraded database and a new one are the same."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, Table, create_engine, insert

from node.ports.store import StoreError
from node.store import open_store, upgrade
from node.store.schema import APPLICATION_ID, REVISIONS, metadata
from tests.unit.store.kit import ME, RAIL, issue, issued, partner
from wallet.chains.base import Call, Fee
from wallet.intents import Intent, IntentState


def tables(path: Path) -> dict[str, str]:
    """Name → the statement that made it, without its white space, and the quotes that SQLite puts round a new name."""
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    connection.close()
    return {name: "".join(sql.split()).replace(f'"{name}"', name, 1) for name, sql in rows}


def migrate(path: Path) -> None:
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.exec_driver_sql(f"PRAGMA application_id={APPLICATION_ID}")
        upgrade.migrate(connection)
        assert upgrade.current_revision(connection) == REVISIONS[-1]
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    engine.dispose()
    assert differences == []


async def test_all_migrations_lead_to_the_tables_of_a_new_database(tmp_path: Path) -> None:
    migrated, new = tmp_path / "migrated.db", tmp_path / "new.db"
    migrate(migrated)
    await (await open_store(new, None)).close()
    assert tables(migrated) == tables(new)


async def test_a_migrated_database_opens(tmp_path: Path) -> None:
    migrate(tmp_path / "node.db")
    store = await open_store(tmp_path / "node.db", None)
    assert await store.torrents() == []
    await store.close()


def sign_first_intent(connection: Connection) -> None:
    """An intent as the first schema kept it."""
    values = {
        "key": "cash:1",
        "number": 1,
        "rail": RAIL,
        "sender": ME.raw,
        "to": partner(1).raw,
        "data": b"data",
        "value": (5).to_bytes(32, "big"),
        "method": "cash",
        "text": "cash 1 cheque",
        "state": "sent",
        "created_at": 7,
        "nonce": 3,
        "fee_limit": 21_000,
        "fee_price": (9).to_bytes(32, "big"),
        "raw": b"raw",
        "hash": b"\2" * 32,
        "replaced": b"\1" * 32,
        "reason": "",
    }
    connection.execute(insert(Table("intents", MetaData(), autoload_with=connection)).values(values))


async def test_an_intent_under_way_survives_the_second_schema(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'node.db'}")
    with engine.begin() as connection:
        connection.exec_driver_sql(f"PRAGMA application_id={APPLICATION_ID}")
        upgrade.migrate(connection, "0001")
        sign_first_intent(connection)
    engine.dispose()
    store = await open_store(tmp_path / "node.db", None)
    assert await store.open_intents() == [
        Intent(
            key="cash:1",
            rail=RAIL,
            sender=ME,
            call=Call(partner(1), b"data", 5, "cash", "cash 1 cheque"),
            state=IntentState.SENT,
            created_at=7,
            nonce=3,
            fee=Fee(21_000, 9),
            raw=b"raw",
            hash=b"\2" * 32,
            replaced=(b"\1" * 32,),
        )
    ]
    await store.close()


def test_the_list_of_revisions_is_the_one_on_disk() -> None:
    script = ScriptDirectory(str(upgrade.MIGRATIONS))
    newest_first = [revision.revision for revision in script.walk_revisions()]
    assert tuple(reversed(newest_first)) == REVISIONS
    assert script.get_heads() == [REVISIONS[-1]]


NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "next"
down_revision = "{latest}"


def upgrade() -> None:
    op.create_table("extra", sa.Column("id", sa.Integer, primary_key=True))
    op.execute("{statement}")
"""


def release(monkeypatch: pytest.MonkeyPatch, folder: Path, statement: str) -> None:
    """Pretend that this program is one schema ahead."""
    shutil.copytree(upgrade.MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "versions" / "rnext.py").write_text(NEXT.format(latest=REVISIONS[-1], statement=statement))
    monkeypatch.setattr(upgrade, "MIGRATIONS", folder)
    monkeypatch.setattr(upgrade, "REVISIONS", (*REVISIONS, "next"))


async def make_old(path: Path) -> None:
    store = await open_store(path, None)
    await store.issue_cheque(issue(10, amount=10))
    await store.close()


async def test_an_older_database_is_upgraded_with_what_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "node.db"
    await make_old(path)
    release(monkeypatch, tmp_path / "next", "INSERT INTO extra VALUES (1)")
    for _ in range(2):
        store = await open_store(path, None)
        assert await store.issued(RAIL, ME, partner(1)) == issued(10)
        await store.close()
    assert "extra" in tables(path)


async def test_an_upgrade_that_fails_leaves_the_old_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "node.db"
    await make_old(path)
    with monkeypatch.context() as newer:
        release(newer, tmp_path / "next", "INSERT INTO nowhere VALUES (1)")
        with pytest.raises(StoreError, match="nowhere"):
            await open_store(path, None)
    assert "extra" not in tables(path)
    store = await open_store(path, None)
    assert await store.issued(RAIL, ME, partner(1)) == issued(10)
    await store.close()
