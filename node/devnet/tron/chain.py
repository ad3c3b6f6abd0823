"""One local chain with TRON's rules: accounts, transactions, blocks, logs and time, with no wire format in it.

Theory
------
As `node.devnet.chain`, whose Ethereum twin this is: by default each accepted transaction is mined at once in a block
of its own; with `automine` off they wait for `mine`. Whatever changes state does so in a block, so a block number
names one state, a snapshot is a block number, and going back is forgetting the blocks after it. Time is milliseconds
and strictly increases from block to block.

A block's id is its number and part of a hash over its header. The genesis block's ends with the chain id: that is
where TRON's chain id comes from.

One thread owns a `TronChain` (`node.devnet.thread`). Each mined block is one storage transaction: it is there entirely
or not at all, also after `kill -9`. Waiting transactions are in memory only, as in any node's pool.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from eth.constants import BLANK_ROOT_HASH
from eth.db.atomic import AtomicDB
from eth_typing import Address

from node.devnet.errors import BadRequestError
from node.devnet.tron import admission
from node.devnet.tron.execution import Execution, Run
from node.devnet.tron.parameters import chain_parameters
from node.devnet.tron.records import (
    Account,
    Asset,
    Block,
    Code,
    Contract,
    Log,
    Mined,
    Outcome,
    Receipt,
    RejectedError,
    Resource,
    Resources,
    Transaction,
)
from node.devnet.tron.resources import ResourceBook
from node.devnet.tron.settings import TronSettings
from node.devnet.tron.state import MAX_AMOUNT, TronState
from node.devnet.tron.storage import Executed, TronStorage

MAX_BLOCKS_AT_ONCE = 10_000
MAX_WAITING = 4_096
MAX_TIME = 2**42
"""Bound of block times in milliseconds: the year 2109."""
_ANCESTORS = 256
_HEADER_BYTES = 8 + 8 + 3 * 32

Edit = Callable[[TronState], None]


def _wall() -> int:
    return time.time_ns() // 10**6


class TronChain:
    """The chain in the file `path`, or a fresh one in memory where `path` is None. Raises `StorageError`."""

    def __init__(self, settings: TronSettings, path: Path | None = None, clock: Callable[[], int] = _wall) -> None:
        if not 0 <= settings.chain_id < 2**32:
            raise BadRequestError(f"chain id {settings.chain_id:#x} does not fit four bytes")
        self.settings = settings
        self.automine = True
        self._clock = clock
        self._storage = TronStorage(path, settings.chain_id)
        self._nodes = AtomicDB(self._storage.nodes)
        self._waiting: dict[bytes, Transaction] = {}
        self._ahead = self._storage.number("ahead", 0)
        self._solid: Block | None = None
        try:
            self._head = self._storage.head() or self._begin()
            self._genesis = self._storage.ids_before(1, 1)[0]
            self._ancestors = self._storage.ids_before(self._head.number + 1, _ANCESTORS)
        except BaseException:
            self._storage.close()
            raise

    def close(self) -> None:
        self._storage.close()

    # --- blocks, transactions, logs ----------------------------------------------------------------------------------

    @property
    def head(self) -> Block:
        return self._head

    @property
    def solid(self) -> Block:
        """The latest block that counts as final: `confirmations` behind the head."""
        number = max(0, self._head.number - self.settings.confirmations)
        if self._solid is None or self._solid.number != number:
            self._solid = self.block(number)
        return self._solid or self._head

    def block(self, number: int) -> Block | None:
        return self._head if number == self._head.number else self._storage.block(number)

    def block_by_id(self, block_id: bytes) -> Block | None:
        return self._storage.block_by_id(block_id)

    def mined(self, transaction_id: bytes) -> Mined | None:
        return self._storage.mined(transaction_id)

    def mined_in(self, block: Block) -> list[Mined]:
        return [mined for mined in map(self.mined, block.transactions) if mined is not None]

    def waiting(self, transaction_id: bytes) -> Transaction | None:
        return self._waiting.get(transaction_id)

    def logs_of(self, transaction_id: bytes) -> Sequence[Log]:
        return self._storage.logs_of(transaction_id)

    def logs(
        self, contract: bytes | None = None, first_ms: int = 0, last_ms: int = MAX_TIME, *, newest: bool = False
    ) -> Iterator[Log]:
        """Logs of one contract, or of all, in blocks whose times lie in `first_ms`..`last_ms`; in chain order, or
        against it with `newest`. Read as they are asked for: take what is needed before the chain changes."""
        first, last = (min(max(edge, 0), MAX_TIME) for edge in (first_ms, last_ms))
        return self._storage.logs(contract, first, last, newest)

    # --- state -------------------------------------------------------------------------------------------------------

    def account(self, address: bytes, at: Block | None = None) -> Account | None:
        """None for one that is not activated. Here and below: as block `at` left it, or the latest."""
        state = self._state_after(at)
        if not state.exists(address):
            return None
        book = ResourceBook(state, self.settings)
        held = {number: state.asset_balance(address, number) for number in state.asset_numbers()}
        staked = {resource: book.staked(address, resource) for resource in Resource}
        return Account(
            address=address,
            balance=state.balance(address),
            created=state.created_at(address),
            is_contract=state.is_contract(address),
            assets={number: amount for number, amount in held.items() if amount},
            frozen={resource: amount for resource, amount in staked.items() if amount},
        )

    def resources(self, address: bytes, at: Block | None = None) -> Resources:
        return ResourceBook(self._state_after(at), self.settings).overview(address)

    def contract(self, address: bytes) -> Contract | None:
        state = self._next_state()
        record = state.contract(address)
        if record is None:
            return None
        source = state.source(address)
        return Contract(
            address=address,
            origin=record.origin,
            name=record.name,
            abi=source.abi,
            bytecode=source.bytecode,
            runtime=state.get_code(Address(address)),
            user_percent=record.user_percent,
            origin_energy_limit=record.origin_energy_limit,
        )

    def asset(self, number: int) -> Asset | None:
        return self._next_state().asset(number) if 0 < number <= MAX_AMOUNT else None

    def assets(self) -> Sequence[Asset]:
        state = self._next_state()
        return [asset for number in state.asset_numbers() if (asset := state.asset(number)) is not None]

    def constant(self, operation: Run, energy: int | None = None, at: Block | None = None) -> Outcome:
        """Run as if in the block after `at` and forget the effects; `energy` None: as much as calls may have.

        Raises `RejectedError` when it cannot begin.
        """
        most = self.settings.call_energy
        limit = most if energy is None else max(0, min(energy, most))
        return Execution(self._state_after(at), self.settings).try_out(operation, limit)

    def parameters(self) -> Mapping[str, int]:
        """Under java-tron's names (`getchainparameters`)."""
        return chain_parameters(self.settings)

    # --- change ------------------------------------------------------------------------------------------------------

    def submit(self, transaction: Transaction) -> None:
        """Take a signed transaction and, with `automine`, put it into a block.

        Raises `RejectedError`; nothing has changed then. One whose contract run fails is not an error here: its
        receipt says so.
        """
        admission.check_size(transaction)
        if transaction.id in self._waiting or self._storage.has_transaction(transaction.id):
            raise RejectedError(Code.DUP_TRANSACTION_ERROR, "Dup transaction.")
        admission.check_expiration(transaction, self.now())
        admission.check_signature(transaction)
        admission.check_reference(transaction, self._head.number, self.block)
        state = self._next_state()
        receipt = Execution(state, self.settings).run(transaction)
        if self.automine:
            self._append(state, [(transaction, receipt)])
            return
        if len(self._waiting) >= MAX_WAITING:
            raise RejectedError(Code.SERVER_BUSY, "The node's pool is full: mine a block.")
        self._waiting[transaction.id] = transaction

    def check(self, transaction: Transaction) -> None:
        """Whether its operation could stand in the next block, whoever signed it. Raises `RejectedError`."""
        Execution(self._next_state(), self.settings).run(transaction)

    def mine(self, blocks: int = 1) -> Block:
        """Add blocks; all waiting transactions go into the first, but those that cannot stand in it any more."""
        if not 1 <= blocks <= MAX_BLOCKS_AT_ONCE:
            raise BadRequestError(f"cannot mine {blocks} blocks at once: 1 to {MAX_BLOCKS_AT_ONCE}")
        for _ in range(blocks):
            state = self._next_state()
            self._append(state, self._execute(state, self._waiting.values()))
            self._waiting.clear()
        return self._head

    def set_balance(self, address: bytes, sun: int) -> None:
        """Make it so, in an otherwise empty block. Opens the account."""
        if not 0 <= sun <= MAX_AMOUNT:
            raise BadRequestError("a balance does not fit 63 bits")
        self._edit(lambda state: state.set_balance(Address(address), sun), address)

    def give_asset(self, address: bytes, number: int, amount: int) -> None:
        """Out of nothing, in an otherwise empty block. Opens the account."""
        asset = self.asset(number)
        if asset is None:
            raise BadRequestError(f"there is no TRC-10 {number}")
        if not 0 <= amount <= MAX_AMOUNT - self._next_state().asset_balance(address, number):
            raise BadRequestError("an amount does not fit 63 bits")
        self._edit(lambda state: state.give_asset(address, number, amount), address)

    # --- time and snapshots ------------------------------------------------------------------------------------------

    def now(self) -> int:
        """Milliseconds: the time of the next block if it were mined now."""
        return max(self._head.timestamp + 1, self._clock() + self._ahead)

    def increase_time(self, seconds: int) -> None:
        """Move the chain's clock forward."""
        if seconds < 0 or self.now() + seconds * 1000 > MAX_TIME:
            raise BadRequestError(f"cannot move the clock by {seconds} seconds")
        with self._storage.transaction():
            self._storage.set_number("ahead", self._ahead + seconds * 1000)
        self._ahead += seconds * 1000

    def snapshot(self) -> int:
        with self._storage.transaction():
            return self._storage.add_snapshot(self._head.number, self._ahead)

    def revert(self, snapshot: int) -> bool:
        """Go back to a snapshot; it and later ones are used up. False for an unknown one. Forgets what waits."""
        with self._storage.transaction():
            found = self._storage.take_snapshot(snapshot)
            if found is None:
                return False
            number, ahead = found
            self._storage.drop_after(number)
            self._storage.set_number("ahead", ahead)
            head = self._storage.head()
            if head is None:
                raise BadRequestError(f"snapshot {snapshot} lies before the first block")
        self._head, self._ahead, self._solid = head, ahead, None
        self._ancestors = self._storage.ids_before(head.number + 1, _ANCESTORS)
        self._waiting.clear()
        return True

    # --- the parts ---------------------------------------------------------------------------------------------------

    def _begin(self) -> Block:
        """The genesis block."""
        state = self._state(BLANK_ROOT_HASH, 0, max(1, self._clock()), ())
        for address, sun in self.settings.allocation.items():
            state.open_account(address)
            state.set_balance(Address(address), sun)
        for asset in self.settings.assets:
            state.add_asset(asset)
        with self._storage.transaction():
            state.persist()
            block = _block(None, state, ())
            block = replace(block, id=block.id[:-4] + self.settings.chain_id.to_bytes(4, "big"))
            self._storage.append(block, ())
        return block

    def _execute(self, state: TronState, candidates: Iterable[Transaction]) -> Executed:
        """What cannot stand in this block any more is dropped, as real nodes do."""
        executed: list[tuple[Transaction, Receipt]] = []
        execution = Execution(state, self.settings)
        for transaction in candidates:
            if transaction.expiration > state.now:
                with suppress(RejectedError):
                    executed.append((transaction, execution.run(transaction)))
        return executed

    def _edit(self, edit: Edit, address: bytes) -> None:
        state = self._next_state()
        state.open_account(address)
        edit(state)
        self._append(state, ())

    def _append(self, state: TronState, executed: Executed) -> None:
        with self._storage.transaction():
            state.persist()
            block = _block(self._head, state, executed)
            self._storage.append(block, executed)
        self._head = block
        self._ancestors = [block.id, *self._ancestors[: _ANCESTORS - 1]]

    def _next_state(self) -> TronState:
        return self._state(self._head.state_root, self._head.number + 1, self.now(), self._ancestors)

    def _state_after(self, at: Block | None) -> TronState:
        if at is None or at.number == self._head.number:
            return self._next_state()
        ancestors = self._storage.ids_before(at.number + 1, _ANCESTORS)
        return self._state(at.state_root, at.number + 1, self.now(), ancestors)

    def _state(self, root: bytes, number: int, now: int, ancestors: Sequence[bytes]) -> TronState:
        full = self.settings.full_chain_id and number > 0
        return TronState(
            self._nodes,
            root,
            number=number,
            now=now,
            ancestors=ancestors,
            chain_id=int.from_bytes(self._genesis, "big") if full else self.settings.chain_id,
            energy_price=self.settings.energy_price,
        )


