"""Whether the storage contracts that the settings name are ours: asked at start-up, and by `bttnode doctor`.

A wrong address costs nothing by itself: no money goes to a market that was not checked (`StorageMarket.ensure`). But
without this, its user would read of it only where something is stored or hosted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from wallet.chains.base import ChainError
from wallet.storage.chain import HostRegistry, StorageMarket

log = logging.getLogger(__name__)

AGAIN_AFTER = 30.0
"""Seconds until a chain that did not answer is asked again."""


@dataclass(frozen=True, slots=True)
class StorageContracts:
    """What the settings name on one rail."""

    rail: str
    market: StorageMarket | None
    registry: HostRegistry | None


async def check(contracts: StorageContracts) -> Sequence[str]:
    """What is wrong, each in one line with what to do; empty where nothing is.

    Raises `ChainError` where the chain cannot be asked now.
    """
    section, found = f"[rail.{contracts.rail}]", []
    pair = {"storage_market": contracts.market, "host_registry": contracts.registry}
    known = {name: contract for name, contract in pair.items() if contract is not None}
    for name, contract in known.items():
        try:
            await contract.check()
        except ChainError as error:
            if error.retry:
                raise
            found.append(f"{error}: correct {section} {name}; until then nothing is stored or hosted there")
    if len(known) == 1:
        (missing,) = pair.keys() - known
        found.append(f"{section} has no {missing}, and nothing can be stored there without: set it")
    return found


async def report(
    every: Sequence[StorageContracts],
    tell: Callable[[str], object],
    *,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> None:
    """Check all rails, each until its chain has answered once, and tell what is wrong."""

    async def one(contracts: StorageContracts) -> None:
        while True:
            try:
                for fault in await check(contracts):
                    log.error("%s", fault)
                    tell(fault)
            except ChainError as error:
                log.debug("storage contracts of %s: %s", contracts.rail, error)
                await sleep(AGAIN_AFTER)
            else:
                return

    await asyncio.gather(*map(one, every))
