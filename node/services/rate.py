"""How often somebody may ask for what costs us questions to a chain, or signatures.

Each caller has an allowance of `burst` calls that grows by one every `every` seconds (the generic cell rate algorithm:
all there is to remember of a caller is when its allowance will be full again).
"""

from __future__ import annotations

from collections import OrderedDict

from node.ports.clock import Clock
from wallet.errors import WalletError

MAX_CALLERS = 1024
"""Callers that are remembered; the one that asked least lately is forgotten first."""


class TooOftenError(WalletError):
    """The caller asks too often."""

    hint = "wait some seconds"


class Rate:
    """Raises `ValueError` unless there is room for one call."""

    def __init__(self, clock: Clock, *, burst: int = 60, every: float = 1.0) -> None:
        if burst < 1 or every <= 0:
            raise ValueError("a rate allows at least one call, and time passes between two")
        self._clock = clock
        self._slack = (burst - 1) * every
        self._every = every
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def take(self, caller: str) -> None:
        """Count one call. Raises `TooOftenError` where none is left; that does not count."""
        now = self._clock.now()
        full_at = max(self._full_at.get(caller, now), now)
        if full_at - now > self._slack:
            raise TooOftenError(f"too many requests: one every {self._every:g} s is taken here")
        self._full_at[caller] = full_at + self._every
        self._full_at.move_to_end(caller)
        while len(self._full_at) > MAX_CALLERS:
            self._full_at.popitem(last=False)
