"""Whether a seller delivers what it is paid for: measured over the time in which we wait for it, and judged.

Theory. A seller that sets a price has promised service: the rate it granted, or where it granted none, some service.
Slowness is held against it only where nothing of ours can be the reason. Time counts while its price is in force, it
has blocks to send (or chokes us although it has what we want), and our debt is not what holds it back. And no more is
expected of it than our line has room for: the most it has carried lately, less what others send now; or half an even
share of what arrives, where the line seems full, since nobody keeps a working seller off a line altogether

    expected = min(granted, max(7/8 x line - others, arriving / senders / 2)) x time

so that several sellers who fill the line together, or one who grants more than the line takes, are never at fault, but
one who sends next to nothing is. The line's rate is learnt (`Line`); before that it is taken to be a slow one.

Bytes count as delivered when they arrive, since a large piece takes longer than a window; whoever withholds the last
block of each piece runs out of credit, and that excuse lasts `CREDIT_PATIENCE_MS`. Failed pieces are judged by the
whole connection. Nothing here decides what is paid: that is verified bytes, whatever the verdict.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from wallet.amount import MIB

MILLI = 1000
KIB = 1024

MIN_WINDOW_MS = 10_000
"""A seller is judged by at least this much time in which we waited for it,"""
LEAST_EXPECTED = 256 * KIB
"""and by so many bytes that were due in it: a small grant comes in few blocks."""
LEAST_DELIVERY = 250
"""Thousandths of what is expected below which a paid seller does not deliver."""
SILENCE_MS = 60_000
"""How long a paid seller may send nothing at all, if it granted no rate or one that is due by then."""
LONGEST_SILENCE_MS = 600_000
"""The same for any rate, however small."""
SILENT_BYTES = 64 * KIB
"""What must be due before silence is told from a small grant."""
LONGEST_STEP_MS = 5_000
"""What one look counts for at most: if we looked away for longer, we were busy, and no judge."""
CREDIT_PATIENCE_MS = 30_000
"""How long used-up credit excuses a seller: an honest one has ended its price by then."""
MOST_FAILED = 125
"""Thousandths of a seller's bytes that may fail their hash, beyond `FAILED_ALLOWANCE`."""
FAILED_ALLOWANCE = 4 * MIB
"""Failed bytes that are forgiven: in a piece with several senders, most of them are innocent."""

LINE_FLOOR = 128 * KIB
"""Bytes per second that any line is taken to carry."""
LINE_ROOM = (7, 8)
"""The part of the line's best rate that can be relied on."""
EVEN_SHARE = 2
"""On a full line, far peers get less than near ones: this part of an even share is still expected."""
LINE_STRETCH_MS = 60_000
LINE_STRETCHES = 5
"""The best rate of the last five minutes counts."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one seller did. `waited_ms`, `expected`, `delivered`: over a window; `silent_ms`: until now.

    `granted`: the rate in force, bytes per second, 0 = none. `received` and `failed`: bytes on the whole connection.
    """

    waited_ms: int
    expected: int
    delivered: int
    granted: int = 0
    silent_ms: int = 0
    received: int = 0
    failed: int = 0


def judge(delivery: Delivery) -> str | None:
    """Why to stop paying this seller, in one line; None: it does what it is paid for, or it is too early to tell."""
    if delivery.failed > FAILED_ALLOWANCE + delivery.received * MOST_FAILED // MILLI:
        return f"{delivery.failed} bytes with data of this seller failed their hash"
    if delivery.silent_ms >= _patience(delivery.granted):
        return f"the seller took the bid and sent nothing for {delivery.silent_ms // MILLI} s"
    enough = delivery.waited_ms >= MIN_WINDOW_MS and delivery.expected >= LEAST_EXPECTED
    if enough and delivery.delivered * MILLI < delivery.expected * LEAST_DELIVERY:
        seconds = delivery.waited_ms // MILLI
        return f"{delivery.expected} bytes were due in {seconds} s, the seller delivered {delivery.delivered}"
    return None


def _patience(granted: int) -> int:
    """Milliseconds of silence that are too much."""
    if not granted:
        return SILENCE_MS
    return min(LONGEST_SILENCE_MS, max(SILENCE_MS, SILENT_BYTES * MILLI // granted))


class Line:
    """What our own line carries: the best rate of the last minutes, within the user's limit (0: none)."""

    def __init__(self, limit: int = 0) -> None:
        self._limit = limit
        self._peaks: deque[tuple[int, int]] = deque(maxlen=LINE_STRETCHES)
        """Stretch of time and the best rate in it."""

    def observe(self, rate: int, at_ms: int) -> None:
        """All peers together sent so many bytes per second."""
        stretch = at_ms // LINE_STRETCH_MS
        if self._peaks and self._peaks[-1][0] == stretch:
            rate = max(rate, self._peaks.pop()[1])
        self._peaks.append((stretch, rate))

    def room(self, others: int, arriving: int, senders: int, at_ms: int) -> int:
        """Bytes per second that a seller could surely bring in, while others send this much.

        `arriving`: what `senders` peers of its kind send now, itself included.
        """
        return max(self._spare(others, at_ms), arriving // (EVEN_SHARE * max(1, senders)))

    def _spare(self, others: int, at_ms: int) -> int:
        oldest = at_ms // LINE_STRETCH_MS - LINE_STRETCHES
        best = max((rate for stretch, rate in self._peaks if stretch > oldest), default=0)
        carries = max(best, LINE_FLOOR)
        if self._limit:
            carries = min(carries, self._limit)
        part, whole = LINE_ROOM
        return max(0, carries * part // whole - others)


@dataclass(frozen=True, slots=True)
class Look:
    """One connection at one moment. `waiting`: a price is in force and the seller could send us something.

    `held_back`: our unpaid debt is about as large as the credit it gives. Marks and `failed` are bytes so far; rates
    bytes per second; `room` as `Line.room` has it.
    """

    at_ms: int
    received: int
    waiting: bool
    held_back: bool = False
    granted: int = 0
    room: int = 0
    failed: int = 0


class Watch:
    """One paid connection, looked at about once a second."""

    def __init__(self, first: Look) -> None:
        self._last = first
        self._waited = self._expected = self._delivered = 0
        self._silent = self._held_back = 0

    def look(self, now: Look) -> str | None:
        """The verdict of `judge` on what is known now."""
        last, self._last = self._last, now
        passed, got = now.at_ms - last.at_ms, now.received - last.received
        self._delivered += got
        if got:
            self._silent = 0
        self._held_back = self._held_back + passed if now.held_back and not got else 0
        excused = now.held_back and self._held_back < CREDIT_PATIENCE_MS
        if last.waiting and now.waiting and not excused:
            room = min(last.room, now.room)
            granted = min(last.granted, now.granted)
            counted = min(passed, LONGEST_STEP_MS)
            self._waited += counted
            self._expected += min(granted, room) * counted // MILLI
            if not got and room:
                self._silent += counted
        verdict = judge(
            Delivery(
                waited_ms=self._waited,
                expected=self._expected,
                delivered=self._delivered,
                granted=now.granted,
                silent_ms=self._silent,
                received=now.received,
                failed=now.failed,
            )
        )
        if self._waited >= MIN_WINDOW_MS and self._expected >= LEAST_EXPECTED:
            self._waited = self._expected = self._delivered = 0
        return verdict
