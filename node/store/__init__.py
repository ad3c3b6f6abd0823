"""The store: everything durable but keys, in one SQL database. `open_store` makes a `node.ports.store.Store`."""

from node.store.sql import SqlStore, accept_rollback, open_store

__all__ = ["SqlStore", "accept_rollback", "open_store"]
