"""One local chain: accounts, transactions, blocks, logs and time, with no wire format in it.

Theory
------
Time and mining are the caller's: by default each accepted transaction is mined at once in a block of its own; with
`automine` off they wait for `mine`. A block's time is the machine's clock plus what the caller has added to it, and
never runs backwards; several blocks may share a second. Whatever changes state does so in a block (setting a balance
too), so a block number names one state, a snapshot is a block number, and going back is forgetting the blocks after it.

One thread owns a `Chain` (`node.devnet.thread`). Each mined block is one storage transaction: it is there entirely or
not at all, also after `kill -9`. Waiting transactions are in memory only, as in any node's pool.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from eth.constants import BLANK_ROOT_HASH
from eth.db.atomic import AtomicDB
from eth.vm.forks.berlin.state import BerlinState
from eth_typing import Address

from node.devnet.changes import BlockAdded, Change, LogsRemoved, TransactionAccepted, Watcher
from node.devnet.errors import BadRequestError, CallFailedError, TransactionRejectedError
from node.devnet.evm import Evm, decode_transaction, least_gas, seal
from node.devnet.pool import Pool
from node.devnet.records import Block, Call, Log, LogFilter, Mined, Outcome, Transaction
from node.devnet.storage import Storage

GWEI = 10**9
MAX_BLOCKS_AT_ONCE = 10_000
MAX_LOGS = 10_000
MAX_TIME = 2**40
"""Bound of block times in Unix seconds, far below what contracts may store in 64 bits."""
MAX_SNAPSHOT = 2**63 - 1
"""What the database can count to."""
_ANCESTORS = 256

Edit = Callable[[BerlinState], None]


def _wall() -> int:
    return int(time.time())


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainSettings:
    """`allocation`: native balances of the genesis block. `gas_price` in native units: the least the chain takes.

    The default price is what BTTC's nodes were set to ask at least when that chain began: 300,000 gwei.
    """

    chain_id: int = 199
    gas_price: int = 300_000 * GWEI
    gas_limit: int = 30_000_000
    allocation: Mapping[bytes, int] = field(default_factory=dict)


class Chain:
    """The chain in `path`, or a fresh one in memory where `path` is None. Raises `StorageError`.

    State questions take the block they are about; None means the latest.
    """

    def __init__(self, settings: ChainSettings, path: Path | None = None, clock: Callable[[], int] = _wall) -> None:
        self.settings = settings
        self.automine = True
        self._watchers: list[Watcher] = []
        self._clock = clock
        self._storage = Storage(path, settings.chain_id)
        self._evm = Evm(AtomicDB(self._storage.nodes), settings.chain_id, settings.gas_limit)
        self._pool = Pool()
        self._ahead = self._storage.number("ahead", 0)
        self._next_time: int | None = None
        head = self._storage.head()
        self._ancestors: list[bytes] = []
        try:
            self._head = self._genesis() if head is None else head
        except BaseException:
            self._storage.close()
            raise
        self._remember_ancestors()

    def close(self) -> None:
        self._storage.close()

    # --- blocks, transactions, logs ----------------------------------------------------------------------------------

    @property
    def head(self) -> Block:
        return self._head

    def block(self, number: int) -> Block | None:
        if number >= self._head.number:
            return self._head if number == self._head.number else None
        return self._storage.block(number)

    def block_by_hash(self, block_hash: bytes) -> Block | None:
        return self._storage.block_by_hash(block_hash)

    def mined(self, transaction_hash: bytes) -> Mined | None:
        return self._storage.mined(transaction_hash)

    def waiting(self, transaction_hash: bytes) -> Transaction | None:
        return self._pool.find(transaction_hash)

    def logs(self, wanted: LogFilter) -> Sequence[Log]:
        """In chain order. Raises `BadRequestError` for more than `MAX_LOGS`."""
        found = list(islice(self._storage.logs(wanted), MAX_LOGS + 1))
        if len(found) > MAX_LOGS:
            raise BadRequestError(f"query returned more than {MAX_LOGS} results: ask for fewer blocks at a time")
        return found

    def logs_of(self, mined: Mined) -> Sequence[Log]:
        return self._storage.logs_of(mined)

    # --- state -------------------------------------------------------------------------------------------------------

    def balance(self, address: bytes, at: Block | None = None) -> int:
        """In the native coin's smallest unit."""
        return self._view(at).get_balance(Address(address))

    def nonce(self, address: bytes, at: Block | None = None) -> int:
        return self._view(at).get_nonce(Address(address))

    def next_nonce(self, address: bytes) -> int:
        """The nonce a new transaction needs: waiting ones counted in."""
        return self._pool.next_nonce(address, self.nonce(address))

    def code(self, address: bytes, at: Block | None = None) -> bytes:
        return self._view(at).get_code(Address(address))

    def storage_at(self, address: bytes, slot: int, at: Block | None = None) -> int:
        return self._view(at).get_storage(Address(address), slot)

    def call(self, call: Call, at: Block | None = None) -> bytes:
        """Run a message as if it stood in block `at`, forget its effects, return its output.

        Raises `CallFailedError` when it fails, `TransactionRejectedError` when it cannot begin.
        """
        return _succeeded(self._evm.simulate(self._view(at), call)).output

    def call_next(self, call: Call) -> bytes:
        """`call` as if it stood in the next block, at that block's time."""
        return _succeeded(self._evm.simulate(self._next_state(), call)).output

    def estimate_gas(self, call: Call) -> int:
        """The gas limit `call` needs in the next block. Raises like `call`."""
        outcome = _succeeded(self._evm.simulate(self._next_state(), call))

        def succeeds(gas: int) -> bool:
            trial = Call(sender=call.sender, to=call.to, data=call.data, value=call.value, gas=gas)
            return self._evm.simulate(self._next_state(), trial).success

        limit = self.settings.gas_limit if call.gas is None else min(call.gas, self.settings.gas_limit)
        return least_gas(succeeds, outcome.gas_consumed, limit)

    # --- change ------------------------------------------------------------------------------------------------------

    def submit(self, raw: bytes) -> bytes:
        """Take a signed transaction and, with `automine`, put it into a block. Returns its hash.

        Raises `TransactionRejectedError`; nothing has changed then. One that fails in its block is not an error here:
        its receipt says so.
        """
        transaction = decode_transaction(raw, self.settings.chain_id)
        if transaction.gas_price < self.settings.gas_price:
            raise TransactionRejectedError(
                f"transaction underpriced: gas price {transaction.gas_price}, minimum needed {self.settings.gas_price}"
            )
        if transaction.gas > self.settings.gas_limit:
            raise TransactionRejectedError("exceeds block gas limit")
        sender = bytes(transaction.sender)
        cost = transaction.gas * transaction.gas_price + transaction.value
        have = self.balance(sender)
        if have < cost:
            raise TransactionRejectedError(
                f"insufficient funds for gas * price + value: address 0x{sender.hex()} have {have} want {cost}"
            )
        self._pool.add(transaction, self.nonce(sender))
        self._tell(TransactionAccepted(transaction))
        if self.automine:
            try:
                self.mine()
            except BaseException:
                self._pool.remove(transaction)  # not in a block and not waiting: the caller may send it again
                raise
        return bytes(transaction.hash)

    def mine(self, blocks: int = 1, interval: int | None = None) -> Block:
        """Add blocks; waiting transactions go into the first ones that have room.

        `interval`: seconds between their times; None lets the clock tell.
        """
        if not 1 <= blocks <= MAX_BLOCKS_AT_ONCE:
            raise BadRequestError(f"cannot mine {blocks} blocks at once: 1 to {MAX_BLOCKS_AT_ONCE}")
        if interval is not None and self.next_timestamp() + blocks * interval > MAX_TIME:
            raise BadRequestError(f"cannot mine {blocks} blocks {interval} seconds apart")
        for mined in range(blocks):
            if mined and interval is not None:
                self.set_next_timestamp(self._head.timestamp + interval)
            self._mine(self._pool)
            self._pool.drop_mined(self.nonce)
        return self._head

    def drop(self, transaction_hash: bytes) -> bool:
        """Forget a waiting transaction. False where none waits under this hash."""
        transaction = self._pool.find(transaction_hash)
        if transaction is None:
            return False
        self._pool.remove(transaction)
        return True

    # --- state by decree: made so in an otherwise empty block --------------------------------------------------------

    def set_balance(self, address: bytes, amount: int) -> None:
        if not 0 <= amount < 2**256:
            raise BadRequestError("a balance does not fit 256 bits")
        self._mine((), lambda state: state.set_balance(Address(address), amount))

    def set_nonce(self, address: bytes, nonce: int) -> None:
        """Only forward: a nonce that came back would let old transactions happen again."""
        now = self.nonce(address)
        if not now <= nonce < 2**64 - 1:  # EIP-2681
            raise BadRequestError(f"cannot set the nonce to {nonce}: it is {now}, and it only grows")
        self._mine((), lambda state: state.set_nonce(Address(address), nonce))
        self._pool.drop_mined(self.nonce)

    def set_code(self, address: bytes, code: bytes) -> None:
        self._mine((), lambda state: state.set_code(Address(address), code))

    def set_storage(self, address: bytes, slot: int, word: int) -> None:
        self._mine((), lambda state: state.set_storage(Address(address), slot, word))

    # --- watching -----------------------------------------------------------------------------------------------------

    def watch(self, watcher: Watcher, *, wanted: bool) -> None:
        """Tell `watcher` of every change from now on, or no longer."""
        watching = watcher in self._watchers
        if wanted and not watching:
            self._watchers.append(watcher)
        elif watching and not wanted:
            self._watchers.remove(watcher)

    @property
    def watched(self) -> bool:
        return bool(self._watchers)

    # --- time --------------------------------------------------------------------------------------------------------

    def next_timestamp(self) -> int:
        """Unix seconds of the next block if it were mined now."""
        if self._next_time is not None:
            return self._next_time
        return max(self._head.timestamp, self._clock() + self._ahead)

    def increase_time(self, seconds: int) -> int:
        """Move the chain's clock forward. Returns how far it is ahead of the machine's clock now."""
        if seconds < 0 or self._clock() + self._ahead + seconds > MAX_TIME:
            raise BadRequestError(f"cannot move the clock by {seconds} seconds")
        self._set_ahead(self._ahead + seconds)
        return self._ahead

    def set_next_timestamp(self, timestamp: int) -> None:
        """The next block's time; the clock goes on from there."""
        if not self._head.timestamp <= timestamp <= MAX_TIME:
            raise BadRequestError(f"timestamp {timestamp} is before the latest block's {self._head.timestamp}")
        self._next_time = timestamp

    # --- snapshots ---------------------------------------------------------------------------------------------------

    def snapshot(self) -> int:
        with self._storage.transaction():
            return self._storage.add_snapshot(self._head.number, self._ahead)

    def revert(self, snapshot: int) -> bool:
        """Go back to a snapshot; it and later ones are used up. False for an unknown one. Empties the pool."""
        if snapshot > MAX_SNAPSHOT:
            return False
        with self._storage.transaction():
            found = self._storage.take_snapshot(snapshot)
            if found is None:
                return False
            number, ahead = found
            removed = self._logs_of_blocks(number + 1, self._head.number)
            self._storage.drop_after(number)
            self._storage.set_number("ahead", ahead)
            head = self._storage.head()
            if head is None:
                raise BadRequestError(f"snapshot {snapshot} lies before the first block")
        self._head, self._ahead, self._next_time = head, ahead, None
        self._remember_ancestors()
        self._pool.clear()
        if removed:
            self._tell(LogsRemoved(removed))
        return True

    # --- the parts ---------------------------------------------------------------------------------------------------

    def _genesis(self) -> Block:
        with self._storage.transaction():
            state = self._evm.state(BLANK_ROOT_HASH, 0, self._clock(), ())
            for address, amount in self.settings.allocation.items():
                state.set_balance(Address(address), amount)
            block = seal(None, state, (), self.settings.gas_limit)
            self._storage.append(block, ())
        return block

    def _mine(self, candidates: Iterable[Transaction], edit: Edit | None = None) -> None:
        timestamp = self.next_timestamp()
        with self._storage.transaction():
            state = self._evm.state(self._head.header.state_root, self._head.number + 1, timestamp, self._ancestors)
            executed = self._execute(state, candidates)
            if edit is not None:
                edit(state)
            block = seal(self._head, state, executed, self.settings.gas_limit)
            self._storage.append(block, executed)
            if self._next_time is not None:
                self._storage.set_number("ahead", timestamp - self._clock())
        if self._next_time is not None:
            self._ahead, self._next_time = timestamp - self._clock(), None
        self._head = block
        self._ancestors = [block.hash, *self._ancestors[: _ANCESTORS - 1]]
        if self.watched:
            self._tell(BlockAdded(block, self._logs_of_blocks(block.number, block.number)))

    def _execute(self, state: BerlinState, candidates: Iterable[Transaction]) -> list[tuple[Transaction, Outcome]]:
        """Run what fits. One that cannot stand in this block although it is its turn is dropped, as real nodes do."""
        executed: list[tuple[Transaction, Outcome]] = []
        room = self.settings.gas_limit
        for transaction in candidates:
            if transaction.gas > room or transaction.nonce != state.get_nonce(transaction.sender):
                continue
            try:
                outcome = self._evm.execute(state, transaction)
            except TransactionRejectedError:
                self._pool.remove(transaction)
                continue
            executed.append((transaction, outcome))
            room -= outcome.gas_used
        return executed

    def _view(self, at: Block | None) -> BerlinState:
        """State after block `at`, seen from inside it."""
        if at is None or at.number == self._head.number:
            block, ancestors = self._head, self._ancestors[1:]
        else:
            block, ancestors = at, self._storage.hashes_before(at.number, _ANCESTORS)
        return self._evm.state(block.header.state_root, block.number, block.timestamp, ancestors)

    def _next_state(self) -> BerlinState:
        return self._evm.state(
            self._head.header.state_root, self._head.number + 1, self.next_timestamp(), self._ancestors
        )

    def _logs_of_blocks(self, first: int, last: int) -> tuple[Log, ...]:
        """For those who watch; nothing is read where nobody does."""
        return tuple(self._storage.logs(LogFilter(first=first, last=last))) if self.watched else ()

    def _tell(self, change: Change) -> None:
        for watcher in tuple(self._watchers):
            watcher(change)

    def _set_ahead(self, seconds: int) -> None:
        with self._storage.transaction():
            self._storage.set_number("ahead", seconds)
        self._ahead = seconds

    def _remember_ancestors(self) -> None:
        self._ancestors = self._storage.hashes_before(self._head.number + 1, _ANCESTORS)


def _succeeded(outcome: Outcome) -> Outcome:
    if not outcome.success:
        raise CallFailedError(outcome.error, outcome.output, reverted=outcome.reverted)
    return outcome
