"""Time as an argument."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Now:
    """One moment: `mono` in monotonic seconds for durations, `wall` in Unix seconds for what two machines agree on."""

    mono: float
    wall: int
