"""The schema's version: finding it, refusing newer ones, upgrading older ones.

An up-to-date database costs one small query. A new one gets today's tables at once. Alembic, which takes long to
import, is needed only for the way from an older schema; a test holds that both ways end at the same tables.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Column, Connection, MetaData, PrimaryKeyConstraint, String, Table, insert, inspect, select

from node.ports.store import DatabaseTooNewError
from node.store.schema import REVISIONS, metadata

MIGRATIONS = Path(__file__).parent / "migrations"

# Alembic's own table, as it would make it.
_versions = MetaData()
alembic_version = Table(
    "alembic_version",
    _versions,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)


def is_empty(connection: Connection) -> bool:
    """No tables at all."""
    return not inspect(connection).get_table_names()


def current_revision(connection: Connection) -> str | None:
    """The schema's revision; None for a database that has none."""
    if not inspect(connection).has_table(alembic_version.name):
        return None
    return connection.execute(select(alembic_version.c.version_num)).scalar()


def check_known(revision: str | None, path: Path) -> None:
    """Raises `DatabaseTooNewError` for a schema that came after this program."""
    if revision is not None and revision not in REVISIONS:
        raise DatabaseTooNewError(f"{path} has schema {revision}, this bttnode knows up to {REVISIONS[-1]}")


def is_current(revision: str | None) -> bool:
    return revision == REVISIONS[-1]


def bring_up_to_date(connection: Connection, revision: str | None) -> None:
    """Within the caller's transaction."""
    if revision is None:
        metadata.create_all(connection)
        _versions.create_all(connection)
        connection.execute(insert(alembic_version).values(version_num=REVISIONS[-1]))
    elif not is_current(revision):
        migrate(connection)


def migrate(connection: Connection, to: str = "head") -> None:
    """Run all migrations that are missing, up to a revision, within the caller's transaction."""
    from alembic import command  # imported here: see the head of this module
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, to)
