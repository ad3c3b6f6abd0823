"""Repair: lost shards made again from k others, and those of leaving hosts copied, into the staging folder.

What to do is `node.storage.repair`'s word; here it is done. The result is files in the folder, under their roots, that
`Tending` places like those of a new object: a repair that was interrupted has left nothing, or whole shards.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Sequence, Set
from pathlib import Path

from node.packing.pack import room_of
from node.packing.rebuild import adopt, rebuild
from node.packing.room import check_room, writing
from node.packing.unpack import BadShardError
from node.ports.renting import Rental, ShardCarrier, TransferError
from node.services.renter.decisions import health, read_order
from node.services.renter.errors import RestoreError
from node.services.renter.fetching import Fetching, Source, room_to_fetch
from node.services.renter.policy import Policy
from node.services.renter.whereabouts import Whereabouts
from node.storage.manifest import Manifest
from node.storage.repair import RepairPlan, plan

log = logging.getLogger(__name__)

FETCHED = "fetched"
"""The folder in the staging folder where shards to be read from lie meanwhile."""


class Repairing:
    """Carries out repair plans."""

    def __init__(self, carrier: ShardCarrier, policy: Policy, whereabouts: Whereabouts) -> None:
        self._carrier = carrier
        self._whereabouts = whereabouts
        self._policy = policy
        self._fetching = Fetching(carrier, stalled=policy.stalled)

    def plan(self, manifest: Manifest, rentals: Sequence[Rental], staged: Set[int], now: int) -> RepairPlan:
        """What an object needs now."""
        states = [health(rentals, number, self._policy, staged=number in staged) for number in range(manifest.n)]
        return plan(manifest.k, manifest.n, states, now)

    async def repair(self, manifest: Manifest, wanted: RepairPlan, rentals: Sequence[Rental], folder: Path) -> None:
        """Put what the plan names into `folder`. Raises `RestoreError` when too little can be read, `PackingError`."""
        sources = sources_of(await self._whereabouts.of_all(rentals), self._policy)
        for number in wanted.copy:
            await self._copy(manifest, number, sources, folder)
        missing = [number for number in wanted.rebuild if not (folder / manifest.shards[number].root.hex()).is_file()]
        if missing:
            await self._rebuild(manifest, missing, sources, folder)

    async def _copy(self, manifest: Manifest, number: int, sources: Sequence[Source], folder: Path) -> None:
        """A leaving host's shard; if it does not come, it is rebuilt when the host is gone."""
        root, length = manifest.shards[number].root, manifest.shard_length
        peers = [peer for source in sources if source.shard == number for peer in source.peers]
        incoming = folder / FETCHED
        with writing(incoming):
            check_room((incoming, room_of(length)))
            incoming.mkdir(exist_ok=True)
        try:
            shard = await self._carrier.fetch(root, length, incoming, peers, deadline=self._policy.stalled)
        except TransferError as error:
            log.info("shard %d of a host that leaves: %s", number, error)
            return
        await asyncio.to_thread(adopt, shard, folder, root, length)

    async def _rebuild(
        self, manifest: Manifest, missing: Sequence[int], sources: Sequence[Source], folder: Path
    ) -> None:
        staged = {
            number: folder / shard.root.hex()
            for number, shard in enumerate(manifest.shards)
            if (folder / shard.root.hex()).is_file()
        }
        incoming = folder / FETCHED
        with writing(incoming):
            made = len(missing) * room_of(manifest.shard_length)
            check_room((incoming, room_to_fetch(manifest, incoming, staged)), (folder, made))
            incoming.mkdir(exist_ok=True)
        usable = [source for source in sources if source.shard not in missing]
        bad: set[int] = set()
        while True:
            shards = await self._fetching.fetch(manifest, usable, incoming, have=staged, bad=bad)
            try:
                await asyncio.to_thread(rebuild, manifest, shards, missing, folder)
                break
            except BadShardError as error:
                if error.number in bad:
                    raise RestoreError(str(error)) from error
                log.info("%s: another one is fetched", error)
                bad.add(error.number)
        shutil.rmtree(incoming, ignore_errors=True)


def sources_of(rentals: Sequence[Rental], policy: Policy) -> list[Source]:
    """Where the shards of these contracts can be had; hosts that fell out are asked last."""
    return [
        Source(shard, rental.peers, rental.download_price, rank)
        for shard, hosts in read_order(rentals, policy).items()
        for rank, rental in enumerate(hosts)
    ]
