"""What an outbox remembers: one record per thing to be done on chain, and where these records lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from wallet.address import Address
from wallet.chains.base import Call, Fee


class IntentState(StrEnum):
    """See the picture at the head of `wallet.outbox`."""

    PLANNED = "planned"
    SIGNED = "signed"
    SENT = "sent"
    MINED = "mined"
    FINAL = "final"
    FAILED = "failed"


CLOSED = frozenset({IntentState.FINAL, IntentState.FAILED})
UNDER_WAY = frozenset({IntentState.SIGNED, IntentState.SENT})
"""Signed, and in no block that we know of."""


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
    """Hashes of earlier bytes, oldest first: any one of them may be the one that takes effect."""
    block: int | None = None
    fee_paid: int | None = None
    reason: str = ""
    """Why it failed, in one line."""
    anchor: bytes = b""
    """`UnsignedTx.anchor` of the latest bytes."""
    after: str | None = None
    """The key of an intent that must be final first."""
    cancelled: int | None = None
    """How many ids it had when the user cancelled it; those that came later are of transactions that do nothing."""

    @property
    def ids(self) -> tuple[bytes, ...]:
        """The hashes of everything signed for it, oldest first."""
        return self.replaced if self.hash is None else (*self.replaced, self.hash)

    @property
    def displaced(self) -> bool:
        """The latest bytes do nothing but take the place of the earlier ones."""
        return self.cancelled is not None and len(self.ids) > self.cancelled


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

    def all(self) -> Sequence[Intent]:
        return list(self._intents.values())

    async def open_intents(self) -> Sequence[Intent]:
        return [intent for intent in self._intents.values() if intent.state not in CLOSED]
