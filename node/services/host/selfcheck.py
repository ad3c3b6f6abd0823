"""The host reads its own shards before others ask for them, so that a sick disk is found by its owner first.

Each round reads some blocks at random, with their paths, as an audit would: of N blocks an hour, damage of one shard in
a hundred is found within a few hours. The reads are few and one after another, so that they cost the disk nothing that
anybody notices. What is damaged is told once, its volume takes nothing new, and its shard is served no more.
"""

from __future__ import annotations

import logging
from random import Random

from node.ports.volumes import VolumeError
from node.services.host.contracts import Contracts
from node.services.host.shards import DamagedError, Shards

log = logging.getLogger(__name__)

BLOCKS = 256
"""Read in one round: 4 MiB."""
EVERY = 3600.0


class SelfCheck:
    """One per rail."""

    def __init__(self, contracts: Contracts, shards: Shards, random: Random) -> None:
        self._contracts = contracts
        self._shards = shards
        self._random = random
        self.faults: dict[bytes, str] = {}
        """Root → why it could not be read at the latest look."""

    async def look(self, blocks: int = BLOCKS) -> int:
        """One round; returns how many blocks were right."""
        kept = [record.contract for record in self._contracts.live() if record.whole and not record.damaged]
        if not kept:
            return 0
        right, bad = 0, set()
        # By length, so that every block of the disk is as likely.
        for contract in self._random.choices(kept, weights=[each.blocks for each in kept], k=blocks):
            if contract.root in bad:
                continue
            try:
                await self._shards.prove(contract, (self._random.randrange(contract.blocks),))
                self.faults.pop(contract.root, None)
                right += 1
            except (VolumeError, DamagedError) as error:
                bad.add(contract.root)
                self.faults[contract.root] = str(error)
                log.error("self-check: %s", error)
        return right

    def forgive(self) -> None:
        """The disks were seen to, or are back: what could not be read is read again at the next look."""
        self.faults.clear()
