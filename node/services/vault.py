"""What vaults hold, as far as the chain has told us: our own deposit as a payer, our payers' coverage as a payee.

The chain may be slow or away, and the hot path never waits for it. `VaultView` keeps the last answers, refreshes them
on its own, and says honestly when it does not know.

What a payer's deposit is worth to us decides `wallet.solvency`, from figures that the vault's own answers contain: its
balance, everything locked, what is under notice, and what a cheque to us could draw, which tells our lock from others'.
An answer stays good as long as the vault's events are followed and name the payer no more (`followed`); a payer whose
cheque bounced is remembered by the books, and by whoever keeps reputations (`bounces`).
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from node.ports.store import Store
from wallet.address import Address
from wallet.chains.base import ChainAdapter, ChainError
from wallet.solvency import Funds, Standing

log = logging.getLogger(__name__)

MAX_AGE = 30.0
"""Seconds for which a payer's standing is taken from memory after the chain was asked, or its events were read."""
STALE_AGE = 600.0
"""Seconds for which an old answer still serves while the chain is away: withdrawals need a day's notice."""
MAX_PAYERS = 10_000


@dataclass(slots=True)
class _Known:
    """The answer to question `number`. `at`: when it was asked; `changed`: events have named the payer since."""

    standing: Standing
    number: int
    at: float
    changed: bool = False


class VaultView:
    """One per node. `refresh` is called at the start, now and then, and after each own transaction; in between,
    `look_again` for those whose deposits the chain says have changed (`node.services.notices`)."""

    def __init__(
        self,
        chains: Mapping[str, ChainAdapter],
        *,
        store: Store,
        own: Address,
        now: Callable[[], float],
        on_change: Callable[[str, Address, Standing], None] = lambda *_: None,
        bounces: Callable[[str, Address], int] = lambda *_: 0,
    ) -> None:
        """`bounces`: how many cheques of a payer bounced, as far as anybody but the store remembers."""
        self._chains = chains
        self._store = store
        self._own = own
        self._now = now
        self._payers: dict[tuple[str, Address], _Known] = {}
        self._questions = itertools.count()
        self._followed: dict[str, float] = {}
        self._funds: dict[str, int] = {}
        self._issued_since: dict[str, int] = {}
        self._refreshing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self.on_change = on_change
        self.bounces = bounces
        self._faults = dict.fromkeys(chains, "the chain has not been asked yet")

    @property
    def fault(self) -> str | None:
        """Why some rail's figures are not up to date; None: they are."""
        return "; ".join(self._faults.values()) or None

    @property
    def funds(self) -> int | None:
        """Units of our deposit that no cheque of ours has claimed, on all rails; None = not known."""
        return sum(self._funds.values()) if self._funds else None

    def free(self, rail: str) -> int | None:
        """`funds` of one rail."""
        return self._funds.get(rail)

    def issued(self, rail: str, amount: int) -> None:
        """We signed `amount` more: it is spoken for."""
        self._issued_since[rail] = self._issued_since.get(rail, 0) + amount
        if rail in self._funds:
            self._funds[rail] = max(0, self._funds[rail] - amount)

    async def standing(self, rail: str, payer: Address) -> Standing:
        """What `payer`'s cheques to us are worth. Raises `ChainError`."""
        known = self._payers.get((rail, payer))
        now = self._now()
        if known is not None and not known.changed:
            vouched = max(known.at, self._followed.get(rail, known.at))
            if now - vouched < MAX_AGE:
                return known.standing
        try:
            return await self._ask(rail, payer)
        except ChainError:
            if known is not None and now - known.at < STALE_AGE:
                return known.standing
            raise

    def followed(self, rail: str) -> None:
        """All events of this rail up to now were read, and `look_again` told of them."""
        self._followed[rail] = self._now()

    def refresh_soon(self) -> None:
        """After a transaction of our own: look again without making anybody wait."""
        task = asyncio.ensure_future(self.refresh())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def refresh(self) -> None:
        """Ask again for our own deposit and for every payer we know. Faults are kept in `fault`, not raised."""
        async with self._refreshing:
            for rail in self._chains:
                await self._refresh_rail(rail, {self._own, *(payer for known, payer in self._payers if known == rail)})

    async def look_again(self, rail: str, payers: Collection[Address]) -> None:
        """The deposits of these are not what they were: ask again for those we know. Faults as in `refresh`."""
        async with self._refreshing:
            await self._refresh_rail(rail, payers)

    async def _refresh_rail(self, rail: str, payers: Collection[Address]) -> None:
        known = [payer for payer in payers if (rail, payer) in self._payers]
        for payer in known:
            self._payers[rail, payer].changed = True
        if not known and self._own not in payers:
            return
        try:
            if self._own in payers:
                await self._refresh_own(rail, self._chains[rail])
            for payer in known:
                self.on_change(rail, payer, await self._ask(rail, payer))
        except ChainError as error:
            if self._faults.get(rail) != str(error):
                log.warning("%s: %s", rail, error)
            self._faults[rail] = str(error)
        else:
            self._faults.pop(rail, None)

    async def _refresh_own(self, rail: str, chain: ChainAdapter) -> None:
        # Drawn first, balance last: a cheque cashed in between then makes us too careful, never too generous.
        self._issued_since[rail] = 0
        claimed = 0
        for cheque in await self._store.all_issued():
            if cheque.rail == rail and cheque.payer == self._own:
                drawn = await chain.paid_out(self._own, cheque.payee)
                claimed += max(0, cheque.cumulative - drawn)
        state = await chain.payer_state(self._own)
        self._funds[rail] = max(0, state.balance - claimed - self._issued_since[rail])

    async def _ask(self, rail: str, payer: Address) -> Standing:
        number, asked_at = next(self._questions), self._now()
        chain = self._chains[rail]
        # Drawn first, for the same reason. What happens between the other two answers can only make the sum of what is
        # free and what is locked for us smaller than it is.
        paid_out = await chain.paid_out(payer, self._own)
        state = await chain.payer_state(payer)
        available = await chain.available(payer, self._own)
        free = min(max(0, state.balance - state.locked), available)
        for_us = min(state.locked, available - free)
        held = await self._store.received(rail, payer, self._own)
        remembered = self.bounces(rail, payer)
        unpaid = 0
        if held is not None and held.bounced_at is not None:
            remembered = max(1, remembered)
            unpaid = min(held.bounced, max(0, held.cumulative - paid_out))
        funds = Funds(
            balance=free + state.locked,
            locked_for_us=for_us,
            locked_for_others=state.locked - for_us,
            notice=state.notice,
            bounces=remembered,
            unpaid_bounce=unpaid,
        )
        standing = Standing(funds, paid_out, chain.rail.token)
        known = self._payers.get((rail, payer))
        if known is not None and known.number > number:  # a later question was answered sooner
            return known.standing
        if known is None and len(self._payers) >= MAX_PAYERS:
            self._payers.pop(next(iter(self._payers)))
        self._payers[rail, payer] = _Known(standing, number, asked_at)
        return standing
