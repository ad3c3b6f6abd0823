"""`eth_newFilter` and its kin: what happened since a client last asked, kept for it until it asks again.

Clients forget their filters, so both what is kept and for how long is bounded: a filter that nobody asks, or that
collects too much, is dropped, and its client is told that there is no such filter, upon which it makes a new one.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from node.devnet import evm_json as j
from node.devnet.chain import Chain
from node.devnet.changes import Change
from node.devnet.errors import BadRequestError
from node.devnet.evm_feeds import Feed, block_hashes, logs_feed, transaction_hashes
from node.devnet.evm_json import LogChoice
from node.devnet.evm_method import Method
from node.devnet.evm_methods import find_logs

MAX_FILTERS = 256
MAX_ITEMS = 10_000
"""Kept for one filter between two questions."""
LIFETIME = 300.0
"""Seconds that a filter lives without being asked; go-ethereum's default."""


@dataclass(slots=True)
class _Filter:
    feed: Feed
    choice: LogChoice | None
    """What a filter for logs is about; None for other filters."""
    asked: float
    items: list[object] = field(default_factory=list)


class Filters:
    """The filters of one chain. Lives on the chain's thread; `clock` in seconds, monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._filters: dict[str, _Filter] = {}

    def methods(self) -> Mapping[str, Method]:
        return {
            "eth_newFilter": Method(self._add_logs, (j.log_filter_in,)),
            "eth_newBlockFilter": Method(lambda chain: self._add(chain, block_hashes)),
            "eth_newPendingTransactionFilter": Method(lambda chain: self._add(chain, transaction_hashes)),
            "eth_getFilterChanges": Method(self._changes, (j.text_in,)),
            "eth_getFilterLogs": Method(self._logs, (j.text_in,)),
            "eth_uninstallFilter": Method(self._remove, (j.text_in,)),
        }

    def _add_logs(self, chain: Chain, choice: LogChoice) -> str:
        return self._add(chain, logs_feed(choice), choice)

    def _add(self, chain: Chain, feed: Feed, choice: LogChoice | None = None) -> str:
        self._expire()
        if len(self._filters) >= MAX_FILTERS:
            raise BadRequestError(f"there are {MAX_FILTERS} filters: uninstall one")
        identity = f"0x{secrets.token_hex(16)}"
        self._filters[identity] = _Filter(feed, choice, self._clock())
        chain.watch(self._hear, wanted=bool(self._filters))
        return identity

    def _changes(self, chain: Chain, identity: str) -> list[object]:
        found = self._find(chain, identity)
        items, found.items = found.items, []
        return items

    def _logs(self, chain: Chain, identity: str) -> list[object]:
        found = self._find(chain, identity)
        if found.choice is None:
            raise BadRequestError("filter not found: it is not one for logs")
        return find_logs(chain, found.choice)

    def _remove(self, chain: Chain, identity: str) -> bool:
        self._expire()
        found = self._filters.pop(identity, None)
        chain.watch(self._hear, wanted=bool(self._filters))
        return found is not None

    def _find(self, chain: Chain, identity: str) -> _Filter:
        self._expire()
        chain.watch(self._hear, wanted=bool(self._filters))
        found = self._filters.get(identity)
        if found is None:
            raise BadRequestError("filter not found")
        found.asked = self._clock()
        return found

    def _expire(self) -> None:
        oldest = self._clock() - LIFETIME
        self._filters = {key: found for key, found in self._filters.items() if found.asked > oldest}

    def _hear(self, change: Change) -> None:
        self._expire()
        for identity, found in tuple(self._filters.items()):
            found.items += found.feed(change)
            if len(found.items) > MAX_ITEMS:
                del self._filters[identity]
