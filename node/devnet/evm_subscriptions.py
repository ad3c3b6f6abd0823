"""`eth_subscribe` and `eth_unsubscribe`: what one client hears of the chain without asking.

Everything here runs on the chain's thread. So does `send`, which gives answers and notifications their one order: a
client learns of a subscription before it hears from it, and a request's answer comes before what the request caused.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping

from node.devnet import evm_json as j
from node.devnet.chain import Chain
from node.devnet.changes import Change
from node.devnet.errors import BadRequestError
from node.devnet.evm_envelope import answer
from node.devnet.evm_feeds import Feed, heads, logs_feed, transaction_hashes, whole_transactions
from node.devnet.evm_json import BadParameterError
from node.devnet.evm_method import Method

MAX_SUBSCRIPTIONS = 64
"""Of one client."""
MAX_HELD = 10_000
"""Notifications that wait for the answer to the request that caused them; further ones go ahead of it."""

Send = Callable[[object], None]


def _feed(kind: str, details: object) -> Feed:
    """Raises `BadParameterError`."""
    if kind == "logs":
        return logs_feed(j.log_filter_in({} if details is None else details))
    if kind == "newPendingTransactions":
        whole = details is not None and j.flag_in(details)
        return whole_transactions if whole else transaction_hashes
    if kind == "newHeads":
        return heads
    raise BadParameterError(f"no subscription {kind!r}: there are newHeads, logs and newPendingTransactions")


class Subscriptions:
    """One client's. `methods` is the door's table; `send` takes what goes out, JSON-ready."""

    def __init__(self, methods: Mapping[str, Method], send: Send) -> None:
        self._methods = {
            **methods,
            "eth_subscribe": Method(self._subscribe, (j.text_in,), ((j.anything_in, None),)),
            "eth_unsubscribe": Method(self._unsubscribe, (j.text_in,)),
        }
        self._send = send
        self._feeds: dict[str, Feed] = {}
        self._held: list[object] | None = None

    def answer(self, chain: Chain, body: bytes | str) -> None:
        """Answer a request or a batch, then tell what it caused."""
        self._held = []
        try:
            found = answer(chain, self._methods, body)
        finally:
            held, self._held = self._held, None
        if found is not None:
            self._send(found)
        for notification in held:
            self._send(notification)

    def close(self, chain: Chain) -> None:
        self._feeds.clear()
        chain.watch(self._hear, wanted=bool(self._feeds))

    def _subscribe(self, chain: Chain, kind: str, details: object) -> str:
        if len(self._feeds) >= MAX_SUBSCRIPTIONS:
            raise BadRequestError(f"there are {MAX_SUBSCRIPTIONS} subscriptions: unsubscribe from one")
        identity = f"0x{secrets.token_hex(16)}"
        self._feeds[identity] = _feed(kind, details)
        chain.watch(self._hear, wanted=bool(self._feeds))
        return identity

    def _unsubscribe(self, chain: Chain, identity: str) -> bool:
        found = self._feeds.pop(identity, None)
        chain.watch(self._hear, wanted=bool(self._feeds))
        return found is not None

    def _hear(self, change: Change) -> None:
        for identity, feed in self._feeds.items():
            for item in feed(change):
                told = {"subscription": identity, "result": item}
                notification = {"jsonrpc": "2.0", "method": "eth_subscription", "params": told}
                if self._held is not None and len(self._held) < MAX_HELD:
                    self._held.append(notification)
                else:
                    self._send(notification)
