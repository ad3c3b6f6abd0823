"""An upgraded database and a new one are the same."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from node.store import open_store, upgrade
from node.store.schema import APPLICATION_ID, REVISIONS, metadata


def tables(path: Path) -> dict[str, str]:
    """Name → the statement that made it, without its white space."""
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    connection.close()
    return {name: "".join(sql.split()) for name, sql in rows}


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


def test_the_list_of_revisions_is_the_one_on_disk() -> None:
    script = ScriptDirectory(str(upgrade.MIGRATIONS))
    newest_first = [revision.revision for revision in script.walk_revisions()]
    assert tuple(reversed(newest_first)) == REVISIONS
    assert script.get_heads() == [REVISIONS[-1]]
