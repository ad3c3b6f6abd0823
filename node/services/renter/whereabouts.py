"""Where the engines of hosts are now: what a contract's record says of it is as old as the offer.

A host that started again may have another port, and a line at home another address every day. It is asked itself, since
its quote says where it is; one that does not answer keeps what was known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from node.ports.clock import Clock
from node.ports.peerapi import PeerApiError
from node.ports.renting import Rental
from node.services.renter.errors import HostError
from node.services.renter.hosts import Hosts
from node.services.renter.together import together


class Whereabouts:
    """Of the hosts of one rail."""

    def __init__(self, hosts: Hosts, clock: Clock) -> None:
        self._hosts = hosts
        self._clock = clock

    async def of(self, rental: Rental) -> Rental:
        """The same contract with the `peers` that its host names now. Nothing is stored: that is up to who holds the
        record."""
        try:
            quote = await self._hosts.quote(rental.peer, self._clock.wall())
        except (PeerApiError, HostError):
            return rental
        return replace(rental, peers=quote.peers or rental.peers)

    async def of_all(self, rentals: Iterable[Rental]) -> list[Rental]:
        """Several, asked together."""
        return await together(map(self.of, rentals))
