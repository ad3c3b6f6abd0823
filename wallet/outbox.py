"""Transactions that survive a crash: each intent takes effect once, or is reported failed.

    PLANNED ──nonce, fee, bytes──▶ SIGNED ──broadcast──▶ SENT ──receipt──▶ MINED ──depth──▶ FINAL
                                     ▲                     │                 │
                                     └── same bytes again ─┘◀───── reorg ────┘          any ──▶ FAILED

An intent has an idempotency key: asking for the same thing twice gives the same intent. Nonce and signed bytes are
durable before the network sees them; after a crash the same bytes are sent again, never new ones, because two different
transactions for one intent could both take effect. An intent that cannot be prepared (the contract refuses, no funds)
fails without having used a nonce. One outbox stands for one sender on one chain, and prepares one intent at a time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol

from wallet.address import Address
from wallet.chains.base import (
    Call,
    ChainAdapter,
    ChainError,
    Fee,
    NonceError,
    Receipt,
    SignedTx,
    UnsignedTx,
)
from wallet.keys import PrivateKey

log = logging.getLogger(__name__)


class IntentState(StrEnum):
    """See the picture at the head of this module."""

    PLANNED = "planned"
    SIGNED = "signed"
    SENT = "sent"
    MINED = "mined"
    FINAL = "final"
    FAILED = "failed"


CLOSED = frozenset({IntentState.FINAL, IntentState.FAILED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """One thing to be done on chain. Times in Unix seconds; fees in native units."""

    key: str
    rail: str
    sender: Address
    call: Call
    state: IntentState = IntentState.PLANNED
    created_at: int = 0
    nonce: int | None = None
    fee: Fee | None = None
    raw: bytes | None = field(default=None, repr=False)
    hash: bytes | None = None
    block: int | None = None
    fee_paid: int | None = None
    reason: str = ""
    """Why it failed, in one line."""


class OutboxStore(Protocol):
    """What must be durable. Each call returns only when it is."""

    async def save_intent(self, intent: Intent) -> None:
        """Insert, or replace the intent with this key."""

    async def intent(self, key: str) -> Intent | None: ...

    async def open_intents(self) -> Sequence[Intent]:
        """All that are neither final nor failed, oldest first."""


class IntentFailedError(ChainError):
    """The intent will not take effect; the text says why."""


class Outbox:
    """For one sender (`key`) on one chain. `wall` gives Unix seconds, `sleep` waits (tests pass their own)."""

    def __init__(
        self,
        store: OutboxStore,
        chain: ChainAdapter,
        key: PrivateKey,
        *,
        wall: Callable[[], int],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        poll: float = 0.5,
    ) -> None:
        self._store = store
        self._chain = chain
        self._key = key
        self._wall = wall
        self._sleep = sleep
        self._poll = poll
        self._preparing = asyncio.Lock()

    async def submit(self, key: str, call: Call) -> Intent:
        """Make an intent durable; the same key again returns what became of it so far."""
        known = await self._store.intent(key)
        if known is not None:
            return known
        intent = Intent(key=key, rail=self._chain.rail.id, sender=self._key.address, call=call, created_at=self._wall())
        await self._store.save_intent(intent)
        return intent

    async def open_intents(self) -> Sequence[Intent]:
        """This outbox's unfinished intents, oldest first: call `advance` on each after a start."""
        return [
            intent
            for intent in await self._store.open_intents()
            if intent.rail == self._chain.rail.id and intent.sender == self._key.address
        ]

    async def finish(self, intent: Intent, *, deadline: float) -> tuple[Intent, Receipt]:
        """Advance until final. Raises `IntentFailedError`, or `ChainError` when `deadline` seconds pass before.

        After the latter nothing is lost: the intent stays open and goes on when it is advanced again.
        """
        async with asyncio.timeout(deadline):
            while True:
                intent, receipt = await self.advance(intent)
                if intent.state is IntentState.FAILED:
                    raise IntentFailedError(f"{intent.call.text}: {intent.reason}")
                if intent.state is IntentState.FINAL and receipt is not None:
                    return intent, receipt
                await self._sleep(self._poll)

    async def advance(self, intent: Intent) -> tuple[Intent, Receipt | None]:
        """Take the intent as far as it goes now. Raises retryable `ChainError`s; the intent is then as it was."""
        if intent.state is IntentState.PLANNED:
            intent = await self._prepare(intent)
        if intent.state in (IntentState.SIGNED, IntentState.SENT, IntentState.MINED):
            return await self._follow(intent)
        receipt = None
        if intent.state is IntentState.FINAL and intent.hash is not None:
            receipt = await self._chain.receipt(intent.hash)
        return intent, receipt

    async def _prepare(self, intent: Intent) -> Intent:
        async with self._preparing:
            # Another task may have been here while we waited.
            current = await self._store.intent(intent.key)
            if current is not None and current.state is not IntentState.PLANNED:
                return current
            try:
                fee = await self._chain.estimate(intent.call, intent.sender)
                nonce = await self._free_nonce(intent.sender)
            except ChainError as error:
                if error.retry:
                    raise
                return await self._fail(intent, str(error))
            signed = self._chain.sign(UnsignedTx(intent.call, intent.sender, nonce, fee), self._key)
            intent = replace(intent, state=IntentState.SIGNED, nonce=nonce, fee=fee, raw=signed.raw, hash=signed.hash)
            await self._store.save_intent(intent)
            return intent

    async def _free_nonce(self, sender: Address) -> int:
        """Above everything the chain knows and everything we have signed, sent or not."""
        nonce = await self._chain.next_nonce(sender)
        for other in await self.open_intents():
            if other.nonce is not None:
                nonce = max(nonce, other.nonce + 1)
        return nonce

    async def _follow(self, intent: Intent) -> tuple[Intent, Receipt | None]:
        if intent.raw is None or intent.hash is None or intent.nonce is None:
            return await self._fail(intent, "the stored intent has no signed bytes"), None
        receipt = await self._chain.receipt(intent.hash)
        if receipt is None:
            return await self._send_again(intent), None
        if intent.state is not IntentState.MINED or intent.block != receipt.block:
            intent = replace(intent, state=IntentState.MINED, block=receipt.block, fee_paid=receipt.fee_paid)
            await self._store.save_intent(intent)
        if not await self._chain.is_final(receipt):
            return intent, receipt
        if not receipt.ok:
            return await self._fail(intent, "the contract refused it in the block"), receipt
        intent = replace(intent, state=IntentState.FINAL)
        await self._store.save_intent(intent)
        return intent, receipt

    async def _send_again(self, intent: Intent) -> Intent:
        """No block holds it (yet, or not any more): hand in the same bytes."""
        raw, transaction, nonce = intent.raw or b"", intent.hash or b"", intent.nonce or 0
        try:
            await self._chain.broadcast(SignedTx(raw, transaction))
        except NonceError:
            if await self._chain.used_nonces(intent.sender) > nonce and await self._chain.receipt(transaction) is None:
                return await self._fail(intent, "another transaction of this account took its place")
            raise
        except ChainError as error:
            if error.retry or intent.state is not IntentState.SIGNED:
                raise
            # Refused at the door: the bytes could still be taken later, so the intent stays open and visible.
            log.warning("%s: not taken yet: %s", intent.call.text, error)
            raise
        if intent.state is not IntentState.SENT:
            intent = replace(intent, state=IntentState.SENT)
            await self._store.save_intent(intent)
        return intent

    async def _fail(self, intent: Intent, reason: str) -> Intent:
        intent = replace(intent, state=IntentState.FAILED, reason=reason)
        await self._store.save_intent(intent)
        return intent
