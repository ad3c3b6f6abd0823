"""What a filter or a subscription wants to hear of a chain's changes, in Ethereum's JSON.

A feed is a function from a change to the items it brings, in order. Filters collect them until they are asked;
subscriptions send them at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from node.devnet import evm_json as j
from node.devnet.changes import BlockAdded, Change, LogsRemoved, TransactionAccepted
from node.devnet.evm_json import BadParameterError, LogChoice
from node.devnet.evm_methods import MAX_BLOCK_NUMBER
from node.devnet.records import LogFilter

Feed = Callable[[Change], Sequence[object]]


def block_hashes(change: Change) -> Sequence[object]:
    return [j.data(change.block.hash)] if isinstance(change, BlockAdded) else ()


def heads(change: Change) -> Sequence[object]:
    """Block headers."""
    return [j.header_json(change.block)] if isinstance(change, BlockAdded) else ()


def transaction_hashes(change: Change) -> Sequence[object]:
    return [j.data(change.transaction.hash)] if isinstance(change, TransactionAccepted) else ()


def whole_transactions(change: Change) -> Sequence[object]:
    return [j.transaction_json(change.transaction, None)] if isinstance(change, TransactionAccepted) else ()


def logs_feed(choice: LogChoice) -> Feed:
    """Logs as they are added, and once more, as removed, when their block is taken back.

    Only numbers bound the blocks; a tag names the moment of asking, and a feed is about what comes after it. Raises
    `BadParameterError` for a choice by block hash, which brings nothing new.
    """
    if choice.block_hash is not None:
        raise BadParameterError("a filter for new logs cannot be about one block's hash: use eth_getLogs")
    first, last = choice.first.number, choice.last.number
    wanted = LogFilter(
        first=first or 0,
        last=MAX_BLOCK_NUMBER if last is None else last,
        addresses=frozenset(choice.addresses),
        topics=choice.topics,
    )

    def feed(change: Change) -> Sequence[object]:
        if not isinstance(change, BlockAdded | LogsRemoved):
            return ()
        return [
            j.log_json(log, removed=isinstance(change, LogsRemoved))
            for log in change.logs
            if wanted.first <= log.block_number <= wanted.last and wanted.matches(log.event)
        ]

    return feed
