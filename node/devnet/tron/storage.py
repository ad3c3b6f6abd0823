"""TRON's blocks, transactions and logs on disk, beside what `node.devnet.database` keeps for every chain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import rlp  # type: ignore[import-untyped]  # rlp ships no types
from rlp.sedes import List as Fields  # type: ignore[import-untyped]  # rlp ships no types
from rlp.sedes import big_endian_int, binary

from node.devnet.database import Database
from node.devnet.records import Event
from node.devnet.tron.proto import decode_transaction
from node.devnet.tron.records import Block, ContractRet, Log, Mined, Outcome, Receipt, Transaction

_SCHEMA = """
CREATE TABLE IF NOT EXISTS block (
    number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, parent BLOB NOT NULL, timestamp INTEGER NOT NULL,
    state_root BLOB NOT NULL, tx_root BLOB NOT NULL, size INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS tx (
    id BLOB PRIMARY KEY, block INTEGER NOT NULL, position INTEGER NOT NULL, encoded BLOB NOT NULL,
    receipt BLOB NOT NULL, UNIQUE (block, position)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS log (
    block INTEGER NOT NULL, tx_position INTEGER NOT NULL, position INTEGER NOT NULL, tx BLOB NOT NULL,
    address BLOB NOT NULL, topics BLOB NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (block, tx_position, position)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS log_of_address ON log (address, block, tx_position, position);
CREATE INDEX IF NOT EXISTS block_at ON block (timestamp);
"""
_VERSION = 2
_TOPIC = 32
_BLOCK = "SELECT number, id, parent, timestamp, state_root, tx_root, size FROM block"
_LOG = "SELECT log.block, block.timestamp, tx, position, address, topics, data FROM log JOIN block ON number = block"
_UP = "ORDER BY log.block, tx_position, position"
_DOWN = "ORDER BY log.block DESC, tx_position DESC, position DESC"
_LOGS = {
    (everybody, newest): f"{_LOG} WHERE {whose} AND timestamp BETWEEN ? AND ? {order}"
    for everybody, whose in ((False, "address = ?"), (True, "? IS NULL"))
    for newest, order in ((False, _UP), (True, _DOWN))
}
"""By whether all contracts are meant, and newest first. Each is a statement of its own, so that an index serves it."""

Executed = Sequence[tuple[Transaction, Receipt]]


class TronStorage(Database):
    """Raises `StorageError` as its base does."""

    def __init__(self, path: Path | None, chain_id: int) -> None:
        super().__init__(path, _SCHEMA, _VERSION, chain_id)

    # --- blocks ------------------------------------------------------------------------------------------------------

    def append(self, block: Block, executed: Executed) -> None:
        """Store a block with its transactions and logs; call inside `transaction`."""
        run = self._connection.execute
        run(
            "INSERT INTO block VALUES (?, ?, ?, ?, ?, ?, ?)",
            (block.number, block.id, block.parent, block.timestamp, block.state_root, block.tx_root, block.size),
        )
        for place, (tx, receipt) in enumerate(executed):
            run("INSERT INTO tx VALUES (?, ?, ?, ?, ?)", (tx.id, block.number, place, tx.encoded, _pack(receipt)))
            for index, event in enumerate(receipt.outcome.events):
                run(
                    "INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (block.number, place, index, tx.id, event.address, b"".join(event.topics), event.data),
                )

    def head(self) -> Block | None:
        return self._block(f"{_BLOCK} ORDER BY number DESC LIMIT 1", ())

    def block(self, number: int) -> Block | None:
        return self._block(f"{_BLOCK} WHERE number = ?", (number,))

    def block_by_id(self, block_id: bytes) -> Block | None:
        return self._block(f"{_BLOCK} WHERE id = ?", (block_id,))

    def ids_before(self, number: int, count: int) -> list[bytes]:
        """Ids of the `count` blocks before `number`, nearest first."""
        rows = self._connection.execute(
            "SELECT id FROM block WHERE number < ? ORDER BY number DESC LIMIT ?", (number, count)
        )
        return [bytes(row[0]) for row in rows]

    def drop_after(self, number: int) -> None:
        """Forget all blocks above `number`. Their trie nodes stay: they are found by hash only, so they do no harm."""
        self._connection.execute("DELETE FROM log WHERE block > ?", (number,))
        self._connection.execute("DELETE FROM tx WHERE block > ?", (number,))
        self._connection.execute("DELETE FROM block WHERE number > ?", (number,))

    # --- transactions and logs ---------------------------------------------------------------------------------------

    def has_transaction(self, transaction_id: bytes) -> bool:
        return self._connection.execute("SELECT 1 FROM tx WHERE id = ?", (transaction_id,)).fetchone() is not None

    def mined(self, transaction_id: bytes) -> Mined | None:
        row = self._connection.execute(
            "SELECT encoded, receipt, number, block.id, timestamp, position FROM tx JOIN block ON number = block"
            " WHERE tx.id = ?",
            (transaction_id,),
        ).fetchone()
        if row is None:
            return None
        encoded, receipt, number, block_id, timestamp, position = row
        events = tuple(log.event for log in self.logs_of(transaction_id))
        transaction = decode_transaction(encoded)
        return Mined(transaction, _unpack(receipt, events), number, block_id, timestamp, position)

    def logs_of(self, transaction_id: bytes) -> Sequence[Log]:
        place = "SELECT block, position FROM tx WHERE id = ?"
        rows = self._connection.execute(
            f"{_LOG} WHERE (log.block, tx_position) = ({place}) ORDER BY position", (transaction_id,)
        )
        return tuple(_log(row) for row in rows)

    def logs(self, contract: bytes | None, first: int, last: int, newest: bool) -> Iterator[Log]:
        """Of blocks timed `first`..`last`, of all contracts or one, read as they are asked for."""
        rows = self._connection.execute(_LOGS[contract is None, newest], (contract, first, last))
        return map(_log, rows)

    # --- the parts ---------------------------------------------------------------------------------------------------

    def _block(self, query: str, arguments: tuple[int | bytes, ...]) -> Block | None:
        row = self._connection.execute(query, arguments).fetchone()
        if row is None:
            return None
        number, block_id, parent, timestamp, state_root, tx_root, size = row
        ids = self._connection.execute("SELECT id FROM tx WHERE block = ? ORDER BY position", (number,))
        transactions = tuple(bytes(found[0]) for found in ids)
        return Block(number, block_id, parent, timestamp, transactions, state_root, tx_root, size)


# --- rows ------------------------------------------------------------------------------------------------------------

_RECEIPT = Fields([binary, big_endian_int, binary, binary, *[big_endian_int] * 7, binary, big_endian_int])


def _pack(receipt: Receipt) -> bytes:
    """RLP; events have a table of their own."""
    outcome = receipt.outcome
    fields = [outcome.ret.encode(), outcome.energy, outcome.output, outcome.message.encode(), int(receipt.is_contract)]
    fields += [receipt.fee, receipt.energy_own, receipt.energy_origin, receipt.energy_burnt]
    fields += [receipt.net_used, receipt.net_burnt, receipt.contract or b"", receipt.asset or 0]
    return bytes(rlp.encode(fields, _RECEIPT))


def _unpack(blob: bytes, events: tuple[Event, ...]) -> Receipt:
    ret, energy, output, message, is_contract, *amounts = rlp.decode(blob, _RECEIPT)
    fee, own, origin, burnt, net_used, net_burnt, contract, asset = amounts
    return Receipt(
        outcome=Outcome(ContractRet(ret.decode()), energy, output, message.decode(), events),
        is_contract=bool(is_contract),
        fee=fee,
        energy_own=own,
        energy_origin=origin,
        energy_burnt=burnt,
        net_used=net_used,
        net_burnt=net_burnt,
        contract=contract or None,
        asset=asset or None,
    )


def _log(row: tuple[int, int, bytes, int, bytes, bytes, bytes]) -> Log:
    number, timestamp, tx, position, address, topics, data = row
    split = tuple(topics[i : i + _TOPIC] for i in range(0, len(topics), _TOPIC))
    return Log(Event(address, split, data), number, timestamp, tx, position)
