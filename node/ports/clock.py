"""Time as an argument, so that tests and simulations can hold it in their hands."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Time as an argument: `now` is monotonic seconds, `wall` is Unix time in whole seconds."""

    def now(self) -> float: ...

    def wall(self) -> int: ...
