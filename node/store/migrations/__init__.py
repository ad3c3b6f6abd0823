"""Alembic's environment and revisions; `node.store.upgrade` runs them."""
