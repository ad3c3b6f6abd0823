"""Transactions that survive a crash: each intent takes effect exactly once, or is reported failed and never does.

    PLANNED ──bytes──▶ SIGNED ──broadcast──▶ SENT ──receipt──▶ MINED ──final──▶ FINAL, or FAILED where it was refused
       │                  └──────── same bytes again ─────────┘  │
       │                             ▲────────── reorg ──────────┘
       └─ the chain refuses it before anything is signed ──▶ FAILED

Theory
------
An intent has an idempotency key: asking twice for the same gives the same intent. Nonce and signed bytes are durable
before the network sees them. After a crash, a lost answer or a reorganisation the *same* bytes are sent again, never
new ones, because two different transactions for one intent could both take effect. There are two exceptions, and the
chain vouches for both: a dearer transaction that excludes the one before it (`outbid`), and a transaction that can
never take effect any more (`is_void`), which fails the intent.

Only one intent of a sender is under way before its first receipt; the next one is estimated and signed after that. So
no nonce is left out when a transaction is refused, and a call may rely on the one before it (approve, then deposit).

Intents move when somebody calls `advance` (or `finish`, which does so until the end). All that an outbox knows is in
its store, except when it last sent what.
"""

from __future__ import annotations

import asyncio
import logging
import time
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
    FeeTooHighError,
    NonceError,
    Receipt,
    SignedTx,
    UnderpricedError,
    UnsignedTx,
)
from wallet.errors import WalletError
from wallet.keys import PrivateKey

log = logging.getLogger(__name__)

RESEND_EVERY = 15.0
"""Seconds between two broadcasts of the same bytes."""
STUCK_AFTER = 60.0
"""Seconds without a receipt after which a dearer transaction is tried, where the chain has such a thing."""
VOID_GRACE = 15.0
"""Seconds between two looks that must both find a transaction void: one server may lag behind another."""
MAX_REPLACED = 16
"""How often one intent is made dearer."""
MAX_WAIT = 30.0
"""Seconds that a remote fault's wish to wait is granted at once."""


class IntentState(StrEnum):
    """See the picture at the head of this module."""

    PLANNED = "planned"
    SIGNED = "signed"
    SENT = "sent"
    MINED = "mined"
    FINAL = "final"
    FAILED = "failed"


CLOSED = frozenset({IntentState.FINAL, IntentState.FAILED})
_UNDER_WAY = frozenset({IntentState.SIGNED, IntentState.SENT})


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
    """Of the latest bytes; once final, of those that took effect."""
    replaced: tuple[bytes, ...] = ()
    """Hashes of earlier bytes that the latest exclude: any one of them may be the one that takes effect."""
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
        """All that are neither final nor failed, in the order in which they were first saved."""


class MemoryOutboxStore:
    """An `OutboxStore` that lasts as long as the process: for tests and simulations."""

    def __init__(self) -> None:
        self._intents: dict[str, Intent] = {}

    async def save_intent(self, intent: Intent) -> None:
        self._intents[intent.key] = intent

    async def intent(self, key: str) -> Intent | None:
        return self._intents.get(key)

    async def open_intents(self) -> Sequence[Intent]:
        return [intent for intent in self._intents.values() if intent.state not in CLOSED]


class KeyReusedError(WalletError):
    """An idempotency key was given for two different calls."""


class IntentFailedError(ChainError):
    """The intent will not take effect; the text says why."""


@dataclass(slots=True)
class _Sending:
    """What one process remembers of a transaction that has no receipt yet."""

    first: float
    """When these bytes were sent for the first time."""
    last: float
    void_since: float | None = None


