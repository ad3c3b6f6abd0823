"""Restore: a manifest and the wallet's seed → the files, from any k hosts, checked from end to end.

Nothing else is needed: the manifest names the contracts, a contract names its host, and discovery says where that host
is now. Shards are fetched into a folder named by the object, so that a restore that was interrupted goes on with what
it has; a shard that turns out damaged is thrown away, and another one fetched.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from node.packing.room import check_room, writing
from node.packing.unpack import BadShardError, unpack
from node.ports.clock import Clock
from node.ports.renting import Discovery, Rental, ShardCarrier
from node.services.renter.errors import RestoreError
from node.services.renter.fetching import Fetching, Source, room_to_fetch
from node.services.renter.hosts import Hosts
from node.services.renter.policy import Policy
from node.services.renter.repairing import sources_of
from node.storage.manifest import Manifest
from wallet.address import Address

log = logging.getLogger(__name__)


class Restoring:
    """Restores objects. `base`: where shards lie meanwhile; `hosts`, `discovery`: by rail."""

    def __init__(
        self,
        *,
        base: Path,
        carrier: ShardCarrier,
        hosts: Mapping[str, Hosts],
        discovery: Discovery,
        clock: Clock,
        policy: Policy,
        wrapping: bytes,
    ) -> None:
        self._base = base
        self._hosts = hosts
        self._discovery = discovery
        self._clock = clock
        self._policy = policy
        self._wrapping = wrapping
        self._fetching = Fetching(carrier, stalled=policy.stalled)

    async def restore(
        self,
        manifest: Manifest,
        out: Path,
        *,
        rentals: Sequence[Rental] = (),
        staged: Mapping[int, Path] | None = None,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Write the object to `out`. `rentals`: what this node knows of its hosts, `staged`: the shards it still has
        itself; both may be nothing.

        Raises `RestoreError`, `PackingError`s, `SealError` for another wallet's manifest.
        """
        folder = self._base / manifest.id.hex()
        with writing(folder):
            check_room((folder, room_to_fetch(manifest, folder, staged or ())), (out.parent, manifest.length))
            folder.mkdir(parents=True, exist_ok=True)
        sources = sources_of(rentals, self._policy) + await self._announced(manifest)
        bad: set[int] = set()
        while True:
            shards = await self._fetching.fetch(manifest, sources, folder, have=staged, bad=bad)
            try:
                await asyncio.to_thread(unpack, manifest, shards, out, wrapping=self._wrapping, progress=progress)
                break
            except BadShardError as error:
                if error.number in bad:
                    raise RestoreError(str(error)) from error
                log.info("%s: another one is fetched", error)
                bad.add(error.number)
                if shards[error.number].parent == folder:
                    shards[error.number].unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)

    async def _announced(self, manifest: Manifest) -> list[Source]:
        """Where the hosts of the manifest's contracts say they are now."""
        by_host: dict[tuple[str, Address], list[tuple[int, int]]] = {}
        for number, shard in enumerate(manifest.shards):
            for age, placed in enumerate(reversed(shard.contracts)):
                for rail, hosts in self._hosts.items():
                    if (hosts.market.chain_id, hosts.market.contract) == (placed.chain_id, placed.market):
                        by_host.setdefault((rail, placed.terms.host), []).append((number, age))
        sources = []
        for rail in {rail for rail, _ in by_host}:
            found = [host for host in await self._discovery.hosts(rail) if (rail, host.peer.address) in by_host]
            for host, quote in await self._hosts[rail].quotes(found, self._clock.wall()):
                for number, age in by_host[rail, host.peer.address]:
                    sources.append(Source(number, quote.peers, quote.table.download_price, age))
        return sources
