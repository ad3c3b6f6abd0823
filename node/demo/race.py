"""The race: two equal leechers, one of which pays, on a seeder whose line is too small for both.

Theory. The line carries `capacity` and is never idle while somebody wants data, so both files are through after
2·size/capacity, whoever pays: that is when the free leecher has its copy, and when both would have it if nobody paid.
The payer is served from what is for sale, all but the free share, so it can be done after size/(capacity·(1 - share)).
Two leechers and a free share of 20 % thus allow a payer to be 2·(1 - 0.2) = 1.6 times sooner, at no loss to the other.
A payer falls short of that by what it takes to meet the seller and to win its first auction. In a larger crowd there is
more to overtake, and no such bound.

The leechers know nobody but the seeder, else they would also serve each other: the seeder's line alone decides.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from node.demo.processes import DemoError, Node

SIZE, SEED = 84 << 20, 53
"""Bytes of the file that is made up for the race, whatever else is sold: about nine seconds for two copies."""
CAPACITY = 20_000_000
"""The seeder's line in bytes per second: well below what any machine can do, so that nothing but the line is scarce."""
FREE_SHARE = 0.2
"""The seeder keeps the default of `speed.free_percent`."""
POLL = 0.1
TIMEOUT = 1800.0

Sample = tuple[float, int]
"""Seconds since the start, and bytes there by then."""


@dataclass(slots=True)
class Lane:
    """One leecher in a race. `seconds`: when it had the whole file, None: not yet. `spent`: units paid so far, for
    `bought` bytes; the rest came for free."""

    name: str
    pays: bool
    size: int
    samples: list[Sample] = field(default_factory=lambda: [(0.0, 0)])
    seconds: float | None = None
    spent: int = 0
    bought: int = 0

    def take(self, at: float, done: int, *, complete: bool) -> None:
        """Note where the leecher is; nothing changes once it is complete."""
        if self.seconds is not None:
            return
        self.samples.append((at, done))
        if complete:
            self.seconds = at

    def rates(self, step: float, over: float = 0.0) -> list[float]:
        """Bytes per second at the end of each `step` seconds, the last of which may be shorter: means of the `over`
        seconds before, or of the step itself where that is longer."""
        end = self.samples[-1][0]
        edges = [number * step for number in range(1, int(end / step) + 1)]
        if end - len(edges) * step > step / 4:  # a shorter rest would show the coarseness of the samples, not a rate
            edges.append(end)
        begins = [max(0.0, edge - max(over, edge - number * step)) for number, edge in enumerate(edges)]
        counts = zip(_interpolated(self.samples, begins), _interpolated(self.samples, edges), strict=True)
        return [(after - before) / (b - a) for a, b, (before, after) in zip(begins, edges, counts, strict=True)]


def _interpolated(samples: Sequence[Sample], times: Sequence[float]) -> list[float]:
    """Bytes at each of `times` (ascending, none after the last sample), linear between samples."""
    found: list[float] = []
    index = 1
    for at in times:
        while index < len(samples) - 1 and samples[index][0] < at:
            index += 1
        if len(samples) == 1:
            found.append(float(samples[0][1]))
            continue
        (start, before), (end, after) = samples[index - 1], samples[index]
        part = min(1.0, (at - start) / (end - start)) if end > start else 1.0
        found.append(before + part * (after - before))
    return found


@dataclass(frozen=True, slots=True)
class Race:
    """A race on one rail. `capacity` in bytes per second."""

    rail: str
    payer: Lane
    free: Lane
    size: int
    capacity: int

    @property
    def lanes(self) -> tuple[Lane, Lane]:
        return self.payer, self.free

    @property
    def over(self) -> bool:
        return all(lane.seconds is not None for lane in self.lanes)

    @property
    def factor(self) -> float:
        """How many times sooner the payer was done. Raises `ValueError` before the end."""
        if self.payer.seconds is None or self.free.seconds is None:
            raise ValueError("the race is not over")
        return self.free.seconds / self.payer.seconds

    @property
    def bound(self) -> float:
        """The largest factor that a seeder which keeps the free share allows among two."""
        return 2 * (1 - FREE_SHARE)

    @property
    def verdict(self) -> str:
        """One line. A difference within a twentieth is none: so much do two runs of the same differ."""
        if self.factor >= 1.05:
            return f"{self.payer.name} was done {self.factor:.2f} times sooner than {self.free.name}"
        if self.factor <= 1 / 1.05:
            return f"{self.free.name} was done first: paying {self.payer.name} nothing"
        return f"{self.payer.name} and {self.free.name} were done together: not the line but something else was scarce"

    def report(self) -> dict[str, Any]:
        return {
            "rail": self.rail,
            "bytes": self.size,
            "capacity": self.capacity,
            "factor": round(self.factor, 3),
            "bound": self.bound,
            "lanes": [
                {
                    "name": lane.name,
                    "pays": lane.pays,
                    "spent": str(lane.spent),
                    "bought": lane.bought,
                    "seconds": lane.seconds,
                    "bytes_per_second": [round(rate) for rate in lane.rates(1.0)],
                }
                for lane in self.lanes
            ],
        }


class View(Protocol):
    """Whoever looks on."""

    def show(self, race: Race) -> None: ...


def follow(race: Race, nodes: tuple[Node, Node], torrent: str, view: View, check: Callable[[], None]) -> None:
    """Watch until both leechers have the file. `nodes`: the payer and the free peer.

    `check` raises when a process has died. Raises `DemoError`.
    """
    started = time.monotonic()
    while not race.over:
        for lane, node in zip(race.lanes, nodes, strict=True):
            check()
            if lane.seconds is not None:
                continue
            found = node.call("GET", f"/v1/torrents/{torrent}")
            if found["state"] == "error":
                raise DemoError(f"{lane.name}: {found['error']}")
            lane.spent = int(found["spent"])
            at = round(time.monotonic() - started, 3)
            lane.take(at, int(found["done_bytes"]), complete=found["state"] == "seeding")
        view.show(race)
        if time.monotonic() - started > TIMEOUT:
            raise DemoError(f"not complete after {TIMEOUT:g} s")
        time.sleep(POLL)