class Outbox:
    """For one sender (`key`) on one chain. `wall` gives Unix seconds; `clock` and `sleep` are for waiting."""

    def __init__(
        self,
        store: OutboxStore,
        chain: ChainAdapter,
        key: PrivateKey,
        *,
        wall: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        poll: float = 0.5,
    ) -> None:
        self._store = store
        self._chain = chain
        self._key = key
        self._wall = wall
        self._clock = clock
        self._sleep = sleep
        self._poll = poll
        self._submitting = asyncio.Lock()
        self._advancing = asyncio.Lock()
        self._sending: dict[str, _Sending] = {}

    async def submit(self, key: str, call: Call) -> Intent:
        """Make an intent durable; the same key again gives what has become of it so far.

        Raises `KeyReusedError` when the key stands for another call.
        """
        async with self._submitting:
            known = await self._store.intent(key)
            if known is None:
                sender = self._key.address
                known = Intent(key=key, rail=self._chain.rail.id, sender=sender, call=call, created_at=self._wall())
                await self._store.save_intent(known)
        if (known.call.to, known.call.data, known.call.value) != (call.to, call.data, call.value):
            raise KeyReusedError(f"the key '{key}' stands for something else: {known.call.text}")
        return known

    async def open_intents(self) -> Sequence[Intent]:
        """This outbox's unfinished intents, oldest first: call `finish` or `advance` on each after a start."""
        return [
            intent
            for intent in await self._store.open_intents()
            if intent.rail == self._chain.rail.id and intent.sender == self._key.address
        ]

    async def finish(self, intent: Intent, *, deadline: float) -> tuple[Intent, Receipt]:
        """Advance until final. Raises `IntentFailedError`; other local faults of the chain at once; and `TimeoutError`
        after `deadline` seconds.

        Unless it failed, nothing is lost: the intent stays open and goes on when it is advanced again.
        """
        until = self._clock() + deadline
        while True:
            wait, fault = self._poll, "not final"
            try:
                intent, receipt = await self.advance(intent)
            except ChainError as error:
                if not error.retry:
                    raise
                wait, fault = max(wait, min(getattr(error, "retry_after", 0.0), MAX_WAIT)), str(error)
            else:
                if intent.state is IntentState.FAILED:
                    raise IntentFailedError(f"{intent.call.text}: {intent.reason}")
                if intent.state is IntentState.FINAL and receipt is not None:
                    return intent, receipt
            left = until - self._clock()
            if left <= 0:
                raise TimeoutError(f"{intent.call.text}: {fault} after {deadline:g} s; it stays open")
            await self._sleep(min(wait, left))

    async def advance(self, intent: Intent) -> tuple[Intent, Receipt | None]:
        """Take the intent as far as it goes now, without waiting.

        Raises `ChainError` where it cannot go on; what is durable then still holds, and it may be advanced again.
        """
        async with self._advancing:
            intent = await self._store.intent(intent.key) or intent  # another task may have been here
            if intent.state is IntentState.PLANNED and await self._turn_of(intent):
                intent = await self._prepare(intent)
            if intent.state in CLOSED:
                return intent, await self._chain.receipt(intent.hash) if intent.hash else None
            if intent.state is IntentState.PLANNED:
                return intent, None
            return await self._follow(intent)

    # --- before the first broadcast ----------------------------------------------------------------------------------

    async def _turn_of(self, intent: Intent) -> bool:
        """Whether nothing else of this sender is on its way to a first receipt."""
        for other in await self.open_intents():
            if other.key != intent.key and other.state in _UNDER_WAY:
                other, _ = await self._follow(other)
                if other.state in _UNDER_WAY:
                    return False
        return True

    async def _prepare(self, intent: Intent) -> Intent:
        try:
            fee = await self._chain.estimate(intent.call, intent.sender)
            nonce = await self._free_nonce(intent.sender)
            unsigned = await self._chain.prepare(intent.call, intent.sender, nonce, fee)
        except ChainError as error:
            if error.retry:
                raise
            return await self._fail(intent, str(error))
        return await self._sign(intent, unsigned)

    async def _free_nonce(self, sender: Address) -> int:
        """Above everything the chain knows, and everything we have signed and a reorganisation may bring back."""
        nonce = await self._chain.next_nonce(sender)
        ours = [intent.nonce + 1 for intent in await self.open_intents() if intent.nonce is not None]
        return max([nonce, *ours])

    async def _sign(self, intent: Intent, unsigned: UnsignedTx) -> Intent:
        signed = self._chain.sign(unsigned, self._key)
        return await self._save(
            replace(
                intent,
                state=IntentState.SIGNED,
                nonce=unsigned.nonce,
                fee=unsigned.fee,
                raw=signed.raw,
                hash=signed.hash,
                replaced=intent.replaced if intent.hash is None else (*intent.replaced, intent.hash),
            )
        )

    # --- after it ----------------------------------------------------------------------------------------------------

    async def _follow(self, intent: Intent) -> tuple[Intent, Receipt | None]:
        signed = _signed(intent)
        receipt = None
        for transaction in (signed.hash, *reversed(intent.replaced)):
            receipt = await self._chain.receipt(transaction)
            if receipt is not None:
                break
        if receipt is None:
            return await self._send(intent, signed), None
        self._sending.pop(intent.key, None)
        if intent.state is not IntentState.MINED or intent.block != receipt.block:
            intent = await self._save(
                replace(intent, state=IntentState.MINED, block=receipt.block, fee_paid=receipt.fee_paid)
            )
        if not await self._chain.is_final(receipt):
            return intent, receipt
        if not receipt.ok:
            reason = await self._chain.why_reverted(signed.tx, receipt)
            return await self._fail(replace(intent, hash=receipt.hash), reason), receipt
        return await self._save(replace(intent, state=IntentState.FINAL, hash=receipt.hash)), receipt

    async def _send(self, intent: Intent, signed: SignedTx) -> Intent:
        """No block holds it, or not any more: see that the network has the bytes."""
        now = self._clock()
        sending = self._sending.get(intent.key)
        if sending is not None and intent.state is IntentState.SENT:
            if now - sending.first >= STUCK_AFTER and (dearer := await self._outbid(intent, signed.tx)) is not None:
                return dearer
            if now - sending.last < RESEND_EVERY:
                return intent
        try:
            await self._chain.broadcast(signed)
        except NonceError:
            if await self._void(intent.key, signed, now):
                return await self._fail(intent, f"another transaction of this account has used nonce {signed.tx.nonce}")
            raise
        except UnderpricedError:
            dearer = await self._outbid(intent, signed.tx)
            if dearer is None:
                raise
            return dearer
        self._sending[intent.key] = _Sending(first=now if sending is None else sending.first, last=now)
        if intent.state is not IntentState.SENT:
            intent = await self._save(replace(intent, state=IntentState.SENT, block=None, fee_paid=None))
        return intent

    async def _outbid(self, intent: Intent, unsigned: UnsignedTx) -> Intent | None:
        """The intent with dearer bytes, to be sent at the next `advance`; None where there is nothing to gain."""
        if len(intent.replaced) >= MAX_REPLACED:
            return None
        try:
            dearer = await self._chain.outbid(unsigned)
        except FeeTooHighError as error:
            log.warning("%s: no receipt yet, and no dearer transaction: %s", intent.call.text, error)
            return None
        if dearer is None:
            return None
        log.info("%s: no receipt yet; the fee goes up to %d units", intent.call.text, dearer.fee.total)
        self._sending.pop(intent.key, None)
        return await self._sign(intent, dearer)

    async def _void(self, key: str, signed: SignedTx, now: float) -> bool:
        """Whether two looks, some time apart, have found that the bytes can never take effect."""
        void = await self._chain.is_void(signed)
        sending = self._sending.setdefault(key, _Sending(first=now, last=now))
        if not void:
            sending.void_since = None
            return False
        if sending.void_since is None:
            sending.void_since = now
        return now - sending.void_since >= VOID_GRACE

    async def _fail(self, intent: Intent, reason: str) -> Intent:
        log.warning("%s: failed: %s", intent.call.text, reason)
        return await self._save(replace(intent, state=IntentState.FAILED, reason=reason))

    async def _save(self, intent: Intent) -> Intent:
        await self._store.save_intent(intent)
        return intent


def _signed(intent: Intent) -> SignedTx:
    """What was signed last."""
    if intent.nonce is None or intent.fee is None or intent.raw is None or intent.hash is None:
        raise ValueError(f"intent {intent.key!r} is {intent.state}, but has no signed bytes")
    return SignedTx(UnsignedTx(intent.call, intent.sender, intent.nonce, intent.fee), intent.raw, intent.hash)
