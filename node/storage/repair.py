"""Repair: when to make lost shards again, which ones, and from what.

Theory (Bhagwan et al. 2004, "lazy repair"). To make one shard again, k others are read, so doing it for each single
loss costs k times the loss in transfer. Losses are therefore collected until only a threshold of shards is good, and
then all are made from one reading. The threshold lies halfway between k, where the next loss destroys the object, and
n: hosts that fail together, or while a repair runs, have the other half to eat.

Urgency is what is left: the margin of good shards above k. A shard is good while its contract runs and audits pass;
suspect when audits fail that may be a line's fault; leaving when its host said when it goes; lost when its contract
ended or a wrong answer convicted the host. A leaving shard can still be read, so it is copied, not rebuilt, and counts
as good while there is time. A suspect one counts neither as good nor as lost: it brings the repair nearer, and is made
again only when the repair is urgent, because most suspects come back. One whose host asks to be relieved of it is
bound as before, so it counts as good; it is copied at once, since the host waits for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum

LEAVE_MARGIN = 2 * 86_400
"""Seconds before a host leaves from which its shard is copied: time for a slow line, and for a second try."""


class Health(StrEnum):
    """What is known of a shard."""

    GOOD = "good"
    SUSPECT = "suspect"
    LEAVING = "leaving"
    LOST = "lost"


class Urgency(IntEnum):
    """How soon to act."""

    NONE = 0
    COPY = 1
    """A host leaves: copy its shard before it does."""
    REPAIR = 2
    """At or below the threshold."""
    URGENT = 3
    """The margin is at most a quarter of what it was: suspects are made again as well, and price limits should give."""
    GONE = 4
    """Fewer than k shards can be read: only hosts that come back can help."""


@dataclass(frozen=True, slots=True)
class ShardState:
    """One shard, by its place in the list. `leaves`: Unix second when a leaving host goes; `price`: to read a MiB;
    `asked`: the host would like to go before."""

    health: Health
    leaves: int = 0
    price: int = 0
    asked: bool = False

    def readable(self, now: int) -> bool:
        """Whether its bytes can surely be fetched now."""
        return self.health is Health.GOOD or (self.health is Health.LEAVING and self.leaves > now)


@dataclass(frozen=True, slots=True)
class RepairPlan:
    """What to do. `rebuild`: shards to make from those in `read` (k, or none); `copy`: to fetch from leaving hosts."""

    urgency: Urgency
    rebuild: tuple[int, ...]
    copy: tuple[int, ...]
    read: tuple[int, ...]
    reason: str


def threshold(k: int, n: int) -> int:
    """Repair when this many shards are good, or fewer: halfway between k and n, rounded up, below n."""
    return min(n - 1, k + (n - k + 1) // 2)


def plan(k: int, n: int, shards: Sequence[ShardState], now: int) -> RepairPlan:
    """What an object with these n shards needs at Unix second `now`.

    Raises `ValueError` unless 1 ≤ k < n and there are n shards.
    """
    if not 1 <= k < n or len(shards) != n:
        raise ValueError(f"{len(shards)} shards of a code of {k} of {n}")
    readable = [place for place, shard in enumerate(shards) if shard.readable(now)]
    suspect = [place for place, shard in enumerate(shards) if shard.health is Health.SUSPECT]
    lost = [place for place in range(n) if place not in readable and place not in suspect]
    leaving = [
        place
        for place in readable
        if shards[place].health is Health.LEAVING
        and (shards[place].asked or shards[place].leaves - now <= LEAVE_MARGIN)
    ]
    good = len(readable)
    margin = good - k
    state = f"{good} of {n} shards are good, {k} are needed"
    if margin < 0:
        waiting = f", {len(suspect)} may come back" if suspect else ""
        return RepairPlan(Urgency.GONE, (), (), (), state + waiting)
    if good > threshold(k, n):
        urgency = Urgency.COPY if leaving else Urgency.NONE
        return RepairPlan(urgency, (), tuple(leaving), (), state)
    urgent = 4 * margin <= n - k
    rebuild = sorted(lost + suspect) if urgent else lost
    read = sorted(readable, key=lambda place: (shards[place].price, place))[:k] if rebuild else []
    # With nothing to rebuild yet (all that is missing is suspect), there is only to copy and to wait.
    calm = Urgency.COPY if leaving else Urgency.NONE
    urgency = (Urgency.URGENT if urgent else Urgency.REPAIR) if rebuild else calm
    return RepairPlan(urgency, tuple(rebuild), tuple(leaving), tuple(sorted(read)), state)
