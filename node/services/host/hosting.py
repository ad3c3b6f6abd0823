"""Renting out disk on all rails of a node: the volumes they share, and one `Host` each."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from node.ports.events import EngineEvent
from node.ports.storage import HostedContract, StorageStore
from node.ports.volumes import VolumeInfo, Volumes
from node.services.host.disks import DiskWatch
from node.services.host.host import Host
from node.services.host.intake import tidy
from node.services.host.leaving import Departures
from node.services.host.presence import Presence

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Hosting:
    """`hosts`: by the rail's name. `start`, then `run`."""

    volumes: Volumes
    hosts: Mapping[str, Host]
    store: StorageStore
    presences: Mapping[str, Presence] = field(default_factory=dict)
    close_volumes: Callable[[], None] = lambda: None
    disks: DiskWatch = field(init=False)

    def __post_init__(self) -> None:
        self.disks = DiskWatch(self.volumes)

    def report_faults(self, fault: Callable[[str], object]) -> None:
        """`fault` hears what the owner should see to, one line each."""
        self.disks.on_fault = fault
        for host in self.hosts.values():
            host.on_fault = fault

    @property
    def departures(self) -> Departures:
        """How the owner leaves contracts before their end."""
        return Departures({name: host.leaving for name, host in self.hosts.items()}, self.volumes)

    async def start(self) -> None:
        """Delete what no contract needs any more. Raises `StoreError`."""
        await self.volumes.volumes()
        gone = await tidy(await self.store.hosted(), self.volumes)
        if gone:
            log.info("%d shards that no contract needs were deleted", gone)

    async def run(self) -> None:
        """Rounds of all hosts, until `close` or cancellation."""
        await asyncio.gather(self.disks.run(), *(host.run() for host in self.hosts.values()))

    async def close(self) -> None:
        """Idempotent."""
        await self.disks.close()
        for host in self.hosts.values():
            await host.close()
        self.close_volumes()

    def handle(self, event: EngineEvent) -> None:
        """Every engine event, in order."""
        for host in self.hosts.values():
            host.handle(event)

    async def volumes_changed(self) -> None:
        """The owner added or changed a volume. Raises `VolumeError`."""
        for host in self.hosts.values():
            await host.volumes_changed()

    async def check(self, volume: str) -> tuple[VolumeInfo, list[HostedContract]]:
        """The owner has seen to a volume: trust it again, and read what was damaged. Returns the contracts that are
        right again. Raises `VolumeError`, `StoreError`."""
        await self.volumes.trust(volume)
        healed = [record for host in self.hosts.values() for record in await host.recheck()]
        for info in await self.volumes.volumes():
            if info.id == volume:
                return info, healed
        raise AssertionError("a volume that was trusted is there")
