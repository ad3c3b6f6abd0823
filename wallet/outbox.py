"""Transactions that survive a crash: each intent takes effect exactly once, or is reported failed and never does.

    PLANNED ──bytes──▶ SIGNED ──broadcast──▶ SENT ──receipt──▶ MINED ──final──▶ FINAL, or FAILED where it was refused
       │                │ └──────── same bytes again ─────────┘  │
       │                │            ▲────────── reorg ──────────┘
       │                └─ void ─▶ new bytes (expired), or FAILED (the nonce is another's)
       └─ refused or cancelled before anything is signed ──▶ FAILED

Theory
------
An intent has an idempotency key: asking twice for the same gives the same intent. Nonce and signed bytes are durable
before the network sees them. After a crash, a lost answer or a reorganisation the *same* bytes are sent again, never
new ones, because two different transactions for one intent could both take effect. New bytes are signed only where the
chain vouches that the earlier ones are out of the way:

    outbid    a dearer transaction that excludes the one before it (chains with nonces).
    is_void   twice, `VOID_GRACE` apart: the bytes can never take effect any more. Where transactions expire, the call
              is signed anew, at most `MAX_REPLACED` times. Where they have nonces, the intent fails: another program,
              perhaps a copy of this one, has used the nonce, and perhaps for the same purpose.

All ids that an intent ever had are remembered and looked for, so it does not matter which of them takes effect.

Only one intent of a sender is under way before its first receipt, so that each is estimated on top of the one before
and no nonce is left out. Intents that wait for their turn do not wait for each other: what is refused or cannot be paid
for fails at once, rather than happening some day to everybody's surprise. What must come after something else says so
(`after`), and starts when that is final, not before: a reorganisation could swap the two.

What is under way and gets nowhere can be cancelled. On chains with nonces a transaction that does nothing then takes
the nonce, or comes too late; where transactions expire, there is nothing to do but wait. Either way the intent ends as
what really happened. A gap before its nonce (another program's transaction was dropped) is filled by whatever intent
comes next.

Intents move when somebody calls `advance` (or `finish`, which does so until the end). All that an outbox knows is in
its store, except when it last sent what.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from wallet.address import Address
from wallet.chains.base import (
    Call,
    ChainAdapter,
    ChainError,
    ExpiredError,
    FeeTooHighError,
    NonceError,
    Receipt,
    SignedTx,
    UnderpricedError,
    UnsignedTx,
    WrongChainError,
)
from wallet.errors import WalletError
from wallet.intents import CLOSED, UNDER_WAY, Intent, IntentState, MemoryOutboxStore, OutboxStore
from wallet.keys import PrivateKey

__all__ = [
    "CLOSED",
    "BlockedError",
    "Intent",
    "IntentFailedError",
    "IntentState",
    "KeyReusedError",
    "MemoryOutboxStore",
    "Outbox",
    "OutboxStore",
]

log = logging.getLogger(__name__)

RESEND_EVERY = 15.0
"""Seconds between two broadcasts of the same bytes."""
STUCK_AFTER = 60.0
"""Seconds without a receipt after which a dearer transaction is tried, where the chain has such a thing."""
VOID_GRACE = 15.0
"""Seconds between two looks that must both find a transaction void: one server may lag behind another."""
MAX_REPLACED = 16
"""How often one intent is made dearer, or signed anew."""
DISPLACE_PERCENT = 125
"""What a transaction that does nothing offers of the price it has to beat: every node takes that as a replacement."""
CANCELLED = "cancelled"
MAX_WAIT = 30.0
"""Seconds that a remote fault's wish to wait is granted at once."""


class KeyReusedError(WalletError):
    """An idempotency key was given for two different calls."""


class IntentFailedError(ChainError):
    """The intent will not take effect; the text says why."""


class BlockedError(ChainError):
    """Another intent of this account has to move first and cannot; the text says which and why."""

    hint = "mend what holds the other one up, or cancel it"

    def __init__(self, other: Intent, error: ChainError) -> None:
        super().__init__(f"waits for '{other.call.text}': {error}")
        self.retry = error.retry
        self.retry_after = getattr(error, "retry_after", 0.0)


