"""Whether a rail's chain answers: looked at on purpose, as contracts that run need it once in an epoch only."""

from __future__ import annotations

import logging

from node.ports.clock import Clock
from node.ports.renting import MarketError, MarketPort

log = logging.getLogger(__name__)

LOOK_EVERY = 30
"""Seconds between two looks while it answers; while it does not, every look is taken."""


class ChainHealth:
    """One per rail. `fault`: why the chain did not answer when it was last asked, or ""."""

    def __init__(self, rail: str, market: MarketPort, clock: Clock) -> None:
        self._rail = rail
        self._market = market
        self._clock = clock
        self._next = 0.0
        self.fault = ""

    @property
    def note(self) -> str:
        """What the user should know now, in one line, or ""."""
        if not self.fault:
            return ""
        return (
            f"the chain does not answer, contracts begin and end when it does; audits and restores go on: {self.fault}"
        )

    async def look(self) -> None:
        """Ask, if it is time to. Never raises."""
        if self._clock.now() < self._next:
            return
        fault = ""
        try:
            await self._market.chain_time()
        except MarketError as error:
            fault = str(error)
        if fault and not self.fault:
            log.warning("storage on %s: the chain does not answer: %s", self._rail, fault)
        elif self.fault and not fault:
            log.info("storage on %s: the chain answers again", self._rail)
        self.fault = fault
        self._next = 0.0 if fault else self._clock.now() + LOOK_EVERY
