"""Bytes in stream order → debt.

Theory. Blocks and messages share one ordered stream, so a `clear` message marks the same byte on both sides. The stream
of one connection is thus cut into price periods, the same ones on both sides:

    debt = sum over periods of ceil(bytes of the period x price / 2^20)

`Meter` is that sum; seller and buyer run the same code over the same marks, so they agree to the byte. `Verifier`
stands beside the buyer's meter and says how much of the debt is payable: bytes whose piece has not passed its hash yet
are not payable *yet*, bytes of a piece that failed, or that nobody asked for, *never*.

A price that does not change opens no new period: one rounding per change of price, not per message.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from wallet.amount import cost

MAX_PERIODS = 256
"""Closed periods whose exact figures are still known, so that a receipt for an earlier mark can be checked."""


@dataclass(slots=True)
class Period:
    """A stretch of the stream with one price. `start` is a mark; the `*_before` totals cover everything earlier."""

    start: int
    price: int
    amount_before: int
    bytes_before: int
    unpayable: int = 0
    """Bytes of this period that are unverified or rejected (buyer only)."""
    length: int = 0
    """Bytes of this period so far."""

    @property
    def amount(self) -> int:
        return cost(self.length, self.price)

    @property
    def payable(self) -> int:
        return cost(self.length - self.unpayable, self.price)

    @property
    def payable_bytes(self) -> int:
        return self.length - self.unpayable if self.price else 0


@dataclass(frozen=True, slots=True)
class Account:
    """One connection's figures at one mark: priced bytes, and what they cost."""

    mark: int
    bytes: int
    amount: int


class Meter:
    """The debt of one connection in one direction. Marks never go back; a lower mark raises `ValueError`."""

    def __init__(self) -> None:
        self.mark = 0
        self._period = Period(0, 0, 0, 0)
        self._closed: deque[Period] = deque(maxlen=MAX_PERIODS)

    @property
    def price(self) -> int:
        """Units per MiB in force now."""
        return self._period.price

    @property
    def period(self) -> Period:
        return self._period

    @property
    def amount(self) -> int:
        """Units owed for everything up to `mark`."""
        return self._period.amount_before + self._period.amount

    @property
    def bytes(self) -> int:
        """Priced bytes up to `mark`."""
        period = self._period
        return period.bytes_before + (period.length if period.price else 0)

    def advance(self, mark: int) -> int:
        """Move to `mark`; return how much the debt grew."""
        if mark < self.mark:
            raise ValueError(f"mark went back from {self.mark} to {mark}")
        before = self._period.amount
        self._period.length += mark - self.mark
        self.mark = mark
        return self._period.amount - before

    def set_price(self, price: int, mark: int) -> int:
        """From `mark` on, a MiB costs `price`; return how much the debt grew by moving to `mark`."""
        grown = self.advance(mark)
        if price != self._period.price:
            amount, counted = self.amount, self.bytes
            self._closed.append(self._period)
            self._period = Period(mark, price, amount, counted)
        return grown

    def room(self, amount: int) -> int:
        """How many more bytes at the current price fit into a total debt of `amount`. Price must not be 0."""
        left = amount - self._period.amount_before
        return max(0, left * 2**20 // self._period.price - self._period.length)

    def at(self, mark: int) -> Account | None:
        """The account at an earlier mark, or None when it is ahead of the meter or further back than remembered."""
        if mark > self.mark:
            return None
        period = self._period
        if mark < period.start:
            for period in reversed(self._closed):
                if mark >= period.start:
                    break
            else:
                return None
        length = mark - period.start
        priced = length if period.price else 0
        return Account(mark, period.bytes_before + priced, period.amount_before + cost(length, period.price))


class Verifier:
    """How much of a buyer's debt is payable. Drive it with the same calls as its meter's `advance`.

    Memory is bounded by the pieces that have arrived in part.
    """

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._waiting: dict[int, list[tuple[Period, int]]] = {}
        self._settled = 0
        self._settled_bytes = 0
        self._open: list[Period] = [meter.period]
        self.rejected = 0
        """Bytes that failed their hash or that nobody asked for."""

    @property
    def payable(self) -> int:
        """Units: the part of the debt whose bytes are verified."""
        return self._settled + sum(period.payable for period in self._open)

    @property
    def payable_bytes(self) -> int:
        """Bytes behind `payable`: those that a price is due for and that are verified. Never falls."""
        return self._settled_bytes + sum(period.payable_bytes for period in self._open)

    @property
    def unverified(self) -> int:
        """Bytes, priced or not, that wait for their piece's hash."""
        return sum(length for parts in self._waiting.values() for _, length in parts)

    def received(self, piece: int, length: int, *, unrequested: int = 0, verified: bool = False) -> None:
        """`length` bytes of `piece` arrived in the meter's current period (the meter has advanced past them).

        `verified`: the piece had passed before (a duplicate we asked for ourselves): payable at once.
        """
        period = self._current()
        if unrequested:
            period.unpayable += unrequested
            self.rejected += unrequested
        waiting = length - unrequested
        if verified or not waiting:
            return
        period.unpayable += waiting
        parts = self._waiting.setdefault(piece, [])
        if parts and parts[-1][0] is period:
            waiting += parts.pop()[1]
        parts.append((period, waiting))

    def passed(self, piece: int) -> int:
        """The piece passed its hash: its bytes become payable. Returns how many there were."""
        parts = self._waiting.pop(piece, ())
        for period, length in parts:
            period.unpayable -= length
        self._collapse()
        return sum(length for _, length in parts)

    def failed(self, piece: int) -> int:
        """The piece failed: its bytes never become payable. Returns how many there were."""
        parts = self._waiting.pop(piece, ())
        lost = sum(length for _, length in parts)
        self.rejected += lost
        return lost

    def _current(self) -> Period:
        period = self._meter.period
        if self._open[-1] is not period:
            self._open.append(period)
        return period

    def _collapse(self) -> None:
        """Forget closed periods in which nothing waits any more."""
        if len(self._open) == 1 and self._open[0] is self._meter.period:
            return
        current = self._current()
        waiting = {id(period) for parts in self._waiting.values() for period, _ in parts}
        keep = []
        for period in self._open:
            if period is current or id(period) in waiting:
                keep.append(period)
            else:
                self._settled += period.payable
                self._settled_bytes += period.payable_bytes
        self._open = keep