def _block(parent: Block | None, state: TronState, executed: Executed) -> Block:
    """The block that leads to `state`, which has been persisted. `parent` None: the genesis block."""
    parent_id = parent.id if parent else bytes(32)
    number = parent.number + 1 if parent else 0
    ids = tuple(transaction.id for transaction, _ in executed)
    tx_root = _merkle_root([hashlib.sha256(transaction.encoded).digest() for transaction, _ in executed])
    header = number.to_bytes(8, "big") + state.now.to_bytes(8, "big") + parent_id + tx_root + state.state_root
    block_id = number.to_bytes(8, "big") + hashlib.sha256(header).digest()[8:]
    size = _HEADER_BYTES + sum(transaction.size for transaction, _ in executed)
    return Block(number, block_id, parent_id, state.now, ids, state.state_root, tx_root, size)


def _merkle_root(leaves: list[bytes]) -> bytes:
    """java-tron's `MerkleTree`: sha256 of pairs, an odd one moves up as it is; zeros for an empty block."""
    if not leaves:
        return bytes(32)
    while len(leaves) > 1:
        pairs = [leaves[place : place + 2] for place in range(0, len(leaves), 2)]
        leaves = [hashlib.sha256(b"".join(pair)).digest() if len(pair) == 2 else pair[0] for pair in pairs]
    return leaves[0]
