"""Transactions that wait for a block, with go-ethereum's rules for replacing them.

A sender's waiting nonces have no gaps: one that would leave a gap is refused rather than parked, so that a lost
transaction shows at once. Only a transaction dropped by hand leaves one; those behind it wait until it is closed. A
waiting transaction is replaced by one with the same nonce that pays at least a tenth more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from node.devnet.errors import TransactionRejectedError
from node.devnet.records import Transaction

MAX_WAITING = 4096
PRICE_BUMP_PERCENT = 10


class Pool:
    """Waiting transactions in the order they came; a replacement keeps its predecessor's place."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[bytes, int], Transaction] = {}

    def __iter__(self) -> Iterator[Transaction]:
        return iter(tuple(self._waiting.values()))

    def find(self, transaction_hash: bytes) -> Transaction | None:
        return next((tx for tx in self._waiting.values() if tx.hash == transaction_hash), None)

    def next_nonce(self, sender: bytes, mined: int) -> int:
        """The first nonce that is neither mined nor waiting."""
        while (sender, mined) in self._waiting:
            mined += 1
        return mined

    def add(self, transaction: Transaction, mined: int) -> None:
        """`mined` is the sender's nonce in the state. Raises `TransactionRejectedError`."""
        key = (bytes(transaction.sender), transaction.nonce)
        if transaction.nonce < mined:
            raise TransactionRejectedError(f"nonce too low: next nonce {mined}, tx nonce {transaction.nonce}")
        earlier = self._waiting.get(key)
        following = self.next_nonce(key[0], mined)
        if earlier is None:
            if transaction.nonce > following:
                raise TransactionRejectedError(f"nonce too high: next nonce {following}, tx nonce {transaction.nonce}")
            if len(self._waiting) >= MAX_WAITING:
                raise TransactionRejectedError("txpool is full")
        elif earlier.hash == transaction.hash:
            raise TransactionRejectedError("already known")
        elif transaction.gas_price * 100 < earlier.gas_price * (100 + PRICE_BUMP_PERCENT):
            raise TransactionRejectedError("replacement transaction underpriced")
        self._waiting[key] = transaction

    def remove(self, transaction: Transaction) -> None:
        self._waiting.pop((bytes(transaction.sender), transaction.nonce), None)

    def drop_mined(self, nonce: Callable[[bytes], int]) -> None:
        """Forget what is below its sender's nonce."""
        for sender, number in tuple(self._waiting):
            if number < nonce(sender):
                del self._waiting[sender, number]

    def clear(self) -> None:
        self._waiting.clear()
