"""Whom one may rent from, as its user sees it: every host that is known, what it asks, and why it would be avoided.

The hosts are asked for their prices now, all together and for a bounded time. What is said of one is what placement
would say of it for a shard like the one that is looked for; only how many shards one owner or network may have of an
object depends on the object, and is left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import nlargest

from node.ports.clock import Clock
from node.ports.peerapi import PeerApiError
from node.ports.renting import Discovery, FoundHost
from node.services.renter.errors import HostError, RequestError
from node.services.renter.hosts import Hosts, candidate
from node.services.renter.standings import Standings
from node.storage.messages import Quote
from node.storage.placement import Request, refusal
from node.storage.standing import Standing
from wallet.amount import MAX_AMOUNT

MOST_ASKED = 256
"""Hosts of a rail that are asked, the best known first."""
USUAL = 64 << 20
"""Bytes of a shard, where nobody says more."""
ASKED_FOR = 20.0
"""Seconds that they have to answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What hosts are looked for: `length` bytes of a shard, over `seconds`; `max_price`: units per GiB and day, with
    upload and audits, which weigh more on a small shard."""

    length: int = USUAL
    seconds: int = 0
    max_price: int = MAX_AMOUNT


@dataclass(frozen=True, slots=True)
class KnownHost:
    """A host. `quote` None: it did not answer; `standing` None: a stranger; `avoided`: why it would get nothing."""

    rail: str
    found: FoundHost
    quote: Quote | None
    standing: Standing | None
    avoided: str


class HostDirectory:
    """Of all rails. `hosts`: by rail."""

    def __init__(self, discovery: Discovery, hosts: Mapping[str, Hosts], standings: Standings, clock: Clock) -> None:
        self._discovery = discovery
        self._hosts = hosts
        self._standings = standings
        self._clock = clock

    async def look(self, wanted: Wanted, rail: str = "") -> list[KnownHost]:
        """Usable ones first, then the cheaper for their score. Raises `RequestError` for a rail without a market."""
        if rail and rail not in self._hosts:
            raise RequestError(f"no storage market on rail '{rail}': those with one: {', '.join(sorted(self._hosts))}")
        rails = [rail] if rail else list(self._hosts)
        found = [host for each in await asyncio.gather(*(self._rail(name, wanted) for name in rails)) for host in each]
        return sorted(found, key=_rank)

    async def _rail(self, rail: str, wanted: Wanted) -> list[KnownHost]:
        listed = nlargest(MOST_ASKED, await self._discovery.hosts(rail), key=lambda host: host.score)
        known = await self._standings.known(rail)
        quotes = await self._quotes(self._hosts[rail], listed)
        now, lines = self._clock.wall(), []
        for host, quote in zip(listed, quotes, strict=True):
            if isinstance(quote, Quote):
                avoided = _avoided(wanted, host, quote, now)
                lines.append(KnownHost(rail, host, quote, known.get(host.peer.address), avoided))
            else:
                lines.append(KnownHost(rail, host, None, known.get(host.peer.address), quote))
        return lines

    async def _quotes(self, hosts: Hosts, listed: Sequence[FoundHost]) -> list[Quote | str]:
        """A quote of each, or why there is none."""
        now, turns = self._clock.wall(), asyncio.Semaphore(MOST_ASKED // 8)

        async def ask(host: FoundHost) -> Quote | str:
            async with turns:
                try:
                    return await hosts.quote(host.peer, now)
                except (PeerApiError, HostError) as error:
                    return str(error)

        tasks = [asyncio.create_task(ask(host)) for host in listed]
        if tasks:
            await asyncio.wait(tasks, timeout=ASKED_FOR)
        late = [task for task in tasks if not task.done()]
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        return ["it does not answer in time" if task in late else task.result() for task in tasks]


def _avoided(wanted: Wanted, host: FoundHost, quote: Quote, now: int) -> str:
    table = quote.table
    seconds = wanted.seconds or table.min_epochs * table.epoch_length
    request = Request(id=bytes(32), shards=1, length=wanted.length, seconds=seconds, max_price=wanted.max_price)
    return refusal(request, candidate(host, quote), now) or ""


def _rank(host: KnownHost) -> tuple[bool, bool, int, bytes]:
    if host.quote is None:
        return True, True, -host.found.score, host.found.peer.address.raw
    price = host.quote.table.storage_price * 1000 // max(1, host.found.score)
    return bool(host.avoided), False, price, host.found.peer.address.raw
