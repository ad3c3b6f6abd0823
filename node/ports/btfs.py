"""What the store keeps of BTFS cheques: the latest of each vault, beneficiary and token, and what became of it.

The rules of `node.ports.store` hold here too: a call that returns is durable, and what a cheque adds is counted and
booked in the same transaction. A `symbol` names a token other than the one that the rail's cheques are written in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from node.ports.store import Role
from wallet.address import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class BtfsRecord:
    """A signed cheque. `role`: `PAYER` where we received it, `PAYEE` where we issued it. `token` None: WBTT.

    `cashed`: what final receipts say it has brought us, in all; moved by `book_btfs` only.
    """

    rail: str
    role: Role
    vault: Address
    beneficiary: Address
    token: Address | None
    cumulative: int
    signature: bytes = field(repr=False)
    cashed: int = 0
    updated_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BtfsPayout:
    """A final receipt: the transaction that cashed a cheque has brought `amount` units of its token."""

    rail: str
    transaction: str
    vault: Address
    beneficiary: Address
    token: Address | None
    amount: int
    at: int
    symbol: str = ""


class BtfsStore(Protocol):
    """The part of the store that `node.services.btfs` needs. Any call may raise `StoreError`."""

    async def keep_btfs(self, cheque: BtfsRecord, gain: int, symbol: str = "") -> None:
        """Store a cheque in place of the lower one, and book the `gain` of it.

        One that we issue counts as spent, on the UTC day of `updated_at`: among all cheques where there is no `symbol`,
        else in that token. Raises `wallet.errors.StaleChequeError` unless it is above the one that is there.
        """

    async def btfs_cheques(self, rail: str) -> Sequence[BtfsRecord]:
        """The latest cheques, received and issued."""

    async def book_btfs(self, payout: BtfsPayout) -> bool:
        """Book a final receipt; False: it was booked before, nothing changed."""

    async def spent_in(self, rail: str, symbol: str, day: int) -> int:
        """Units of BTFS cheques that we issued on a rail in a token of that symbol on a UTC day."""
