"""One contract on its way: proposed, opened, delivered, and ended. Each step is durable before it acts.

    step        before it acts is durable            what a repetition does
    propose     our signature                        the host answers with the same consent
    open        both signatures                      the market is asked first; the intent is the same one
    deliver     that it is open                      seeds the same file, asks again for blocks
    recall      nothing                              takes over the same signature and voucher
    call off    that it is open                      the intent is the same one
    cancel      that the user dropped it             the host signs the same cancellation

A host that was asked once has our signature, and could open the contract until it starts, whatever it said to us. So a
contract is never forgotten before its start has passed and the market has been asked.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from node.ports.clock import Clock
from node.ports.peerapi import PeerApiError, PeerRefusedError
from node.ports.renting import (
    AuditRecord,
    MarketError,
    MarketPort,
    MarketRefusedError,
    OnChain,
    Rental,
    RenterStore,
    ShardCarrier,
    TransferError,
)
from node.services.renter.auditing import Auditing
from node.services.renter.decisions import Todo, delivered, todo
from node.services.renter.errors import HostError
from node.services.renter.hosts import Hosts, heard_from
from node.services.renter.policy import Policy
from node.services.renter.standings import Standings
from node.services.renter.whereabouts import Whereabouts
from node.storage.audit import Verdict
from node.storage.lifecycle import CHALLENGED, ENDS, Event, MarketStatus, State, from_chain, step
from node.storage.standing import Seen
from wallet.address import Address
from wallet.keys import PrivateKey
from wallet.storage_terms import Cancel, sign

log = logging.getLogger(__name__)

CLOCKS_APART = 15
"""Seconds that a host allows for between its clock and others (`node.services.host.duties.MARGIN`)."""
GLANCES, GLANCING = 8, 8
"""How often in an epoch the market is asked of a contract that runs, and for how many at once."""
LEARN_AT_ONCE = 8
"""Contracts of an object that have ended whose end the market is asked about in one round."""
TRIES = 3
"""How often a host is asked to sign before another one is."""
RECALL_PAUSE = 600
"""Seconds between two tries to hear from a host what was lost: nothing waits for it."""


class Contracts:
    """Moves contracts of one rail on."""

    def __init__(
        self,
        *,
        hosts: Hosts,
        market: MarketPort,
        store: RenterStore,
        carrier: ShardCarrier,
        auditing: Auditing,
        key: PrivateKey,
        clock: Clock,
        policy: Policy,
        standings: Standings,
    ) -> None:
        self._standings = standings
        self._hosts = hosts
        self._market = market
        self._store = store
        self._carrier = carrier
        self._auditing = auditing
        self._key = key
        self._clock = clock
        self._policy = policy
        self._whereabouts = Whereabouts(hosts, clock)
        self._tries: dict[bytes, int] = {}
        self._not_before: dict[tuple[bytes, Todo], float] = {}
        self._glancing = asyncio.Semaphore(GLANCING)
        self.declined: dict[Address, str] = {}
        """Host → why it declined last."""
        self._outdated: dict[Address, float] = {}
        """Host → when it last declined since its terms had changed: it is asked for new ones at once, but not again
        and again."""
        self.requoted: set[bytes] = set()
        """Contracts that were declined so, for which their hosts need not be avoided."""
        self.paid: dict[bytes, int] = {}
        """Contract → how many epochs the market has paid, as far as it was asked."""
        self._final: set[bytes] = set()
        """Contracts that had ended when it was asked: it pays no more for them."""
        self._steps: dict[Todo, Callable[[Rental, Path], Awaitable[Rental]]] = {
            Todo.PROPOSE: self._propose,
            Todo.OPEN: self._open,
            Todo.LOOK: self._look,
            Todo.DELIVER: self._deliver,
            Todo.CALL_OFF: self._call_off,
            Todo.CANCEL: self._cancel,
            Todo.RECALL: self._recall,
            Todo.WATCH: self._glance,
            Todo.CLOSE: self._close,
        }

    async def advance(self, rental: Rental, folder: Path) -> Rental:
        """Take the next step, if it is time for one; `folder` has the shard where it is staged."""
        return await self._take(rental, todo(rental, self._clock.wall(), self._policy), folder)

    async def glance(self, rental: Rental) -> Rental:
        """Look now and then at what the market says of a contract, and do nothing about it."""
        return await self._take(rental, Todo.WATCH, Path())

    async def _take(self, rental: Rental, wanted: Todo, folder: Path) -> Rental:
        act = self._steps.get(wanted)
        if act is None or self._clock.now() < self._not_before.get((rental.id, wanted), 0.0):
            return rental
        try:
            after = await act(rental, folder)
        except (MarketError, PeerApiError, HostError, TransferError) as error:
            log.info("storage contract %s: %s: %s", rental.id.hex()[:12], wanted, error)
            after = rental
        if after is rental:
            self._not_before[rental.id, wanted] = self._clock.now() + self._pause(rental, wanted)
        else:
            self._not_before.pop((rental.id, wanted), None)
        return after

    def _pause(self, rental: Rental, wanted: Todo) -> float:
        """Seconds until a step that changed nothing is taken again."""
        if wanted is Todo.WATCH:
            return rental.terms.epoch_length / GLANCES
        return max(RECALL_PAUSE, self._policy.retry) if wanted is Todo.RECALL else self._policy.retry

    async def _keep(self, rental: Rental) -> Rental:
        await self._store.save_rental(rental)
        return rental

    async def _saw(self, rental: Rental, seen: Seen) -> None:
        await self._standings.note(rental.rail, rental.terms.host, seen)

    async def _move(self, rental: Rental, event: Event) -> Rental:
        return await self._keep(replace(rental, state=step(rental.state, event)))

    # --- steps -------------------------------------------------------------------------------------------------------

    async def _propose(self, rental: Rental, folder: Path) -> Rental:
        tries = self._tries[rental.id] = self._tries.get(rental.id, 0) + 1
        try:
            signature = await self._hosts.propose(rental, self._carrier.addresses)
        except (PeerRefusedError, HostError) as error:
            log.info("host %s declines: %s", rental.url, error)
            await self._saw(rental, Seen.DECLINED)
            self._declined(rental, error)
            return await self._keep(replace(rental, dropped=True))
        except PeerApiError:
            if tries < TRIES:
                raise
            await self._saw(rental, Seen.SILENT)
            self.declined[rental.terms.host] = "did not answer an offer"
            return await self._keep(replace(rental, dropped=True))
        return await self._keep(replace(rental, host_signature=signature, state=step(rental.state, Event.SIGN)))

    def _declined(self, rental: Rental, error: Exception) -> None:
        host, now = rental.terms.host, self._clock.now()
        self.declined[host] = f"declined ({error})"
        changed = isinstance(error, PeerRefusedError) and error.code == "terms"
        if changed and now >= self._outdated.get(host, -math.inf) + self._policy.avoid:
            self._outdated[host] = now
            self.requoted.add(rental.id)

    async def _open(self, rental: Rental, folder: Path) -> Rental:
        if (await self._market.status(rental.terms)).status is MarketStatus.UNKNOWN:
            try:
                await self._market.open(rental.terms, rental.renter_signature, rental.host_signature)
            except MarketRefusedError as error:
                # Another transaction may have opened it: only the market knows, once it cannot be opened any more.
                log.info("the market does not open contract %s: %s", rental.id.hex()[:12], error)
                return await self._keep(replace(rental, dropped=True))
        return await self._move(rental, Event.OPEN)

    async def _look(self, rental: Rental, folder: Path) -> Rental:
        chain = await self._market.status(rental.terms)
        if chain.status is MarketStatus.UNKNOWN:
            if await self._market.chain_time() < rental.terms.start:
                return rental
            return await self._move(rental, Event.LAPSE)
        return await self._follow(rental, chain)

    async def _deliver(self, rental: Rental, folder: Path) -> Rental:
        if self._clock.wall() >= rental.terms.start:
            looked = await self._follow(rental, await self._market.status(rental.terms))
            if looked.state is not rental.state:
                return looked
        if (folder / rental.terms.root.hex()).is_file():
            # The host looks for us where we were at the offer, and a start since may have moved either of us.
            moved = await self._whereabouts.of(rental)
            await self._carrier.seed(rental.terms.root, rental.terms.length, folder, moved.peers)
        examined = await self._auditing.examine(rental)
        if examined.finding.verdict in (Verdict.SILENT, Verdict.SPENT):
            return rental
        audit = examined.record(rental, max(-1, rental.terms.epoch_at(examined.at)))
        await self._store.save_audit(audit)
        return await self._judged(rental, audit)

    async def _judged(self, rental: Rental, audit: AuditRecord) -> Rental:
        if audit.verdict is Verdict.PASSED:
            return await self._move(rental, Event.DELIVER)
        await self._saw(rental, Seen.WRONG)
        return await self._keep(replace(rental, convicted=True, dropped=True))

    async def _recall(self, rental: Rental, folder: Path) -> Rental:
        said = await self._hosts.recall(rental.peer, rental.terms)
        quote = None
        with suppress(PeerApiError, HostError):  # one that rents out nothing more may tell all the same
            quote = await self._hosts.quote(rental.peer, self._clock.wall())
        return await self._keep(heard_from(rental, said, quote))

    async def _call_off(self, rental: Rental, folder: Path) -> Rental:
        try:
            await self._market.call_off(rental.terms)
        except MarketRefusedError:
            return await self._follow(rental, await self._market.status(rental.terms))
        if not rental.dropped:  # its host never had the shard
            await self._saw(rental, Seen.BROKEN)
        return await self._move(rental, Event.CALL_OFF)

    async def _cancel(self, rental: Rental, folder: Path) -> Rental:
        """The epochs that have begun are paid, the others are not; near its end, the next one has, by the host's clock.

        A host may bring it to the market before us.
        """
        looked = await self.follow(rental)
        if looked.state in ENDS:
            return looked
        terms = rental.terms
        epochs = (looked.leaves - terms.start) // terms.epoch_length if looked.leaves else terms.epochs
        soon = self._clock.wall() + 2 * min(CLOCKS_APART, terms.epoch_length // 16)
        through = min(epochs, max(rental.vouched, terms.epoch_at(soon) + 1))
        cancel = Cancel(rental.id, through)
        signature = sign(self._hosts.market, cancel, self._key)
        consent = await self._hosts.cancel(rental, cancel, signature)
        try:
            await self._market.cancel(terms, through, signature, consent)
        except MarketRefusedError:
            return await self.follow(rental)
        return await self._move(looked, Event.CANCEL)

    async def _glance(self, rental: Rental, folder: Path) -> Rental:
        """A host may leave alone: what it has must be copied before it goes."""
        async with self._glancing:
            return await self.follow(rental)

    async def _close(self, rental: Rental, folder: Path) -> Rental:
        terms = rental.terms
        chain = await self._market.status(terms)
        if chain.status is MarketStatus.ACTIVE:
            end = terms.epoch_start(chain.epochs)
            over = end if chain.paid >= chain.epochs else end + terms.epoch_length
            if chain.answer_by or await self._market.chain_time() < over:
                return rental
            with suppress(MarketRefusedError):  # the host may have closed it meanwhile
                await self._market.close(terms)
            chain = await self._market.status(terms)
        return await self._follow(rental, chain)

    # --- the market's word -------------------------------------------------------------------------------------------

    async def follow(self, rental: Rental) -> Rental:
        """Take over what the market says of a contract that is in force. Raises `MarketError`."""
        return await self._follow(rental, await self._market.status(rental.terms))

    async def learn_paid(self, rentals: Iterable[Rental]) -> None:
        """Ask what the market paid for contracts that have ended, where this process has not heard it yet; for some of
        them, as there may be many."""
        opened = (State.COMPLETED, State.CANCELLED, State.FAILED)
        unheard = [rental for rental in rentals if rental.state in opened and rental.id not in self._final]
        for rental in unheard[:LEARN_AT_ONCE]:
            if self._clock.now() < self._not_before.get((rental.id, Todo.NOTHING), 0.0):
                continue
            try:
                self._hear_paid(rental, await self._market.status(rental.terms))
            except MarketError as error:
                self._not_before[rental.id, Todo.NOTHING] = self._clock.now() + self._policy.retry
                log.info("storage contract %s: %s", rental.id.hex()[:12], error)
                return

    def paid_for(self, rental: Rental) -> int:
        """Token units that its host has or can have: what we vouched for, and what it proved to the market instead;
        when it has ended, what the market paid."""
        known = self.paid.get(rental.id, 0)
        if rental.id not in self._final:
            known = max(rental.vouched, known)
        return known * rental.terms.price_per_epoch

    def _hear_paid(self, rental: Rental, chain: OnChain) -> None:
        self.paid[rental.id] = chain.paid
        if chain.status not in (MarketStatus.UNKNOWN, MarketStatus.ACTIVE):
            self._final.add(rental.id)

    async def _follow(self, rental: Rental, chain: OnChain) -> Rental:
        self._hear_paid(rental, chain)
        state = from_chain(
            chain.status, challenged=bool(chain.answer_by), exiting=chain.exiting, delivered=delivered(rental)
        )
        if state is None:
            return rental
        leaves = rental.terms.epoch_start(chain.epochs) if chain.exiting else rental.leaves
        if (state, leaves) == (rental.state, rental.leaves):
            return rental
        called_off = state is State.CANCELLED and rental.state is State.UPLOADING and not rental.dropped
        if called_off:
            log.info("host %s called contract %s off", rental.url, rental.id.hex()[:12])
        if called_off or (state is State.FAILED and rental.state is not State.FAILED):
            await self._saw(rental, Seen.BROKEN)
        # An answer on chain shows that the shard is there, whoever sees it first.
        answered = rental.state in CHALLENGED and state in (State.ACTIVE, State.EXITING)
        missed = 0 if answered else rental.missed
        return await self._keep(replace(rental, state=state, leaves=leaves, missed=missed))
