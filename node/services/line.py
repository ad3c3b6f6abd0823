"""The line's capacity as the market sees it: the user's figure, or one that is measured and set in the engine.

    bytes sent, peers waiting ──▶ speed.capacity ──▶ limit ──▶ the engine's upload limit, the auction's capacity

libtorrent tells no delays, so the core's second sign of congestion speaks alone: peers wait, and the line carries less
than the limit. The market says who waits: a peer that takes part in the division of the line, has not shown to be
slower than its part, and is not held up by its credit. This cannot tell a slow line from slow peers at first sight:
with a few slow peers alone, the limit rests below what they take for a minute at a time, and grows again when used.
"""

from __future__ import annotations

from node.ports.clock import Clock
from node.ports.engine import Engine
from node.speed.capacity import Capacity, CapacityPolicy


class Line:
    """One per node. `limit`: bytes per second that may be uploaded, 0 = unlimited; `measured`: it changes by itself."""

    def __init__(self, configured: int | None, *, engine: Engine, clock: Clock, download_limit: int = 0) -> None:
        """`configured`: None = measure. `download_limit`: set along with ours, since the engine takes both at once."""
        self.measured = configured is None
        self._limit = configured or 0
        self._engine = engine
        self._clock = clock
        self._download_limit = download_limit
        self._capacity = Capacity(CapacityPolicy()) if configured is None else None

    @property
    def limit(self) -> int:
        return self._capacity.limit if self._capacity is not None else self._limit

    @property
    def congestions(self) -> int:
        """How often the limit was found to be too high."""
        return self._capacity.congestions if self._capacity is not None else 0

    async def observe(self, sent: int, *, waiting: bool) -> None:
        """Once a second. `sent`: block bytes in all; `waiting`: some peer waited all the time since the last call."""
        if self._capacity is None:
            return
        before = self._capacity.limit
        if self._capacity.observe(self._clock.now(), sent, waiting=waiting) != before:
            await self._engine.set_limits(upload=self._capacity.limit, download=self._download_limit)
