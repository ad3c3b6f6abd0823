"""Time as a devnet has it.

Storage contracts run by the chain's clock. Real chains keep the world's time to a few seconds, and who is asked for
theirs could lie, so on them the machine's clock is the only one. A devnet's clock can be moved on by hand, by days at
once; what follows contracts there has to move with it, or it would miss every epoch.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from node.ports.clock import Clock
from wallet.chains.base import Block, ChainError

log = logging.getLogger(__name__)

EVERY = 0.5
"""Seconds between two looks at a devnet's head."""


class Head(Protocol):
    """What of a `ChainAdapter` is asked."""

    async def head(self) -> Block: ...


class ChainTime:
    """The port `Clock`: the machine's, moved on to where the furthest of `chains` is. Never goes back."""

    def __init__(self, clock: Clock, chains: Sequence[Head] = ()) -> None:
        self._clock = clock
        self._chains = chains
        self._ahead = 0

    def now(self) -> float:
        """Moves on with the chain, too: what is due after so many seconds is due when they have passed there."""
        return self._clock.now() + self._ahead

    def wall(self) -> int:
        return self._clock.wall() + self._ahead

    def observe(self, timestamp: int) -> None:
        """A block of this Unix time exists."""
        self._ahead = max(self._ahead, timestamp - self._clock.wall())

    async def look(self) -> None:
        """Where the chains' heads are now. Before anything acts by this clock: a node that starts again on a chain that
        is days ahead would take itself back to before its contracts began."""
        for chain in self._chains:
            try:
                self.observe((await chain.head()).timestamp)
            except ChainError as error:
                log.debug("what time it is there: %s", error)

    async def follow(self) -> None:
        """Look again and again, until cancelled; returns at once where there is no chain to look at."""
        while self._chains:
            await self.look()
            await asyncio.sleep(EVERY)
