"""What both chains keep on disk alike: one SQLite file with trie nodes, a few numbers and snapshots.

State is kept as trie nodes under their hashes, so every block's state stays readable and going back to an earlier
block needs nothing but its state root. The file is in WAL mode: it survives `kill -9` at any moment with every block
it has answered for. It is not synced to the platter at every block, so a power cut may cost the last few: a price a
local chain can pay for speed. The file is locked for as long as it is open.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eth.db.backends.base import BaseDB

from node.devnet.errors import StorageError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS node (hash BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS snapshot (
    id INTEGER PRIMARY KEY AUTOINCREMENT, block INTEGER NOT NULL, ahead INTEGER NOT NULL);
"""


class NodeDatabase(BaseDB):
    """py-evm's view of the `node` table: trie nodes and code by hash."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __getitem__(self, key: bytes) -> bytes:
        row = self._connection.execute("SELECT value FROM node WHERE hash = ?", (key,)).fetchone()
        if row is None:
            raise KeyError(key)
        return bytes(row[0])

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self._connection.execute("INSERT OR REPLACE INTO node VALUES (?, ?)", (key, value))

    def __delitem__(self, key: bytes) -> None:
        if self._connection.execute("DELETE FROM node WHERE hash = ?", (key,)).rowcount == 0:
            raise KeyError(key)

    def _exists(self, key: bytes) -> bool:
        return self._connection.execute("SELECT 1 FROM node WHERE hash = ?", (key,)).fetchone() is not None


class Database:
    """The file, open and locked. Used by one thread, the one that opened it; a rail's storage adds its own tables.

    `path` None keeps everything in memory. `schema` makes the tables; `version` tells layouts and rails apart.
    Raises `StorageError` for a file that is locked, damaged or another chain's.
    """

    def __init__(self, path: Path | None, schema: str, version: int, chain_id: int) -> None:
        with _translated(path):
            self._connection = sqlite3.connect(path or ":memory:", timeout=0, isolation_level=None)
        try:
            with _translated(path):
                self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
                self._connection.execute("PRAGMA journal_mode = WAL")
                self._connection.execute("PRAGMA synchronous = NORMAL")
                self._connection.executescript(_SCHEMA)
                self._expect("version", version, path)
                self._expect("chain id", chain_id, path)
                self._connection.executescript(schema)
        except BaseException:
            self._connection.close()
            raise
        self.nodes = NodeDatabase(self._connection)

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing."""
        with _translated(None):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def _expect(self, key: str, wanted: int, path: Path | None) -> None:
        found = self.number(key, wanted)
        if found != wanted:
            raise StorageError(f"{path} holds a chain with {key} {found}, not {wanted}: use another folder")
        self.set_number(key, wanted)

    # --- numbers -----------------------------------------------------------------------------------------------------

    def number(self, key: str, default: int) -> int:
        """Of any size: a chain id may have 256 bits."""
        row = self._connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return default if row is None else int(row[0])

    def set_number(self, key: str, value: int) -> None:
        self._connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, str(value)))

    # --- snapshots ---------------------------------------------------------------------------------------------------

    def add_snapshot(self, number: int, ahead: int) -> int:
        cursor = self._connection.execute("INSERT INTO snapshot (block, ahead) VALUES (?, ?)", (number, ahead))
        return cursor.lastrowid or 0

    def take_snapshot(self, snapshot: int) -> tuple[int, int] | None:
        """Its block number and clock offset, or None. It and all later ones are used up."""
        row = self._connection.execute("SELECT block, ahead FROM snapshot WHERE id = ?", (snapshot,)).fetchone()
        self._connection.execute("DELETE FROM snapshot WHERE id >= ?", (snapshot,))
        return None if row is None else (int(row[0]), int(row[1]))


@contextmanager
def _translated(path: Path | None) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise StorageError(f"{path} is in use by another devnet: stop it, or use another --data-dir") from None
        raise StorageError(f"{path or 'the devnet database'}: {error}") from None
    except sqlite3.DatabaseError as error:
        raise StorageError(
            f"{path or 'the devnet database'} is damaged ({error}): move it away to start anew"
        ) from None
