"""Watching contracts: an audit in every epoch, at a moment nobody knows, and a voucher for every one that passes.

Theory. A host that knew when it is asked could fetch the shard for that moment only, so the moment is drawn uniformly
from the epoch, and the blocks from a fresh nonce. A host may be away for an hour: until the epoch ends it is asked
again, at intervals that a quarter of what is left of the epoch sets. One that never answers gets no voucher for it;
that is all it loses, until its silence has lasted for `Policy.patience` epochs. A wrong answer that it signed is proof,
and ends it at once.

Vouchers are cumulative, so one that pays this epoch pays all before it. That is meant: blocks drawn at random from the
whole shard, shown today, were kept in the epochs before, too; the renter may have been the one who was away.

A host that would like to leave says so when it takes a voucher; the wish is kept, and `decisions` acts on it.

The voucher is durable together with the audit's result before it is sent, and sent until the host has confirmed it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace

from node.ports.clock import Clock
from node.ports.peerapi import PeerApiError
from node.ports.renting import MarketError, Rental, RenterStore
from node.services.renter.auditing import Auditing, Examined
from node.services.renter.errors import HostError
from node.services.renter.hosts import Hosts
from node.services.renter.policy import Policy
from node.services.renter.serving import Serving
from node.services.renter.standings import Standings
from node.services.renter.together import together
from node.storage.audit import ANSWER_SECONDS, Verdict
from node.storage.lifecycle import State
from node.storage.standing import Seen
from wallet.keys import PrivateKey
from wallet.storage_terms import Voucher, sign

log = logging.getLogger(__name__)

WATCHED = frozenset((State.ACTIVE, State.CHALLENGED, State.EXITING, State.EXITING_CHALLENGED))


@dataclass(frozen=True, slots=True)
class Plan:
    """When to ask next, in Unix seconds, and for which epoch."""

    epoch: int
    at: int


def plan_first(rental: Rental, now: int, uniform: Callable[[int, int], int]) -> Plan | None:
    """The moment of this epoch's audit: uniform over what is left of it, less the time for an answer. None: no audit.

    `uniform(a, b)`: a random number from a to b, both included.
    """
    terms, epoch = rental.terms, rental.terms.epoch_at(now)
    if rental.state not in WATCHED or rental.convicted or rental.dropped:
        return None
    if not 0 <= epoch < terms.epochs or rental.passed > epoch or (rental.leaves and now >= rental.leaves):
        return None
    room = min(ANSWER_SECONDS, terms.epoch_length // 4)
    return Plan(epoch, uniform(now, max(now, terms.epoch_start(epoch + 1) - room)))


def plan_again(rental: Rental, epoch: int, now: int, least: int) -> Plan:
    """After silence; a moment beyond the epoch's end means that there is no further try in it."""
    left = rental.terms.epoch_start(epoch + 1) - now
    return Plan(epoch, now + max(least, left // 4))


def judged(rental: Rental, epoch: int, verdict: Verdict) -> Rental:
    """The record after an audit of `epoch`, without the voucher."""
    if verdict is Verdict.PASSED:
        return replace(rental, passed=epoch + 1, missed=0)
    if verdict is Verdict.WRONG:
        return replace(rental, convicted=True)
    if rental.missed_epoch == epoch + 1:
        return rental
    return replace(rental, missed=rental.missed + 1, missed_epoch=epoch + 1)


def experience(before: Rental, after: Rental) -> Seen | None:
    """What an audit has told about the host: one thing for each epoch, however often it was asked."""
    changes = (
        (after.convicted > before.convicted, Seen.WRONG),
        (after.passed > before.passed, Seen.KEPT),
        (after.missed > before.missed, Seen.SILENT),
    )
    return next((seen for changed, seen in changes if changed), None)


class Watch:
    """Audits and vouches for the contracts that it is shown. `disputed` hears of audits that did not pass."""

    def __init__(
        self,
        *,
        auditing: Auditing,
        serving: Serving,
        hosts: Hosts,
        store: RenterStore,
        key: PrivateKey,
        clock: Clock,
        policy: Policy,
        standings: Standings,
        uniform: Callable[[int, int], int],
        follow: Callable[[Rental], Awaitable[Rental]],
        disputed: Callable[[Rental, Examined], Awaitable[None]],
    ) -> None:
        self._auditing = auditing
        self._serving = serving
        self._hosts = hosts
        self._store = store
        self._key = key
        self._clock = clock
        self._policy = policy
        self._standings = standings
        self._uniform = uniform
        self._follow = follow
        self._disputed = disputed
        self._plans: dict[bytes, Plan] = {}
        self._tell_at: dict[bytes, float] = {}

    async def tick(self, rentals: Iterable[Rental]) -> None:
        """Do what is due now."""
        await together(map(self._one, rentals))

    async def audit(self, rental: Rental) -> Examined:
        """Audit now, whatever the plan: the user asked. It counts as this epoch's."""
        epoch = min(rental.terms.epoch_at(self._clock.wall()), rental.terms.epochs - 1)
        examined = await self._serving.complete(rental, await self._auditing.examine(rental))
        if examined.finding.verdict is Verdict.SPENT:
            return examined
        await self._store.save_audit(examined.record(rental, max(-1, epoch)))
        if epoch < 0:
            return examined
        after = judged(rental, epoch, examined.finding.verdict)
        if examined.finding.verdict is Verdict.PASSED:
            after = self._vouch(after, epoch + 1)
        if examined.finding.verdict is not Verdict.SILENT:
            self._plans.pop(rental.id, None)
        if after is not rental:
            await self._store.save_rental(after)
        if (seen := experience(rental, after)) is not None:
            await self._standings.note(rental.rail, rental.terms.host, seen)
        if examined.finding.verdict is Verdict.PASSED:
            await self._tell(after)
        else:
            log.info("audit of %s: %s (%s)", rental.url, examined.finding.verdict, examined.finding.reason)
            await self._disputed(after, examined)
        return examined

    async def _one(self, rental: Rental) -> None:
        now = self._clock.wall()
        epoch = rental.terms.epoch_at(now)
        plan = self._plans.get(rental.id)
        if plan is None or plan.epoch != epoch:
            plan = plan_first(rental, now, self._uniform)
            if plan is None:
                self._plans.pop(rental.id, None)
            else:
                self._plans[rental.id] = plan
        if plan is not None and plan.at <= now and plan.epoch == epoch and rental.passed <= epoch:
            try:
                rental = await self._follow(rental)
            except MarketError as error:
                log.info("contract %s: %s", rental.id.hex()[:12], error)
            if rental.state not in WATCHED:
                self._plans.pop(rental.id, None)
                return
            examined = await self.audit(rental)
            if examined.finding.verdict is Verdict.SILENT:
                self._plans[rental.id] = plan_again(rental, epoch, self._clock.wall(), self._policy.retry)
        elif rental.told < rental.vouched and self._clock.now() >= self._tell_at.get(rental.id, 0.0):
            await self._tell(rental)

    def _vouch(self, rental: Rental, through: int) -> Rental:
        if through <= rental.vouched:
            return rental
        signature = sign(self._hosts.market, Voucher(rental.id, through), self._key)
        return replace(rental, vouched=through, voucher_signature=signature)

    async def _tell(self, rental: Rental) -> None:
        if rental.told >= rental.vouched:
            return
        self._tell_at[rental.id] = self._clock.now() + self._policy.retry
        try:
            taken = await self._hosts.voucher(rental, Voucher(rental.id, rental.vouched), rental.voucher_signature)
        except (PeerApiError, HostError) as error:
            log.info("voucher for %s: %s", rental.url, error)
            return
        relieve = bool(taken.leaving) and self._policy.hand_over
        if relieve and not rental.relieve:
            log.info("%s asks to be relieved of contract %s", rental.url, rental.id.hex()[:12])
        await self._store.save_rental(replace(rental, told=rental.vouched, relieve=relieve))
