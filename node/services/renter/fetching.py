"""Shards back from their hosts: the cheapest first, several at once, the next one where one fails.

What to fetch is a race for k of n: as many downloads run as are still needed, and a shard whose hosts are all away, or
that turns out to be damaged, is replaced by the next best. A host that died cannot say so: when no download has ended
for a while, one more is begun besides, and the first k win. What was fetched stays in its folder, so that trying again
asks for the rest only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from node.ports.renting import ShardCarrier, TransferError
from node.services.renter.errors import RestoreError
from node.storage.manifest import Manifest

log = logging.getLogger(__name__)

AT_ONCE = 16
"""Downloads: each may hold buffers, and a line is full long before."""


HEDGE = 5.0
"""Seconds in which no download ends until one more is begun than is needed."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a shard can be had. `peers`: "IP:port"s of engines; `price`: units per MiB; `doubt`: 0 for a host in good
    standing, higher for others, which are asked later."""

    shard: int
    peers: tuple[str, ...]
    price: int
    doubt: int = 0


def order(sources: Sequence[Source], k: int) -> list[int]:
    """The shards that can be had, best first: without doubt, cheap, and data before parity (no arithmetic to do)."""
    best: dict[int, tuple[int, int, bool, int]] = {}
    for source in sources:
        rank = (source.doubt, source.price, source.shard >= k, source.shard)
        best[source.shard] = min(rank, best.get(source.shard, rank))
    return sorted(best, key=lambda shard: best[shard])


def room_to_fetch(manifest: Manifest, folder: Path, have: Collection[int]) -> int:
    """Bytes that the missing ones of k shards will take up in a folder, beyond what lies there of them."""
    there = 0
    for root in {shard.root for shard in manifest.shards}:
        with suppress(FileNotFoundError):
            # A download begins as a file with holes: its length says nothing.
            there += min((folder / root.hex()).stat().st_blocks * 512, manifest.shard_length)
    return max(0, (manifest.k - len(have)) * manifest.shard_length - there)


class Fetching:
    """Fetches any k shards of an object."""

    def __init__(self, carrier: ShardCarrier, *, stalled: float, hedge: float = HEDGE) -> None:
        self._carrier = carrier
        self._hedge = hedge
        self._stalled = stalled

    async def fetch(
        self,
        manifest: Manifest,
        sources: Sequence[Source],
        folder: Path,
        *,
        have: Mapping[int, Path] | None = None,
        bad: Collection[int] = (),
    ) -> dict[int, Path]:
        """k shard files by number, those of `have` among them; `bad` ones had been damaged and are not used.

        Raises `RestoreError` when fewer can be had.
        """
        found = {number: path for number, path in (have or {}).items() if number not in bad}
        wanted = manifest.k if manifest.shards else 0
        waiting = [number for number in order(sources, manifest.k) if number not in found and number not in bad]
        faults: list[str] = []
        roots = [shard.root for shard in manifest.shards]
        same = {root: [number for number, other in enumerate(roots) if other == root] for root in set(roots)}
        running: dict[asyncio.Task[Path], int] = {}
        spare = 0
        try:
            while len(found) < wanted:
                for number in [number for number in waiting if number not in found]:
                    if len(running) >= min(AT_ONCE, wanted - len(found) + spare):
                        break
                    # Equal shards (of zeros, or of one data shard) are one file: the first brings them all.
                    if roots[number] not in {roots[other] for other in running.values()}:
                        waiting.remove(number)
                        running[asyncio.create_task(self._one(manifest, number, sources, folder))] = number
                if not running:
                    why = f": {faults[-1]}" if faults else ""
                    raise RestoreError(f"{len(found)} of {wanted} shards can be had now{why}")
                done, _ = await asyncio.wait(running, timeout=self._hedge, return_when=asyncio.FIRST_COMPLETED)
                spare += not done
                for task in done:
                    number = running.pop(task)
                    try:
                        path = task.result()
                        found |= {other: path for other in same[roots[number]] if other not in bad}
                    except TransferError as error:
                        log.info("shard %d: %s", number, error)
                        faults.append(f"shard {number}: {error}")
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        return found

    async def _one(self, manifest: Manifest, number: int, sources: Sequence[Source], folder: Path) -> Path:
        peers = [peer for source in sorted(_of(sources, number), key=lambda each: each.doubt) for peer in source.peers]
        if not peers:
            raise TransferError("its host has not said where its engine is")
        root = manifest.shards[number].root
        return await self._carrier.fetch(root, manifest.shard_length, folder, peers, deadline=self._stalled)


def _of(sources: Sequence[Source], number: int) -> list[Source]:
    return [source for source in sources if source.shard == number]
