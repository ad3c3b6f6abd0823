"""How fast we may upload: what the user said, or what the line has shown.

Theory. An auction needs a capacity, and a session limit below what the line can carry: above it the queue builds up in
the modem, where priorities mean nothing and the user's own traffic waits. The limit is found as TCP finds it, by
additive increase and multiplicative decrease (D. Chiu and R. Jain, 1989), with LEDBAT's sign of congestion (RFC 6817):
the *queueing delay*, a delay sample minus the smallest one of the last ten minutes. RFC 6817 allows a target of 100 ms;
`target_ms` is 60, as we want to leave before the user notices, and uTP's own controller aims at 100.

Each interval (1 s) one step, in this order:

1. queueing delay above the target → congested.
2. no delay samples, and twice running the line carried less than 7/8 of the limit while peers were waiting for more
   → congested: the limit no longer holds anything back, so the line does; a stall is the extreme case of it.
3. the limit was used (7/8 of it) → probe: the limit grows. Doubling per four steps until the first congestion, after it
   by 1/32 of the limit that failed, scaled down as the delay nears the target (LEDBAT's proportional gain).
4. otherwise nobody needed the limit: it proves nothing and stays (RFC 7661: what was not used is not validated).

Congested means: the limit falls to 7/8 of what the line carried, but halves at most. Neither sign is judged for
`SETTLE` intervals, so that the queue has drained before, and the limit does not grow for `PAUSE` intervals.
It rests *below* the line and touches it for a second or few once in a while, to see whether it has grown. A limit 1/8
above the one that failed shows that the line has changed, and doubling begins again.

Without delay samples the second sign alone speaks, and only when the peers could have taken more: the caller says so.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

INTERVAL = 1.0
"""Seconds per step."""
SETTLE = 3
"""Intervals after a decrease in which neither sign is judged."""
PAUSE = 60
"""Intervals without growth after a decrease."""
BASE_HISTORY = 10
"""Minutes over which the smallest delay is the line's own (RFC 6817, BASE_HISTORY)."""
MINUTE = 60.0

USED_NUM, USED_DEN = 7, 8
"""Part of the limit that counts as having used it; also the multiplicative decrease."""
STARVED = 2
"""Intervals running with peers waiting and the limit unused, until the line is held to be the cause."""
STARTUP_DIVISOR = 5
"""Growth per step before the first congestion: 1.2 to the fourth is 2.07."""
GROWTH_DIVISOR = 32
"""Growth per step after it, as a part of the limit that failed."""
CHANGED_DIVISOR = 8
"""How far above the limit that failed the line is held to be another one."""


@dataclass(frozen=True, slots=True)
class CapacityPolicy:
    """Rates in bytes per second. `configured` above 0 is the user's word, and nothing is measured."""

    configured: int = 0
    start: int = 128 * 1024
    floor: int = 32 * 1024
    ceiling: int = 1024 * 1024 * 1024
    target_ms: int = 60

    def __post_init__(self) -> None:
        if self.configured < 0 or not 0 < self.floor <= self.start <= self.ceiling or self.target_ms < 1:
            raise ValueError("capacity: need 0 < floor <= start <= ceiling, a target of 1 ms or more, nothing negative")


class Capacity:
    """Feed it once a second or more often; `limit` is what the session may upload in bytes per second.

    `congestions` counts the decreases, for the user's statistics.
    """

    def __init__(self, policy: CapacityPolicy) -> None:
        self.policy = policy
        self.limit = policy.configured or policy.start
        self.congestions = 0
        self._from: tuple[float, int] | None = None
        self._waiting = True
        self._delay: int | None = None
        self._base: deque[tuple[int, int]] = deque(maxlen=BASE_HISTORY)
        """(minute, smallest delay in it), oldest first."""
        self._failed: int | None = None
        """The limit that was last found to be too high."""
        self._settle = 0
        self._pause = 0
        self._starved = 0

    def observe(self, time: float, sent: int, delay_ms: int | None = None, *, waiting: bool = True) -> int:
        """Monotonic seconds, bytes sent in all, perhaps a delay sample; returns `limit`.

        `delay_ms`: one-way delay or round trip; only differences count, so clocks need no agreement. `waiting`: peers
        could have taken more than they got, all the time since the last call.
        """
        if self.policy.configured:
            return self.limit
        if delay_ms is not None:
            self._sample(time, delay_ms)
        self._waiting = self._waiting and waiting
        if self._from is None or time < self._from[0] or sent < self._from[1]:
            # The first call, or a counter that began again: there is no rate to judge yet.
            self._begin(time, sent)
        elif time - self._from[0] >= INTERVAL:
            self._step(int((sent - self._from[1]) / (time - self._from[0])))
            self._begin(time, sent)
        return self.limit

    @property
    def queueing_ms(self) -> int | None:
        """The queueing delay of this interval; None without samples."""
        if self._delay is None:
            return None
        return self._delay - min(delay for _, delay in self._base)

    def _begin(self, time: float, sent: int) -> None:
        self._from, self._waiting, self._delay = (time, sent), True, None

    def _sample(self, time: float, delay_ms: int) -> None:
        # The smallest of an interval: a single late packet is jitter, a queue delays all of them.
        self._delay = delay_ms if self._delay is None else min(self._delay, delay_ms)
        minute = int(time / MINUTE)
        while self._base and self._base[0][0] <= minute - BASE_HISTORY:
            self._base.popleft()
        if self._base and self._base[-1][0] == minute:
            delay_ms = min(delay_ms, self._base.pop()[1])
        self._base.append((minute, delay_ms))

    def _step(self, goodput: int) -> None:
        self._pause = max(0, self._pause - 1)
        queueing, used = self.queueing_ms, USED_DEN * goodput >= USED_NUM * self.limit
        if self._settle:
            self._settle -= 1
            return
        self._starved = self._starved + 1 if queueing is None and self._waiting and not used else 0
        if self._starved >= STARVED or (queueing is not None and queueing > self.policy.target_ms):
            self._back_off(goodput)
        elif used and not self._pause:
            self._probe(queueing or 0)

    def _back_off(self, goodput: int) -> None:
        self.congestions += 1
        self._failed = self.limit
        # A line that carried next to nothing (a stall, or an idle second behind somebody else's queue) does not say how
        # much it can carry: then the limit halves at most.
        carried = min(self.limit, max(goodput, self.limit * USED_DEN // (2 * USED_NUM)))
        self._set(carried * USED_NUM // USED_DEN)
        self._settle, self._pause, self._starved = SETTLE, PAUSE, 0

    def _probe(self, queueing: int) -> None:
        if self._failed is not None and self.limit > self._failed + self._failed // CHANGED_DIVISOR:
            self._failed = None
        step = self.limit // STARTUP_DIVISOR if self._failed is None else self._failed // GROWTH_DIVISOR
        target = self.policy.target_ms
        self._set(self.limit + step * (target - queueing) // target)

    def _set(self, limit: int) -> None:
        self.limit = min(self.policy.ceiling, max(self.policy.floor, limit))
