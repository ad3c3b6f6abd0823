"""All that rents storage in one node, started and stopped together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from node.ports.events import EngineEvent
from node.services.renter.keeper import Renter
from node.services.renter.transfer import EngineCarrier


@dataclass(frozen=True, slots=True)
class Renting:
    """The renter, what moves its shards, and how to close its way to other nodes."""

    renter: Renter
    carrier: EngineCarrier
    close_api: Callable[[], Awaitable[None]]

    async def start(self) -> None:
        await self.renter.start()

    async def run(self) -> None:
        """Until cancelled."""
        await self.renter.run()

    def handle(self, event: EngineEvent) -> None:
        """One engine event, in order."""
        self.carrier.handle(event)

    async def close(self) -> None:
        await self.renter.close()
        await self.close_api()
