"""Ethereum's rules at the Berlin fork, on py-evm's message and state layer.

Berlin because BTTC takes legacy transactions with `gasPrice` and cannot be trusted with later opcodes. py-evm's own
chain classes are not used: they bring consensus, mining rewards and block import that a local chain has no use for.
What remains of a block is an execution context, and of the chain a state root.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import rlp  # type: ignore[import-untyped]  # rlp ships no types
from eth.abc import AtomicDatabaseAPI, ComputationAPI
from eth.constants import CREATE_CONTRACT_ADDRESS, ZERO_ADDRESS
from eth.db.trie import make_trie_root_and_nodes
from eth.exceptions import InsufficientFunds, OutOfGas, Revert
from eth.rlp.headers import BlockHeader
from eth.rlp.logs import Log as RlpLog
from eth.rlp.receipts import Receipt
from eth.vm.execution_context import ExecutionContext
from eth.vm.forks.berlin.state import BerlinState
from eth.vm.forks.berlin.transactions import BerlinUnsignedLegacyTransaction
from eth.vm.spoof import SpoofTransaction
from eth_keys.exceptions import BadSignature
from eth_typing import Address, BlockNumber, Hash32
from eth_utils.exceptions import ValidationError
from rlp.exceptions import RLPException  # type: ignore[import-untyped]  # rlp ships no types

from node.devnet.errors import TransactionRejectedError
from node.devnet.records import Block, Call, Event, Outcome, Transaction

MAX_RAW_TRANSACTION = 128 * 1024
"""Bytes; go-ethereum's bound for one transaction."""

# Importing py-evm lets the whole process recurse 100,000 frames deep (py_ecc asks for it). Long before that, C code
# such as json's overflows the stack on hostile input and kills the process. The EVM's 1024 nested calls need 4,000.
sys.setrecursionlimit(min(sys.getrecursionlimit(), 10_000))

_REPLAY_PROTECTED = 35
_REFUND_QUOTIENT = 2
_SUCCESS, _FAILURE = b"\x01", b""


def decode_transaction(raw: bytes, chain_id: int) -> Transaction:
    """Parse and check everything that needs no state. Raises `TransactionRejectedError`."""
    if len(raw) > MAX_RAW_TRANSACTION:
        raise TransactionRejectedError(f"oversized data: transaction size {len(raw)}, limit {MAX_RAW_TRANSACTION}")
    if raw[:1] and raw[0] <= 0x7F:
        raise TransactionRejectedError("transaction type not supported: send a legacy transaction with gasPrice")
    try:
        transaction: Transaction = rlp.decode(raw, Transaction)
    except (RLPException, ValidationError) as error:
        raise TransactionRejectedError(f"not an RLP-encoded transaction: {type(error).__name__}") from None
    if transaction.v < _REPLAY_PROTECTED:
        raise TransactionRejectedError("only replay-protected (EIP-155) transactions allowed over RPC")
    if transaction.chain_id != chain_id:
        raise TransactionRejectedError(f"invalid chain id for signer: have {transaction.chain_id} want {chain_id}")
    if transaction.gas < transaction.intrinsic_gas:
        raise TransactionRejectedError(
            f"intrinsic gas too low: gas {transaction.gas}, minimum needed {transaction.intrinsic_gas}"
        )
    try:
        transaction.validate()
        _ = transaction.sender  # recovered once and kept
    except (ValidationError, BadSignature):
        raise TransactionRejectedError("invalid sender: the signature is not valid") from None
    return transaction


