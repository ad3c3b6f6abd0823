"""The node's memory of its counterparties: deeds noted as they happen, kept in the store, asked before each trade.

    sessions, accounts ──note──▶ `node.speed.reputation` ──every minute, at the end──▶ store
    booked payouts ──judge (bounced, made good)──▶ the same, durable at once

A tally that a crash loses is a minute of good or bad conduct. A bounced cheque must not be lost: it comes from the
payouts in the books, and the number of the last one that was judged is stored with the records, in one transaction. So
a crash between booking and judging repeats it at the next start, and nothing is judged twice.

All of it is local: what others say of anybody is not asked for, and nobody is told what is here. A payer's name is
proven by its bid; a payee's is not by its ask, but whoever trades under another's name works for that one's income.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from node.ports.reputation import ReputationStore
from node.ports.store import StoreError
from node.services.rounds import Rounds, Wait, at_most
from node.speed.errors import Action, RemoteFaultError
from node.speed.reputation import Deed, Key, Reputation, Tallies
from wallet.address import Address

log = logging.getLogger(__name__)

SAVE_EVERY = 60.0
SAVE_SOON = 1_000
"""Changed records that are saved without waiting for the minute."""
PAGE = 100


@dataclass(frozen=True, slots=True)
class Standing:
    """One counterparty as people read it. Tallies are faded, `score` is 0 to 1000; times are Unix seconds."""

    rail: str
    address: Address
    tallies: Tallies
    bounces: int
    """Ever."""
    barred_until: int | None
    score: int
    met_at: int

    @property
    def pays_us(self) -> bool:
        found = self.tallies
        return bool(found.bought or found.paid or found.unpaid or self.bounces)

    @property
    def sells_to_us(self) -> bool:
        found = self.tallies
        return bool(found.delivered or found.failed or found.overcounted)


class Reputations:
    """One per node, made by `open`. Reading and noting never wait; `run` saves until `close`."""

    def __init__(
        self, book: Reputation, judged: int, *, store: ReputationStore, wall: Callable[[], int], wait: Wait | None
    ) -> None:
        self._book = book
        self._judged = judged
        self._store = store
        self._wall = wall
        self._saving = asyncio.Lock()
        self._rounds = Rounds("reputations", self.save, wait or at_most(SAVE_EVERY))
        self.on_barred: Callable[[str, Address], object] = lambda rail, payer: None
        """Told of each payer whose cheque has bounced, once that is durable."""

    @classmethod
    async def open(cls, store: ReputationStore, *, wall: Callable[[], int], wait: Wait | None = None) -> Reputations:
        """What was kept, and what was booked since. `wall` gives Unix seconds. Raises `StoreError`."""
        book = Reputation()
        book.restore(await store.reputations())
        made = cls(book, await store.judged(), store=store, wall=wall, wait=wait)
        await made.judge()
        return made

    # --- asked by the market -----------------------------------------------------------------------------------------

    def score(self, rail: str, address: Address) -> int:
        """0 (never deal with it) to 1000; 500 for a stranger."""
        return self._book.score(Key(rail, address), self._wall())

    def bounces(self, rail: str, payer: Address) -> int:
        """How many of its cheques bounced, ever (`wallet.solvency.Funds.bounces`)."""
        return self._book.bounces(Key(rail, payer))

    def barred_until(self, rail: str, payer: Address) -> int | None:
        """Until when (Unix seconds) it may have no paid service, since a cheque bounced; None: it may have it."""
        return self._book.barred_until(Key(rail, payer), self._wall())

    def standings(self) -> list[Standing]:
        """Everybody who is remembered, the one met last first."""
        now = self._wall()
        found = [
            Standing(
                rail=key.rail,
                address=key.address,
                tallies=self._book.tallies(key, now),
                bounces=self._book.bounces(key),
                barred_until=self._book.barred_until(key, now),
                score=self._book.score(key, now),
                met_at=self._book.met_at(key),
            )
            for key in self._book
        ]
        return sorted(found, key=lambda one: (-one.met_at, one.rail, one.address))

    # --- told by the market ------------------------------------------------------------------------------------------

    def note(self, rail: str, address: Address, deed: Deed, amount: int) -> None:
        """`amount` more of a deed, in its unit. Bounces come from the books instead (`judge`)."""
        if amount <= 0:
            return
        self._book.note(Key(rail, address), deed, amount, self._wall())
        if self._book.changed >= SAVE_SOON:
            self._rounds.wake()

    def fault(self, rail: str, address: Address, fault: RemoteFaultError) -> None:
        """It broke the protocol or its word, and the trade ends for it."""
        if fault.action is Action.IGNORE:
            return
        self.note(rail, address, Deed.STOPS, 1)
        self.note(rail, address, Deed.OVERCOUNTED, fault.overcounted)

    # --- durable -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Save from time to time, until `close` or cancellation."""
        await self._rounds.run()

    async def close(self) -> None:
        """End `run`, and save what is left. Raises `StoreError`."""
        await self._rounds.close()
        await self.save()

    async def judge(self) -> None:
        """Look at the payouts booked since the last time: a cheque that bounced bars its payer, one that was paid in
        full after all lifts the bar. Returns when that is durable. Raises `StoreError`."""
        barred: dict[Key, None] = {}
        async with self._saving:
            before = self._judged
            while payouts := await self._store.payouts_after(self._judged, limit=PAGE):
                for payout in payouts:
                    key = Key(payout.rail, payout.payer)
                    if payout.bounced:
                        self._book.bounced(key, payout.at)
                        barred[key] = None
                    else:
                        self._book.made_good(key)
                        barred.pop(key, None)
                    self._judged = payout.number
            if self._judged != before:
                await self._save()
        for key in barred:
            log.warning("a cheque of %s on %s bounced: no more paid service for now", key.address, key.rail)
            self.on_barred(*key)

    async def save(self) -> None:
        """Make durable what has changed. Raises `StoreError`; then the next call has it again."""
        async with self._saving:
            if self._book.changed:
                await self._save()

    async def _save(self) -> None:
        changes = self._book.changes()
        try:
            await self._store.save_reputations(changes, self._judged)
        except StoreError:
            self._book.not_kept(changes)
            raise
