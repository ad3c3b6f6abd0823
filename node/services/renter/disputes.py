"""Disputes: a host that lost a shard pays for it, when the user's policy says so.

The challenge on chain names a block that the host could not show, or, where it was silent, a random one. It costs a
bond, which comes back if nobody answers in time, and goes to the host's payee otherwise; so it is opened only after a
signed wrong answer, or silence that has lasted, never above the bond that the policy allows, and a few at a time. What
the market does not hold of it yet is deposited. An answer to a host's silence is worth its bond: it shows that the
shard is there. Of a host that answers and does not serve, that is known.

The auditor of a contract may do all of this in the renter's place, with its own money: the bond comes back to whoever
put it down, and what a failed challenge brings is the renter's.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

from node.ports.renting import MarketError, MarketPort, Rental, RenterStore
from node.services.renter.auditing import Examined
from node.services.renter.policy import Policy
from node.services.renter.standings import Standings
from node.storage.audit import Verdict
from node.storage.lifecycle import CHALLENGED, Event, MarketStatus, State, step
from node.storage.standing import Seen

log = logging.getLogger(__name__)

SpendBond = Callable[[Rental, int, Callable[[], Awaitable[None]]], Awaitable[None]]


class Disputes:
    """Opens and ends challenges on one rail. `spend_bond`: as `Placing.spend_bond`, since escrow leaves nothing free in
    the market; `uniform(a, b)`: a random number from a to b."""

    def __init__(
        self,
        market: MarketPort,
        store: RenterStore,
        policy: Policy,
        standings: Standings,
        *,
        spend_bond: SpendBond,
        uniform: Callable[[int, int], int],
    ) -> None:
        self._market = market
        self._spend_bond = spend_bond
        self._store = store
        self._policy = policy
        self._standings = standings
        self._uniform = uniform

    async def hear(self, rental: Rental, examined: Examined) -> None:
        """An audit did not pass."""
        wrong = examined.finding.verdict is Verdict.WRONG
        lasting = rental.missed >= self._policy.patience and not examined.unserved
        if not self._policy.dispute or not (wrong or lasting):
            return
        if rental.state not in (State.ACTIVE, State.EXITING):
            return
        rentals = await self._store.rentals()
        if sum(each.rail == rental.rail and each.state in CHALLENGED for each in rentals) >= self._policy.most_open:
            log.info("no challenge of %s: %d others are open", rental.url, self._policy.most_open)
            return
        try:
            bond = await self._market.bond()
            if bond > self._policy.max_bond:
                log.info("no challenge of %s: its bond is %d units", rental.url, bond)
                return
            index = examined.wrong if examined.wrong is not None else self._uniform(0, rental.terms.blocks - 1)
            await self._spend_bond(rental, bond, lambda: self._market.challenge(rental.terms, index))
        except MarketError as error:
            log.info("challenge of %s: %s", rental.url, error)
            return
        await self._store.save_rental(replace(rental, state=step(rental.state, Event.CHALLENGE)))

    async def end(self, rental: Rental) -> None:
        """Look after a challenge that is open: answered, or to be failed."""
        if rental.state not in CHALLENGED:
            return
        try:
            chain = await self._market.status(rental.terms)
            event = None
            if chain.status is MarketStatus.FAILED:
                event = Event.FAIL
            elif chain.status is MarketStatus.ACTIVE and not chain.answer_by:
                event = Event.ANSWER
            elif chain.answer_by and await self._market.chain_time() > chain.answer_by:
                await self._market.fail(rental.terms)
                event = Event.FAIL
        except MarketError as error:
            log.info("challenge of %s: %s", rental.url, error)
            return
        if event is None:
            return
        if event is Event.FAIL:
            await self._standings.note(rental.rail, rental.terms.host, Seen.BROKEN)
        after = replace(rental, state=step(rental.state, event))
        if event is Event.ANSWER:
            after = replace(after, missed=0)
        await self._store.save_rental(after)
