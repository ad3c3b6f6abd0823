"""Own experience with hosts: noted as it happens, durable, and put beside what discovery finds.

A crash between an experience and its note loses one of many. How many hosts are remembered is bounded by the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from node.ports.clock import Clock
from node.ports.renting import Discovery, FoundHost, RenterStore
from node.storage.standing import Seen, Standing
from wallet.address import Address


class Standings:
    """Of all rails."""

    def __init__(self, store: RenterStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._noting = asyncio.Lock()
        self._known: dict[str, dict[Address, Standing]] = {}

    async def note(self, rail: str, host: Address, seen: Seen) -> None:
        """One more experience. Raises `StoreError`."""
        async with self._noting:
            known = await self._all(rail)
            standing = known.get(host, Standing(rail=rail, host=host)).after(seen, self._clock.wall())
            await self._store.save_standing(standing)
            known[host] = standing

    async def known(self, rail: str) -> Mapping[Address, Standing]:
        """Every host of a rail that we have experience with. Raises `StoreError`."""
        async with self._noting:
            return await self._all(rail)

    async def _all(self, rail: str) -> dict[Address, Standing]:
        if rail not in self._known:
            self._known[rail] = {standing.host: standing for standing in await self._store.standings(rail)}
        return self._known[rail]


class Rated:
    """The port `Discovery` over another one, with scores of own experience."""

    def __init__(self, discovery: Discovery, standings: Standings, clock: Clock) -> None:
        self._discovery = discovery
        self._standings = standings
        self._clock = clock

    async def hosts(self, rail: str) -> Sequence[FoundHost]:
        """As the port says; a stranger's score is the one that it was found with."""
        known, now = await self._standings.known(rail), self._clock.wall()
        return [
            replace(host, score=known[host.peer.address].score(now)) if host.peer.address in known else host
            for host in await self._discovery.hosts(rail)
        ]
