"""The clocks of the local chains, moved on together: what takes a day of a contract's term takes seconds here.

Renters audit at a moment of each epoch that nobody else knows, but leave a host two minutes for its answer. So shortly
before an epoch ends all of its audits have fallen due, and that is where the clocks are moved to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from node.demo.rails import DemoRail

BEFORE = 110
"""Seconds before its end at which all audits of an epoch have fallen due."""
NEAR = 45
"""Seconds by which moments may lie apart and be reached with one move of the clocks."""


@dataclass(slots=True)
class Clocks:
    """Of several chains that began together. `moved`: seconds, so far."""

    rails: Sequence[DemoRail]
    moved: int = 0

    def now(self) -> int:
        """Unix seconds; of the chain that is ahead."""
        return max(rail.time() for rail in self.rails)

    def move(self, seconds: int) -> None:
        for rail in self.rails:
            rail.warp(seconds)
        self.moved += seconds

    def reach(self, moment: int) -> None:
        """Unix second; nothing happens where it has passed."""
        if (ahead := moment - self.now()) > 0:
            self.move(ahead)


def next_audits(terms: Mapping[str, int], epoch: int, now: int) -> list[tuple[int, list[str]]]:
    """(moment at which the audits of these contracts have fallen due, contracts), the earliest first: of the epochs of
    `epoch` seconds that end next. What has fallen due at `now` is over.

    `terms`: contract → end of its term in Unix seconds, a whole number of epochs after its start. One that has not
    begun is taken as if it had.
    """
    groups: list[tuple[int, list[str]]] = []
    first = 0
    for due, name in sorted(
        (end - BEFORE - max(0, end - BEFORE - NEAR - now) // epoch * epoch, name) for name, end in terms.items()
    ):
        if groups and due - first <= NEAR:
            groups[-1] = (due, [*groups[-1][1], name])
        else:
            first = due
            groups.append((due, [name]))
    return groups