@dataclass(slots=True)
class _Sending:
    """What one process remembers of a transaction that has no receipt yet."""

    first: float
    """When these bytes were to be sent for the first time."""
    last: float = -math.inf
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

    async def submit(self, key: str, call: Call, *, after: str | None = None) -> Intent:
        """Make an intent durable; the same key again gives what has become of it so far, also where it failed.

        `after`: the key of an intent of this outbox that must be final first; if it fails, so does this one. Raises
        `ValueError` where there is none, and `KeyReusedError` when the key stands for another call.
        """
        async with self._submitting:
            known = await self._store.intent(key)
            if known is None:
                first = None if after is None else await self._store.intent(after)
                if after is not None and (first is None or not self._is_ours(first)):
                    raise ValueError(f"'{key}' cannot come after '{after}': there is no such intent")
                known = Intent(
                    key=key,
                    rail=self._chain.rail.id,
                    sender=self._key.address,
                    call=call,
                    created_at=self._wall(),
                    after=after,
                )
                await self._store.save_intent(known)
        if _effect(known.call) != _effect(call):
            raise KeyReusedError(f"the key '{key}' stands for something else: {known.call.text}")
        return known

    async def open_intents(self) -> Sequence[Intent]:
        """This outbox's unfinished intents, oldest first: call `finish` or `advance` on each after a start."""
        return [intent for intent in await self._store.open_intents() if self._is_ours(intent)]

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
            return await self._advance(await self._store.intent(intent.key) or intent)

    async def cancel(self, intent: Intent) -> Intent:
        """Make it durable that the user wants this no more; `advance` or `finish` then does what is left to do.

        What is not signed yet fails at once. Anything else may take effect all the same, and then ends as `FINAL`;
        otherwise as `FAILED`, once that is sure. Cancelling what has ended changes nothing.
        """
        async with self._advancing:
            intent = await self._store.intent(intent.key) or intent
            if intent.state in CLOSED or intent.cancelled is not None:
                return intent
            if intent.state is IntentState.PLANNED:
                return await self._fail(intent, CANCELLED)
            return await self._save(replace(intent, cancelled=len(intent.ids)))

    async def _advance(self, intent: Intent) -> tuple[Intent, Receipt | None]:
        if intent.state is IntentState.PLANNED:
            intent = await self._begin(intent)
        if intent.state in CLOSED:
            return intent, await self._chain.receipt(intent.hash) if intent.hash else None
        if intent.state is IntentState.PLANNED:
            return intent, None
        return await self._follow(intent)

    # --- before the first broadcast ----------------------------------------------------------------------------------

    async def _begin(self, intent: Intent) -> Intent:
        """Sign it, if nothing has to come before it."""
        if intent.after is not None and (first := await self._store.intent(intent.after)) is not None:
            try:
                first, _ = await self._advance(first)
            except ChainError as error:
                raise BlockedError(first, error) from error
            if first.state is IntentState.FAILED:
                return await self._fail(intent, f"it was to follow '{first.call.text}', which failed: {first.reason}")
            if first.state is not IntentState.FINAL:
                return intent
        return await self._prepare(intent) if await self._turn_of(intent) else intent

    async def _turn_of(self, intent: Intent) -> bool:
        """Whether nothing else of this sender is on its way to a first receipt. What is stuck behind a gap does not
        count: somebody has to fill it."""
        for other in await self.open_intents():
            if other.key == intent.key or other.state not in UNDER_WAY:
                continue
            try:
                other, _ = await self._follow(other)
            except ChainError as error:
                if not isinstance(error, NonceError) or not await self._behind_gap(other):
                    raise BlockedError(other, error) from error
            else:
                if other.state in UNDER_WAY and not await self._behind_gap(other):
                    return False
        return True

    async def _behind_gap(self, intent: Intent) -> bool:
        sending = self._sending.get(intent.key)
        if self._chain.expires or intent.nonce is None or sending is None:
            return False
        return self._clock() - sending.first >= STUCK_AFTER and await self._free_nonce(intent.sender) < intent.nonce

    async def _prepare(self, intent: Intent) -> Intent:
        try:
            fee = await self._chain.estimate(intent.call, intent.sender)
            nonce = 0 if self._chain.expires else await self._free_nonce(intent.sender)
            unsigned = await self._chain.prepare(intent.call, intent.sender, nonce, fee)
        except ChainError as error:
            if error.retry or isinstance(error, WrongChainError):  # neither says anything of the call
                raise
            return await self._fail(intent, str(error))
        return await self._sign(intent, unsigned)

    async def _free_nonce(self, sender: Address) -> int:
        """The first that neither the chain knows, nor we have signed: a reorganisation may bring ours back."""
        nonce = await self._chain.next_nonce(sender)
        ours = {other.nonce for other in await self.open_intents()}
        while nonce in ours:
            nonce += 1
        return nonce

    async def _sign(self, intent: Intent, unsigned: UnsignedTx) -> Intent:
        signed = self._chain.sign(unsigned, self._key)
        self._sending.pop(intent.key, None)
        return await self._save(
            replace(
                intent,
                state=IntentState.SIGNED,
                nonce=unsigned.nonce,
                fee=unsigned.fee,
                anchor=unsigned.anchor,
                raw=signed.raw,
                hash=signed.hash,
                replaced=intent.ids,
            )
        )

    # --- after it ----------------------------------------------------------------------------------------------------

    async def _follow(self, intent: Intent) -> tuple[Intent, Receipt | None]:
        receipt = await self._receipt(intent)
        if receipt is None:
            return await self._send(intent), None
        self._sending.pop(intent.key, None)
        if intent.state is not IntentState.MINED or intent.block != receipt.block:
            intent = await self._save(
                replace(intent, state=IntentState.MINED, block=receipt.block, fee_paid=receipt.fee_paid)
            )
        if not await self._chain.is_final(receipt):
            return intent, receipt
        ended = replace(intent, hash=receipt.hash)
        if intent.cancelled is not None and receipt.hash in intent.ids[intent.cancelled :]:
            return await self._fail(ended, CANCELLED), receipt
        if not receipt.ok:
            return await self._fail(ended, await self._chain.why_reverted(self._signed(intent).tx, receipt)), receipt
        return await self._save(replace(ended, state=IntentState.FINAL)), receipt

    async def _receipt(self, intent: Intent) -> Receipt | None:
        """Of whatever took effect; the latest bytes are the likeliest."""
        for transaction in reversed(intent.ids):
            if (receipt := await self._chain.receipt(transaction)) is not None:
                return receipt
        return None

    async def _send(self, intent: Intent) -> Intent:
        """No block holds it, or not any more: see that the network has the bytes."""
        signed = self._signed(intent)
        if intent.cancelled is not None and not (self._chain.expires or intent.displaced):
            return await self._displace(intent, signed.tx)
        now = self._clock()
        sending = self._sending.setdefault(intent.key, _Sending(first=now))
        if intent.state is IntentState.SENT:
            if now - sending.first >= STUCK_AFTER and (dearer := await self._outbid(intent, signed.tx)) is not None:
                return dearer
            if now - sending.last < RESEND_EVERY:
                return intent
        unwanted = intent.cancelled is not None and not intent.displaced
        # A server that has seen the bytes before may accept them again, long after their time.
        sent_before = unwanted or intent.state is not IntentState.SIGNED
        if self._chain.expires and sent_before and await self._void(intent, signed, now):
            return await self._give_up(intent)
        if not unwanted:
            await self._earlier(intent)
            try:
                await self._chain.broadcast(signed)
            except (NonceError, ExpiredError):
                if await self._void(intent, signed, now):
                    return await self._give_up(intent)
                raise
            except UnderpricedError:
                if (dearer := await self._outbid(intent, signed.tx)) is None:
                    raise
                return dearer
        sending.last = now
        if intent.state is not IntentState.SENT:
            intent = await self._save(replace(intent, state=IntentState.SENT, block=None, fee_paid=None))
        return intent

    async def _earlier(self, intent: Intent) -> None:
        """A reorganisation may have taken back what has a lower nonce: nothing gets into a block before that does."""
        for other in await self.open_intents():
            if other.nonce is not None and intent.nonce is not None and other.nonce < intent.nonce:
                try:
                    await self._follow(other)
                except ChainError as error:
                    raise BlockedError(other, error) from error

    async def _outbid(self, intent: Intent, unsigned: UnsignedTx) -> Intent | None:
        """The intent with dearer bytes, to be sent at the next `advance`; None where there is nothing to gain."""
        if len(intent.replaced) - (intent.cancelled or 0) >= MAX_REPLACED:
            return None
        try:
            dearer = await self._chain.outbid(unsigned)
        except FeeTooHighError as error:
            log.warning("%s: no receipt yet, and no dearer transaction: %s", intent.call.text, error)
            return None
        if dearer is None:
            return None
        log.info("%s: no receipt yet; the fee goes up to %d units", intent.call.text, dearer.fee.total)
        return await self._sign(intent, dearer)

    async def _displace(self, intent: Intent, unsigned: UnsignedTx) -> Intent:
        """A transaction that does nothing, in the place of the one that is wanted no more."""
        nothing = self._nothing(intent)
        fee = await self._chain.estimate(nothing, intent.sender)
        price = max(fee.price, -(-unsigned.fee.price * DISPLACE_PERCENT // 100))
        displacing = await self._chain.prepare(nothing, intent.sender, unsigned.nonce, replace(fee, price=price))
        log.info("%s: cancelled; a transaction that does nothing is to take nonce %d", intent.call.text, unsigned.nonce)
        return await self._sign(intent, displacing)

    async def _void(self, intent: Intent, signed: SignedTx, now: float) -> bool:
        """Whether all looks for some time, at least two, have found the bytes void. Another search for receipts lies
        between them: by then every server knows the one that the first look missed."""
        sending = self._sending.setdefault(intent.key, _Sending(first=now))
        if not await self._chain.is_void(signed):
            sending.void_since = None
            return False
        if sending.void_since is None:
            sending.void_since = now
        return now - sending.void_since >= VOID_GRACE

    async def _give_up(self, intent: Intent) -> Intent:
        """What was signed is void for good: sign the call anew, or fail."""
        if not self._chain.expires:
            return await self._fail(intent, f"another transaction of this account has used nonce {intent.nonce}")
        if intent.cancelled is not None:
            return await self._fail(intent, CANCELLED)
        if len(intent.replaced) >= MAX_REPLACED:
            return await self._fail(intent, f"no block took it; it has expired {len(intent.ids)} times")
        log.info("%s: it has expired and is in no block; it is signed anew", intent.call.text)
        return await self._prepare(intent)

    # --- the parts ---------------------------------------------------------------------------------------------------

    def _is_ours(self, intent: Intent) -> bool:
        return intent.rail == self._chain.rail.id and intent.sender == self._key.address

    def _nothing(self, intent: Intent) -> Call:
        return replace(self._chain.transfer_native(intent.sender, 0), text=f"cancel: {intent.call.text}")

    def _signed(self, intent: Intent) -> SignedTx:
        """What was signed last."""
        if intent.nonce is None or intent.fee is None or intent.raw is None or intent.hash is None:
            raise ValueError(f"intent {intent.key!r} is {intent.state}, but has no signed bytes")
        call = self._nothing(intent) if intent.displaced else intent.call
        unsigned = UnsignedTx(call, intent.sender, intent.nonce, intent.fee, intent.anchor)
        return SignedTx(unsigned, intent.raw, intent.hash)

    async def _fail(self, intent: Intent, reason: str) -> Intent:
        log.warning("%s: failed: %s", intent.call.text, reason)
        return await self._save(replace(intent, state=IntentState.FAILED, reason=reason))

    async def _save(self, intent: Intent) -> Intent:
        await self._store.save_intent(intent)
        return intent


def _effect(call: Call) -> tuple[object, ...]:
    """What tells one call from another, whatever it is called."""
    return call.to, call.data, call.value, call.trc10, call.creates
