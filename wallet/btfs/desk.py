"""Receiving and issuing BTFS cheques: the pure checks, the chain's facts and the books, put in the right order.

A received cheque is durable before it counts; an issued one before it leaves. Facts of the chain are gathered outside
the lock, so one slow answer holds up nobody else; the books are read and written inside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from wallet.address import Address
from wallet.btfs import wire
from wallet.btfs.book import Book
from wallet.btfs.chain import BtfsVaults
from wallet.btfs.issuer import draw
from wallet.btfs.receiver import Terms, judge, sift
from wallet.btfs.wire import SignedBtfsCheque
from wallet.cheque import BtfsCheque
from wallet.keys import PrivateKey

Keep = Callable[[SignedBtfsCheque, int], Awaitable[None]]
"""Stores a cheque, which adds so much, in place of the lower one of the same vault, beneficiary and token; returns when
it is durable."""


class ReceivingDesk:
    """Takes cheques made out to us. `book`: what was received so far."""

    def __init__(self, terms: Terms, vaults: BtfsVaults, book: Book, keep: Keep) -> None:
        self._terms = terms
        self._vaults = vaults
        self._book = book
        self._keep = keep
        self._lock = asyncio.Lock()

    async def receive(self, raw: bytes, owed: int = 1) -> tuple[SignedBtfsCheque, int]:
        """The cheque in a peer's JSON, and what it adds, in units of its token: at least `owed`.

        Raises `RefusedError` (the peer is at fault), `BookFullError`, `ChainError` (nothing is known: ask again), and
        what `keep` raises. The cheque counts only if this returns.
        """
        signed = wire.decode(raw, self._terms.wbtt)
        sift(self._terms, signed, self._held(signed.cheque))
        facts = await self._vaults.facts(signed.cheque)
        async with self._lock:
            gain = judge(self._terms, signed, facts, self._held(signed.cheque), owed)
            self._book.check(signed)
            await self._keep(signed, gain)
            self._book.put(signed)
        return signed, gain

    def _held(self, cheque: BtfsCheque) -> int:
        return self._book.cumulative(cheque.vault, cheque.beneficiary, cheque.token)


class IssuingDesk:
    """Issues cheques on our own vault. `book`: what was issued so far, cashed or not."""

    def __init__(
        self, chain_id: int, vault: Address, key: PrivateKey, vaults: BtfsVaults, book: Book, keep: Keep
    ) -> None:
        self._chain_id = chain_id
        self._vault = vault
        self._key = key
        self._vaults = vaults
        self._book = book
        self._keep = keep
        self._lock = asyncio.Lock()

    async def issue(self, beneficiary: Address, amount: int, token: Address | None = None) -> SignedBtfsCheque:
        """A cheque that pays `amount` units more than all earlier ones. The user's spend limits are the caller's care.

        Raises `IssueError`, `BookFullError`, `BrokenVaultError`, `ChainError`, and what `keep` raises; then nothing was
        promised.
        """
        async with self._lock:  # around the questions, too: two cheques must not promise the same money
            block = await self._vaults.head()
            kind = BtfsCheque(self._vault, beneficiary, 0, token)
            facts = await self._vaults.facts(kind, block)
            total = 0 if facts is None else await self._vaults.total_paid_out(self._vault, token, block)
            cheque = draw(
                self._book,
                facts,
                total,
                issuer=self._key.address,
                vault=self._vault,
                beneficiary=beneficiary,
                amount=amount,
                token=token,
            )
            signed = SignedBtfsCheque(cheque, cheque.sign(self._chain_id, self._key))
            self._book.check(signed)
            await self._keep(signed, amount)
            self._book.put(signed)
        return signed
