"""Ethereum's blocks, transactions and logs on disk, beside what `node.devnet.database` keeps for every chain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import rlp  # type: ignore[import-untyped]  # rlp ships no types
from eth.rlp.headers import BlockHeader

from node.devnet.database import Database
from node.devnet.evm import decode_transaction
from node.devnet.records import Block, Event, Log, LogFilter, Mined, Outcome, Transaction

_SCHEMA = """
CREATE TABLE IF NOT EXISTS block (
    number INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, header BLOB NOT NULL, size INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS tx (
    hash BLOB PRIMARY KEY, block INTEGER NOT NULL, position INTEGER NOT NULL, raw BLOB NOT NULL, ok INTEGER NOT NULL,
    gas INTEGER NOT NULL, cumulative_gas INTEGER NOT NULL, created BLOB, UNIQUE (block, position)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS log (
    block INTEGER NOT NULL, position INTEGER NOT NULL, tx BLOB NOT NULL, tx_position INTEGER NOT NULL,
    address BLOB NOT NULL, topics BLOB NOT NULL, data BLOB NOT NULL, PRIMARY KEY (block, position)) WITHOUT ROWID;
"""
_VERSION = 1
_TOPIC = 32


class Storage(Database):
    """Blocks, transactions and logs of one Ethereum chain. Raises `StorageError` as its base does."""

    def __init__(self, path: Path | None, chain_id: int) -> None:
        super().__init__(path, _SCHEMA, _VERSION, chain_id)
        self._chain_id = chain_id

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