@dataclass(frozen=True, slots=True)
class Evm:
    """The rules, bound to one chain id, one block gas limit and one node database."""

    nodes: AtomicDatabaseAPI
    chain_id: int
    gas_limit: int

    def state(self, root: bytes, number: int, timestamp: int, ancestors: Sequence[bytes]) -> BerlinState:
        """State `root` seen from inside block `number`. `ancestors` are the hashes before it, nearest first."""
        context = ExecutionContext(
            coinbase=ZERO_ADDRESS,
            timestamp=timestamp,
            block_number=BlockNumber(number),
            difficulty=0,
            mix_hash=Hash32(bytes(32)),
            gas_limit=self.gas_limit,
            prev_hashes=[Hash32(ancestor) for ancestor in ancestors],
            chain_id=self.chain_id,
        )
        return BerlinState(self.nodes, context, Hash32(root))

    def execute(self, state: BerlinState, transaction: Transaction) -> Outcome:
        """Run a transaction on `state`. Raises `TransactionRejectedError` when it cannot stand in this block."""
        state.lock_changes()
        try:
            computation = state.apply_transaction(transaction)
        except ValidationError as error:
            raise TransactionRejectedError(str(error)) from None
        return _outcome(computation, transaction.gas)

    def simulate(self, state: BerlinState, call: Call) -> Outcome:
        """Run a message for free. Raises `TransactionRejectedError` when it could not even begin."""
        sender = Address(call.sender)
        gas = self.gas_limit if call.gas is None else min(call.gas, self.gas_limit)
        unsigned = BerlinUnsignedLegacyTransaction(
            nonce=state.get_nonce(sender),
            gas_price=0,
            gas=gas,
            to=CREATE_CONTRACT_ADDRESS if call.to is None else Address(call.to),
            value=call.value,
            data=call.data,
        )
        if gas < unsigned.intrinsic_gas:
            raise TransactionRejectedError(f"intrinsic gas too low: gas {gas}, minimum needed {unsigned.intrinsic_gas}")
        if state.get_balance(sender) < call.value:
            raise TransactionRejectedError("insufficient funds for transfer")
        spoofed = SpoofTransaction(unsigned, from_=sender)
        return _outcome(state.apply_transaction(spoofed), gas)  # type: ignore[arg-type]  # py-evm's own stand-in


def seal(
    parent: Block | None, state: BerlinState, executed: Sequence[tuple[Transaction, Outcome]], gas_limit: int
) -> Block:
    """Write `state` to the node database and make the block that leads to it. `parent` None: the genesis block."""
    state.persist()
    receipts, total = [], 0
    for _, outcome in executed:
        total += outcome.gas_used
        logs = [RlpLog(e.address, tuple(int.from_bytes(t, "big") for t in e.topics), e.data) for e in outcome.events]
        receipts.append(Receipt(_SUCCESS if outcome.success else _FAILURE, total, logs))
    transactions = [transaction for transaction, _ in executed]
    bloom = 0
    for receipt in receipts:
        bloom |= receipt.bloom
    header = BlockHeader(
        difficulty=0,
        block_number=BlockNumber(state.block_number),
        gas_limit=gas_limit,
        timestamp=state.timestamp,
        parent_hash=Hash32(parent.hash if parent else bytes(32)),
        state_root=state.state_root,
        transaction_root=make_trie_root_and_nodes(transactions)[0],
        receipt_root=make_trie_root_and_nodes(receipts)[0],
        bloom=bloom,
        gas_used=total,
    )
    size = len(rlp.encode(header)) + sum(len(transaction.encode()) for transaction in transactions)
    return Block(header, header.hash, tuple(transaction.hash for transaction in transactions), size)


def least_gas(succeeds: Callable[[int], bool], consumed: int, limit: int) -> int:
    """The least gas (within 1.5 %) with which `succeeds`, given that it consumed `consumed` and succeeds at `limit`.

    Usually what was consumed is enough. A message that calls others needs more, because EIP-150 holds back a 64th.
    """
    low, high = consumed - 1, limit
    for guess in (consumed, (consumed + 2300) * 64 // 63):
        if guess < high and succeeds(guess):
            high = guess
            break
        low = max(low, min(guess, high - 1))
    while (high - low) * 200 > high * 3:
        middle = (low + high) // 2
        if succeeds(middle):
            high = middle
        else:
            low = middle
    return high


def _outcome(computation: ComputationAPI, gas: int) -> Outcome:
    consumed = gas - computation.get_gas_remaining()
    refund = min(computation.get_gas_refund(), consumed // _REFUND_QUOTIENT)
    message = computation.msg
    reverted = computation.is_error and isinstance(computation.error, Revert)
    return Outcome(
        success=computation.is_success,
        gas_used=consumed - refund,
        gas_consumed=consumed,
        output=computation.output,
        error=_describe(computation),
        reverted=reverted,
        created=message.storage_address if message.is_create and computation.is_success else None,
        events=tuple(
            Event(address, tuple(topic.to_bytes(32, "big") for topic in topics), data)
            for address, topics, data in computation.get_log_entries()
        ),
    )


def _describe(computation: ComputationAPI) -> str:
    if computation.is_success:
        return ""
    for kind, text in _FAILURES:
        if isinstance(computation.error, kind):
            return text
    return str(computation.error) or type(computation.error).__name__


_FAILURES: tuple[tuple[type[Exception], str], ...] = (
    (Revert, "execution reverted"),
    (OutOfGas, "out of gas"),
    (InsufficientFunds, "insufficient funds for transfer"),
)
