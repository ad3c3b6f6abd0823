"""Follows the vault's events on one rail: who withdraws, locks, unlocks or cashes, as soon as a block says so.

    cursor ────── final blocks ──────▶ newest final block ────── blocks that may go ──────▶ head
    (durable)     read once, booked                              read at every new head

Theory
------
A payer who gives notice can take its deposit a day later, so we must learn of it in time, also after a pause. The
cursor names the last block whose events were taken for good, by number and id. What lies between it and the newest
final block is read in bounded steps, each made durable. What lies behind it is read again whenever the head is new, and
compared with what was read before: events that came and events that a reorganisation took are both news.

News are payers whose deposit is no longer what it was. They are not stored: a start looks at everybody anyway. Payouts
are booked only from final blocks, before the cursor moves, so that a crash repeats them and loses none.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable

from node.ports.store import ChainCursor, Store
from node.services.booking import cashed_cheques
from node.services.rounds import Rounds, Wait, at_most
from node.services.settlement import Settlement
from node.services.vault import VaultView
from wallet.address import Address
from wallet.chains.base import (
    Block,
    BouncedCheque,
    CashedCheque,
    ChainAdapter,
    ChainAnswerError,
    VaultLog,
)

log = logging.getLogger(__name__)

LOOK_EVERY = 5.0
STEP = 1_000
"""Blocks whose events are asked for at once."""
LOOKBACK = 10_000
"""Blocks to read where there is no cursor, or the chain does not know its block."""


class Watcher:
    """One per rail."""

    def __init__(
        self,
        chain: ChainAdapter,
        *,
        store: Store,
        vault: VaultView,
        settlement: Settlement,
        own: Address,
        wait: Wait | None = None,
    ) -> None:
        self._chain = chain
        self._rail = chain.rail.id
        self._store = store
        self._vault = vault
        self._settlement = settlement
        self._own = own
        self._rounds = Rounds(f"the vault's events on {self._rail}", self.look, wait or at_most(LOOK_EVERY))
        self._head: Block | None = None
        self._cursor: ChainCursor | None = None
        self._provisional: frozenset[VaultLog] = frozenset()
        self._final_figures: dict[Address, int] = {}

    async def run(self) -> None:
        """Look again and again, until `close` or cancellation."""
        await self._rounds.run()

    async def close(self) -> None:
        """Idempotent."""
        await self._rounds.close()

    def paid_in_blocks(self, payer: Address) -> int:
        """The payer's cumulative payout to us in all blocks read, final or not; 0 where no event told of one."""
        provisional = _figures(self._provisional, self._own).get(payer, 0)
        return max(provisional, self._final_figures.get(payer, 0))

    async def look(self) -> None:
        """Read what is new. Raises `ChainError`, `StoreError`; then the next look goes on where this one ended."""
        head = await self._chain.head()
        if head == self._head:
            self._vault.followed(self._rail)
            return
        final = await self._chain.final()
        if self._cursor is None:
            self._cursor = await self._find_cursor(final)
        while (known := self._cursor.block) < final.number:
            end = final if known + STEP >= final.number else await self._chain.final(known + STEP)
            if end.number <= known:
                raise ChainAnswerError(f"a server that lags behind answered: block {known + STEP} is not final for it")
            await self._read_final(known + 1, end)
        if head.number < self._cursor.block:  # a server that lags behind the one before knows less than we do
            return
        logs: frozenset[VaultLog] = frozenset()
        if head.number > self._cursor.block:
            logs = frozenset(await self._chain.events(self._cursor.block + 1, head.number))
        gone_or_new, self._provisional = logs ^ self._provisional, logs
        self._head = head
        await self._tell(gone_or_new)
        self._vault.followed(self._rail)

    async def _find_cursor(self, final: Block) -> ChainCursor:
        """The stored one, where the chain still has its block; else one so far back that nothing recent is missed."""
        stored, newest = await self._store.cursor(self._rail), final.number
        if stored is not None:
            block = await self._chain.final(stored.block)
            if (block.number, block.hash) == (stored.block, stored.hash):
                return stored
            log.warning("%s: block %d is not the one we knew: reading events again", self._rail, stored.block)
            newest = min(newest, stored.block)
        block = await self._chain.final(max(0, newest - LOOKBACK))
        return ChainCursor(self._rail, block.number, block.hash)

    async def _read_final(self, first: int, end: Block) -> None:
        logs = await self._chain.events(first, end.number)
        for (transaction, block), events in _payouts(logs, self._own).items():
            await self._settlement.booked_by_others(transaction, block, events)
        self._cursor = ChainCursor(self._rail, end.number, end.hash)
        await self._store.save_cursor(self._cursor)
        new = frozenset(logs) - self._provisional
        self._provisional -= frozenset(logs)
        for payer, figure in _figures(logs, self._own).items():
            self._final_figures[payer] = max(figure, self._final_figures.get(payer, 0))
        await self._tell(new)

    async def _tell(self, logs: Collection[VaultLog]) -> None:
        payers = {entry.event.payer for entry in logs}
        if not payers:
            return
        await self._vault.look_again(self._rail, payers)
        if any(cheque.rail == self._rail and cheque.payer in payers for cheque in await self._store.all_received()):
            self._settlement.wake()


Events = list[CashedCheque | BouncedCheque]


def _payouts(logs: Iterable[VaultLog], payee: Address) -> dict[tuple[bytes, int], Events]:
    """What happened to cheques to `payee`, by transaction and block."""
    payouts: defaultdict[tuple[bytes, int], Events] = defaultdict(list)
    for entry in logs:
        if isinstance(entry.event, CashedCheque | BouncedCheque) and entry.event.payee == payee:
            payouts[entry.transaction, entry.block].append(entry.event)
    return payouts


def _figures(logs: Iterable[VaultLog], payee: Address) -> dict[Address, int]:
    """By payer: the vault's cumulative payout to `payee` after these events."""
    figures: dict[Address, int] = {}
    for events in _payouts(logs, payee).values():
        for cashed in cashed_cheques(events, payee, 0):
            figures[cashed.payer] = max(cashed.paid_out, figures.get(cashed.payer, 0))
    return figures
