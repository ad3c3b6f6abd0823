"""New contracts for shards that have none: quotes, the cheapest permitted hosts, signed offers, and their money.

The offers of one round are durable before anybody is asked. A host checks what the renter has in the market before it
signs, so the money is put there first, for all contracts that may still be opened together; what is there and not
promised counts. The transaction's key is made of what it is for: after a crash it is the same transaction.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from node.ports.clock import Clock
from node.ports.renting import Discovery, FoundHost, MarketPort, Rental, RenterStore, StoredObject
from node.services.renter.decisions import given_up
from node.services.renter.errors import HostError
from node.services.renter.estimating import Estimate, HostEstimate, sizes
from node.services.renter.hosts import Hosts, candidate
from node.services.renter.policy import Policy
from node.services.renter.spending import Spending
from node.storage.errors import TermsError
from node.storage.lifecycle import State
from node.storage.manifest import Manifest
from node.storage.messages import Quote
from node.storage.placement import Placement, Request, choose, too_dear
from node.storage.terms import Wish, askers_of, daily_rate, epochs_for, offer, within
from wallet.address import Address
from wallet.errors import LimitError
from wallet.keys import PrivateKey
from wallet.storage_terms import StorageContract, sign

log = logging.getLogger(__name__)

MAX_REASONS = 3
MAX_NOTE = 600
_Chosen = tuple[int, FoundHost, Quote, StorageContract]
UNOPENED = frozenset((State.OFFERED, State.SIGNED))


@dataclass(frozen=True, slots=True)
class Placed:
    """Offers that are durable now, and why there are not more of them, in one line."""

    rentals: tuple[Rental, ...]
    note: str = ""


class Placing:
    """Makes offers on one rail. `nonce`: random bytes of a length."""

    def __init__(
        self,
        *,
        discovery: Discovery,
        hosts: Hosts,
        market: MarketPort,
        store: RenterStore,
        key: PrivateKey,
        clock: Clock,
        policy: Policy,
        spending: Spending,
        nonce: Callable[[int], bytes],
    ) -> None:
        self._spending = spending
        self._discovery = discovery
        self._hosts = hosts
        self._market = market
        self._store = store
        self._key = key
        self._clock = clock
        self._policy = policy
        self._nonce = nonce
        self._funding = asyncio.Lock()

    async def place(
        self, stored: StoredObject, manifest: Manifest, shards: Collection[int], avoid: Mapping[Address, str]
    ) -> Placed:
        """Offer contracts for these shards to hosts other than those that have one of this object, and `avoid`: host →
        why, in a few words."""
        rentals = [rental for rental in await self._store.rentals(stored.id) if not given_up(rental, self._policy)]
        roots = {number: manifest.shards[number].root for number in sorted(shards)}
        chosen, note = await self._choose(stored, manifest.id, roots, manifest.shard_length, rentals, avoid)
        offers = [self._rental(stored, *each) for each in chosen]
        try:
            await self._spending.offer(offers)
        except LimitError as error:
            return Placed((), str(error))
        return Placed(tuple(offers), note)

    async def estimate(self, stored: StoredObject) -> Estimate:
        """What `place` would offer now, for an object that nobody knows of yet. Raises `PackingError`s."""
        size, length = await sizes(stored)
        shards = stored.n if length else 0
        # The choice among equal hosts hangs on the object's id, which its keys make: any one does as well.
        roots = {number: bytes(32) for number in range(shards)}
        chosen, note = await self._choose(stored, self._nonce(32), roots, length, (), {}) if shards else ((), "")
        hosts = [HostEstimate.of(host.peer.url, terms) for _, host, _, terms in chosen]
        fault = await self._spending.fault(sum(host.escrow for host in hosts))
        return Estimate(stored.rail, size, shards, length, hosts, [each for each in (note, fault) if each])

    async def _choose(
        self,
        stored: StoredObject,
        object_id: bytes,
        roots: Mapping[int, bytes],
        length: int,
        rentals: Sequence[Rental],
        avoid: Mapping[Address, str],
    ) -> tuple[Sequence[_Chosen], str]:
        """(shard, host, quote, terms) of the cheapest permitted hosts, and why there are not more, in one line.

        `roots`: of the shards to place, by their numbers; `rentals`: contracts that the object has.
        """
        taken = {rental.terms.host for rental in rentals}
        known = [host for host in await self._discovery.hosts(stored.rail) if host.peer.address not in taken]
        found = [host for host in known if host.peer.address not in avoid]
        quoted = await self._hosts.quotes(found, now := self._clock.wall())
        by_host = {quote.table.host: (host, quote) for host, quote in quoted}
        request = Request(
            id=object_id,
            shards=len(roots),
            length=length,
            seconds=_term(stored, now),
            max_price=stored.max_price,
            askers=askers_of(self._key.address, stored.auditor),
            owners=frozenset(rental.terms.payee for rental in rentals),
            networks=frozenset(rental.network for rental in rentals),
        )
        placement = choose(request, [candidate(*each) for each in by_host.values()], now)
        made: list[_Chosen] = []
        for (shard, root), best in zip(roots.items(), placement.chosen, strict=False):
            host, quote = by_host[best.host]
            try:
                made.append((shard, host, quote, self._terms(stored, root, length, quote, now)))
            except HostError as error:  # an absurd price or epoch: no market would open it
                log.info("host %s: %s", host.peer.url, error)
        addresses = {host.peer.address for host in known}
        left = {host: why for host, why in avoid.items() if host in addresses}
        silent = len(found) - len(by_host)
        others = len(known) - len(placement.chosen)
        return made, _missing(placement, known=others, silent=silent, left=left)

    async def renew(self, stored: StoredObject, manifest: Manifest, rental: Rental) -> Rental:
        """Offer the same host a contract that follows `rental`.

        Raises `HostError` where its price or terms are not the user's any more, `LimitError`, and `PeerApiError`s.
        """
        quote = await self._hosts.quote(rental.peer, now := self._clock.wall())
        epochs = epochs_for(stored.seconds, quote.table.epoch_length)
        if not quote.table.min_epochs <= epochs <= quote.table.max_epochs:
            raise HostError(f"{rental.url} does not rent for so long any more")
        root = manifest.shards[rental.shard].root
        terms = self._terms(stored, root, manifest.shard_length, quote, now, follows=rental)
        if not within(terms.price_per_epoch, terms.length, terms.epoch_length, stored.max_price):
            rate = daily_rate(terms.price_per_epoch, terms.length, terms.epoch_length)
            raise HostError(f"{rental.url} now {too_dear(rate, stored.max_price)}")
        host = FoundHost(rental.peer, rental.network, 0)
        renewal = self._rental(stored, rental.shard, host, quote, terms, renews=rental.id)
        await self._spending.offer([renewal])
        return renewal

    async def fund(self, rail: str) -> None:
        """Have the money in the market for all contracts that may be opened. Raises `MarketError`s."""
        async with self._funding:
            await self._fund(rail)

    async def spend_bond(self, rental: Rental, bond: int, spend: Callable[[], Awaitable[None]]) -> None:
        """Have `bond` in the market beside what offers wait for, and let `spend` take it before they could.

        `bond` in token units, for a challenge of `rental`. Raises `MarketError`s, and what `spend` raises.
        """
        async with self._funding:
            # One challenge in an epoch: a later one is another deposit.
            epoch = max(0, rental.terms.epoch_at(self._clock.wall()))
            await self._fund(rental.rail, bond, rental.id + epoch.to_bytes(8, "big"))
            await spend()

    async def _fund(self, rail: str, bond: int = 0, challenged: bytes = b"") -> None:
        waiting = [
            rental
            for rental in await self._store.rentals()
            if rental.rail == rail and rental.object and rental.state in UNOPENED and not rental.dropped
        ]
        short = sum(rental.terms.escrow for rental in waiting) + bond - await self._market.balance()
        if short > 0:
            parts = (short.to_bytes(32, "big"), *sorted(rental.id for rental in waiting), challenged)
            await self._market.deposit(sha256(b"".join(parts)).hexdigest(), short)

    def _terms(
        self,
        stored: StoredObject,
        root: bytes,
        length: int,
        quote: Quote,
        now: int,
        *,
        follows: Rental | None = None,
    ) -> StorageContract:
        wish = Wish(
            root=root,
            length=length,
            renter=self._key.address,
            start=follows.terms.end if follows else now + self._policy.start_after(length),
            epochs=epochs_for(_term(stored, now), quote.table.epoch_length),
            nonce=int.from_bytes(self._nonce(16), "big"),
            auditor=stored.auditor,
            uploaded=follows is None,
        )
        try:
            return offer(quote.table, wish)
        except TermsError as error:
            raise HostError(str(error)) from error

    def _rental(
        self,
        stored: StoredObject,
        shard: int,
        host: FoundHost,
        quote: Quote,
        terms: StorageContract,
        renews: bytes = b"",
    ) -> Rental:
        market = self._hosts.market
        return Rental(
            id=terms.digest(market),
            object=stored.id,
            shard=shard,
            rail=stored.rail,
            terms=terms,
            state=State.OFFERED,
            url=host.peer.url,
            network=host.network,
            peers=quote.peers,
            download_price=quote.table.download_price,
            renter_signature=sign(market, terms, self._key),
            renews=renews,
        )


def _term(stored: StoredObject, now: int) -> int:
    """Seconds for which a contract made now should run."""
    return stored.seconds if stored.renew else max(1, stored.until - now)


def _missing(placement: Placement, *, known: int, silent: int, left: Mapping[Address, str]) -> str:
    """Why there are not enough hosts. `known`: how many there are beside those chosen; `silent`: how many of them gave
    no answer; `left`: those that were not asked, and why."""
    if not placement.missing:
        return ""
    each = [f"{host.evm}: {reason}" for host, reason in (*placement.refused.items(), *left.items())]
    reasons = each[:MAX_REASONS]
    if len(each) > MAX_REASONS:
        reasons.append(f"and {len(each) - MAX_REASONS} more")
    if silent:
        reasons.append(f"{silent} did not answer")
    more = "1 more host is" if placement.missing == 1 else f"{placement.missing} more hosts are"
    if not known:
        return f"{more} needed, and no other is known"
    others = "1 other is" if known == 1 else f"{known} others are"
    return f"{more} needed; {others} known: {'; '.join(reasons)}"[:MAX_NOTE]
