"""Which process of a storage network dies when: a seeded schedule, and the hand that carries it out.

Theory. What matters about the moment of a kill is what the victim had made durable and what it had told others. So a
moment is named by the victim's own progress: it dies a few milliseconds after its files (database, staged and stored
shards) have changed for the nth time in this phase. Neither the machine's speed nor its load moves such a point out of
the phase. Who dies, after how many changes and how many milliseconds, comes from the seed; where within a millisecond
the kill lands does not, and need not: the promise is about every point.

Nobody who is killed stays away, but who was lost on purpose: all victims of a strike start again at once, and the phase
goes on until it has done its work and every strike of it has fallen.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from random import Random

from tests.e2e.stage import POLL, StageNode

DEADLINE = 240.0
"""Seconds for a phase to do its work once the last strike has fallen: an offer that came to nothing is made again after
a minute, and the machine may be busy."""
PATIENCE = 1.0
"""Seconds without the wanted progress after which a strike falls anyway: the victim may have nothing left to do."""
MOST_CHANGES, MOST_DELAY = 12, 0.15
RENTER = "renter"


class Phase(StrEnum):
    STORE = "store"
    AUDIT = "audit"
    RESTORE = "restore"
    FORGET = "forget"
    REPAIR = "repair"
    SETTLE = "settle"
    WITHDRAW = "withdraw"


@dataclass(frozen=True, slots=True)
class Strike:
    """These nodes die together, `delay` seconds after the first of them has changed its files `changes` times."""

    victims: tuple[str, ...]
    changes: int
    delay: float


def schedule(seed: int, hosts: Sequence[str], strikes: int) -> dict[Phase, tuple[Strike, ...]]:
    """So many strikes in each phase: half at the renter, the others at a host, some at several, or at all at once."""
    random = Random(seed)

    def one() -> Strike:
        victims = random.choice(
            (
                (RENTER,),
                (RENTER,),
                (random.choice(hosts),),
                (random.choice(hosts), RENTER),
                tuple(random.sample(hosts, 2)),
                (RENTER, *hosts),
            )
        )
        return Strike(victims, random.randint(1, MOST_CHANGES), random.uniform(0, MOST_DELAY))

    return {phase: tuple(one() for _ in range(strikes)) for phase in Phase}


class Footprint:
    """Counts how often a node's files have changed since the first look."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._last = self._state()
        self.changes = 0

    def look(self) -> int:
        state = self._state()
        self.changes += state != self._last
        self._last = state
        return self.changes

    def _state(self) -> tuple[tuple[str, int, int], ...]:
        found = []
        places = (self._home / name for name in ("node.db-wal", "renting", "disk"))
        for place in places:
            paths = (
                [place] if place.is_file() else [Path(at) / name for at, _, names in os.walk(place) for name in names]
            )
            for path in paths:
                try:
                    status = path.stat()
                except OSError:  # gone since we saw its name
                    continue
                found.append((str(path), status.st_size, status.st_mtime_ns))
        return tuple(found)


class Reaper:
    """Takes a network through its phases, and its nodes out of life and back. `kills`: how many so far."""

    def __init__(self, nodes: Sequence[StageNode], plan: dict[Phase, tuple[Strike, ...]]) -> None:
        self._nodes = {node.name: node for node in nodes}
        self._plan = plan
        self._gone: set[str] = set()
        self.kills = 0

    def through(self, phase: Phase, done: Callable[[], bool]) -> None:
        """Until `done`, and every strike of the phase has fallen. `done` is asked while all nodes are up, and may push
        things on."""
        for strike in self._plan[phase]:
            victims = [self._nodes[name] for name in strike.victims if name not in self._gone]
            if victims:
                self._await_moment(strike, victims[0], done)
                self.strike(victims)
        self.until(done, f"{phase} after the last strike")

    def until(self, done: Callable[[], bool], what: str) -> None:
        """Wait for it."""
        end = time.monotonic() + DEADLINE
        while not done():
            assert time.monotonic() < end, f"{what}: not within {DEADLINE:g} s"
            time.sleep(POLL)

    def strike(self, victims: Sequence[StageNode]) -> None:
        """Kill all, then start all."""
        for node in victims:
            node.kill()
        self.kills += len(victims)
        with ThreadPoolExecutor() as together:
            list(together.map(StageNode.start, victims))

    def lose(self, node: StageNode) -> None:
        """It is dead until `bring_back`."""
        node.kill()
        self._gone.add(node.name)

    def bring_back(self) -> None:
        """Who was lost starts again."""
        for name in self._gone:
            self._nodes[name].start()
        self._gone.clear()

    def _await_moment(self, strike: Strike, victim: StageNode, done: Callable[[], bool]) -> None:
        seen, end = Footprint(victim.home), time.monotonic() + PATIENCE
        while seen.look() < strike.changes and time.monotonic() < end and not done():
            time.sleep(POLL / 4)
        time.sleep(strike.delay)
