"""Alembic runs this module to migrate the connection that `node.store.upgrade.migrate` hands over."""

from __future__ import annotations

from alembic import context

from node.store.schema import metadata

# `render_as_batch`: SQLite cannot alter most things in place.
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transaction_per_migration=False,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
