"""The chain on disk: one SQLite file, and one SQLite transaction per block.

State is kept as trie nodes under their hashes, so every block's state stays readable and going back to an earlier
block needs nothing but its state root. The file is in WAL mode: it survives `kill -9` at any moment with every block
it has answered for. It is not synced to the platter at every block, so a power cut may cost the last few: a price a
local chain can pay for speed. The file is locked for as long as it is open.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import rlp  # type: ignore[import-untyped]  # rlp ships no types
from eth.db.backends.base import BaseDB
from eth.rlp.headers import BlockHeader

from node.devnet.errors import StorageError
from node.devnet.evm import decode_transaction
from node.devnet.records import Block, Event, Log, LogFilter, Mined, Outcome, Transaction

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS node (hash BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS block (
    number INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, header BLOB NOT NULL, size INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS tx (
    hash BLOB PRIMARY KEY, block INTEGER NOT NULL, position INTEGER NOT NULL, raw BLOB NOT NULL, ok INTEGER NOT NULL,
    gas INTEGER NOT NULL, cumulative_gas INTEGER NOT NULL, created BLOB, UNIQUE (block, position)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS log (
    block INTEGER NOT NULL, position INTEGER NOT NULL, tx BLOB NOT NULL, tx_position INTEGER NOT NULL,
    address BLOB NOT NULL, topics BLOB NOT NULL, data BLOB NOT NULL, PRIMARY KEY (block, position)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS snapshot (
    id INTEGER PRIMARY KEY AUTOINCREMENT, block INTEGER NOT NULL, ahead INTEGER NOT NULL);
"""
_VERSION = 1
_TOPIC = 32


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


class Storage:
    """Blocks, transactions, logs, trie nodes and a few numbers. Used by one thread, the one that opened it.

    `path` None keeps everything in memory. Raises `StorageError` for a file that is locked, damaged or another chain's.
    """

    def __init__(self, path: Path | None, chain_id: int) -> None:
        self._chain_id = chain_id
        with _translated(path):
            self._connection = sqlite3.connect(path or ":memory:", timeout=0, isolation_level=None)
        try:
            with _translated(path):
                self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
                self._connection.execute("PRAGMA journal_mode = WAL")
                self._connection.execute("PRAGMA synchronous = NORMAL")
                self._connection.executescript(_SCHEMA)
                self._expect("version", _VERSION, path)
                self._expect("chain id", chain_id, path)
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

    # --- blocks ------------------------------------------------------------------------------------------------------

    def append(self, block: Block, executed: Sequence[tuple[Transaction, Outcome]]) -> None:
        """Store a block with its transactions and logs; call inside `transaction`."""
        run = self._connection.execute
        run("INSERT INTO block VALUES (?, ?, ?, ?)", (block.number, block.hash, rlp.encode(block.header), block.size))
        cumulative, log_index = 0, 0
        for position, (tx, outcome) in enumerate(executed):
            cumulative += outcome.gas_used
            run(
                "INSERT INTO tx VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    tx.hash,
                    block.number,
                    position,
                    tx.encode(),
                    outcome.success,
                    outcome.gas_used,
                    cumulative,
                    outcome.created,
                ),
            )
            for event in outcome.events:
                run(
                    "INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (block.number, log_index, tx.hash, position, event.address, b"".join(event.topics), event.data),
                )
                log_index += 1

    def head(self) -> Block | None:
        return self._block("SELECT header, size FROM block ORDER BY number DESC LIMIT 1", ())

    def block(self, number: int) -> Block | None:
        return self._block("SELECT header, size FROM block WHERE number = ?", (number,))

    def block_by_hash(self, block_hash: bytes) -> Block | None:
        return self._block("SELECT header, size FROM block WHERE hash = ?", (block_hash,))

    def hashes_before(self, number: int, count: int) -> list[bytes]:
        """Hashes of the `count` blocks before `number`, nearest first."""
        rows = self._connection.execute(
            "SELECT hash FROM block WHERE number < ? ORDER BY number DESC LIMIT ?", (number, count)
        )
        return [bytes(row[0]) for row in rows]

    def mined(self, transaction_hash: bytes) -> Mined | None:
        row = self._connection.execute(
            "SELECT raw, block, block.hash, position, ok, gas, cumulative_gas, created"
            " FROM tx JOIN block ON block.number = tx.block WHERE tx.hash = ?",
            (transaction_hash,),
        ).fetchone()
        if row is None:
            return None
        raw, number, block_hash, position, ok, gas, cumulative, created = row
        return Mined(
            decode_transaction(raw, self._chain_id), number, block_hash, position, bool(ok), gas, cumulative, created
        )

    def logs(self, wanted: LogFilter) -> Iterator[Log]:
        """In chain order."""
        rows = self._connection.execute(
            "SELECT log.block, block.hash, tx, tx_position, position, address, topics, data FROM log"
            " JOIN block ON block.number = log.block WHERE log.block BETWEEN ? AND ? ORDER BY log.block, position",
            (wanted.first, wanted.last),
        )
        return (log for log in map(_log, rows) if wanted.matches(log.event))

    def logs_of(self, mined: Mined) -> tuple[Log, ...]:
        everything = LogFilter(first=mined.block_number, last=mined.block_number)
        return tuple(log for log in self.logs(everything) if log.transaction_index == mined.index)

    def drop_after(self, number: int) -> None:
        """Forget all blocks above `number`. Their trie nodes stay: they are found by hash only, so they do no harm."""
        self._connection.execute("DELETE FROM log WHERE block > ?", (number,))
        self._connection.execute("DELETE FROM tx WHERE block > ?", (number,))
        self._connection.execute("DELETE FROM block WHERE number > ?", (number,))

    # --- snapshots ---------------------------------------------------------------------------------------------------

    def add_snapshot(self, number: int, ahead: int) -> int:
        cursor = self._connection.execute("INSERT INTO snapshot (block, ahead) VALUES (?, ?)", (number, ahead))
        return cursor.lastrowid or 0

    def take_snapshot(self, snapshot: int) -> tuple[int, int] | None:
        """Its block number and clock offset, or None. It and all later ones are used up."""
        row = self._connection.execute("SELECT block, ahead FROM snapshot WHERE id = ?", (snapshot,)).fetchone()
        self._connection.execute("DELETE FROM snapshot WHERE id >= ?", (snapshot,))
        return None if row is None else (int(row[0]), int(row[1]))

    # --- the parts ---------------------------------------------------------------------------------------------------

    def _block(self, query: str, arguments: tuple[int | bytes, ...]) -> Block | None:
        row = self._connection.execute(query, arguments).fetchone()
        if row is None:
            return None
        header: BlockHeader = rlp.decode(row[0], BlockHeader)
        hashes = self._connection.execute(
            "SELECT hash FROM tx WHERE block = ? ORDER BY position", (header.block_number,)
        )
        return Block(header, header.hash, tuple(bytes(found[0]) for found in hashes), int(row[1]))


def _log(row: tuple[int, bytes, bytes, int, int, bytes, bytes, bytes]) -> Log:
    number, block_hash, tx, tx_position, position, address, topics, data = row
    split = tuple(topics[i : i + _TOPIC] for i in range(0, len(topics), _TOPIC))
    return Log(Event(address, split, data), number, block_hash, tx, tx_position, position)


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
