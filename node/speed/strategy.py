"""How much to bid on one connection: the user's aim turned into a price and a wanted rate.

Theory. Under a uniform price the bid decides *whether* one is served, the others' bids decide what it costs. So a
strategy need not guess prices; it only has to say how much the data is worth to the user at this moment:

* `whitepaper`: spending rate x remaining balance / remaining size, the automatic bid of the BitTorrent Speed white
  paper (v0.8.7). It bids more towards the end if money is left over, and less if it is running out.
* `deadline`: the download follows a straight line that ends at 7/8 of the time (`Schedule`). On or before the line it
  offers the reserve and asks for no more rate than the line needs; behind it, the price rises in proportion to the
  lag, and reaches the user's highest price at a lag of 1/8 of the download, or when the line has ended. If that price
  buys 8/7 of the average rate (and a little for the seller's rounds), the rest fits into the last eighth of the time.
  No memory, so nothing can wind up: being late is the only reason to pay more.
* `cheapest`: the reserve, never more. `off`: nothing.

Whatever a strategy says is cut to the user's limits afterwards, in one place (`quote`). Prices are units per MiB,
rates bytes per second, 0 = no bound, times milliseconds of a monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from node.speed.bidder import NoBid
from wallet.amount import MIB

SPENDING_RATE = 500
"""Default of the white paper's spending rate, in thousandths: half of the balance goes to what is left of a download,
so that the next one, or a dearer end, still finds money. A price that never varies would spend 1 - e^(-1/2) = 39 %."""

RENEW_PERCENT = 10
"""A bid is renewed when it moves by this much (white paper: more than 10 %; here: from 10 % on)."""

MILLI = 1000
TARGET = (7, 8)
"""The part of the time after which `deadline` wants to be done; what is missing is its leeway."""


class Strategy(StrEnum):
    """What the user wants, by the name of the setting."""

    WHITEPAPER = "whitepaper"
    DEADLINE = "deadline"
    CHEAPEST = "cheapest"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Schedule:
    """`size` bytes shall arrive between two moments. Raises `ValueError` without time or size."""

    size: int
    start_ms: int
    deadline_ms: int

    def __post_init__(self) -> None:
        if self.size < 1 or self.deadline_ms <= self.start_ms:
            raise ValueError("a schedule needs at least a byte and a deadline after its start")

    @property
    def target_ms(self) -> int:
        """The moment the line ends: before the deadline by an eighth of the time."""
        part, whole = TARGET
        return self.start_ms + max(1, (self.deadline_ms - self.start_ms) * part // whole)

    @property
    def leeway(self) -> int:
        """Bytes behind the line at which the user's highest price is due."""
        part, whole = TARGET
        return max(1, self.size * (whole - part) // whole)

    def lag(self, remaining: int, now_ms: int) -> int:
        """Bytes behind the line; negative: ahead of it."""
        span = self.target_ms - self.start_ms
        elapsed = min(span, max(0, now_ms - self.start_ms))
        return self.size * elapsed // span - (self.size - remaining)

    def rate(self, remaining: int, now_ms: int) -> int:
        """Bytes per second that end on the line's end; 0 (no bound) once the line has ended."""
        left = self.target_ms - now_ms
        return -(-remaining * MILLI // left) if left > 0 else 0


@dataclass(frozen=True, slots=True)
class Aim:
    """What the user set for a download. `deadline` needs a `schedule`. Raises `ValueError` otherwise."""

    strategy: Strategy
    max_price: int
    schedule: Schedule | None = None
    spending_rate: int = SPENDING_RATE

    def __post_init__(self) -> None:
        if self.strategy is Strategy.DEADLINE and self.schedule is None:
            raise ValueError("the deadline strategy needs a deadline: --deadline 20m")
        if self.max_price < 0 or not 0 <= self.spending_rate <= MILLI:
            raise ValueError("a highest price is at least 0, a spending rate 0 to 1000 thousandths")


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the download stands: bytes missing, units that may still go to it, and the rate that comes for nothing."""

    remaining: int
    balance: int
    now_ms: int
    free_rate: int = 0


@dataclass(frozen=True, slots=True)
class Terms:
    """What is known of one seller: its reserve, its last clearing price, and the rate it delivered at that price.

    `share` is its part of the wanted rate in thousandths (see `node.speed.preference`).
    """

    reserve: int
    cleared: int = 0
    delivered: int = 0
    share: int = MILLI


@dataclass(frozen=True, slots=True)
class Quote:
    """A bid to make: highest price per MiB, wanted rate (0: all there is), and whole cost (None: no such bound)."""

    price: int
    rate: int
    ceiling: int | None


def quote(aim: Aim, progress: Progress, terms: Terms, *, used: int = 0, slice_left: int | None = None) -> Quote | NoBid:
    """The bid on a connection that has cost `used` so far and may cost `slice_left` more (None: no bound).

    `slice_left` is what `bidder.Purse` or `preference.divide` gave to this connection.
    """
    if aim.strategy is Strategy.OFF or aim.max_price == 0:
        return NoBid("buying is switched off for this torrent", final=True)
    if terms.reserve > aim.max_price:
        text = f"the seller's reserve of {terms.reserve} per MiB is above your highest price of {aim.max_price}"
        return NoBid(text, final=True)
    if progress.remaining <= 0:
        return NoBid("nothing is missing", final=False)
    if progress.balance <= 0 or (slice_left is not None and slice_left <= 0):
        return NoBid("the budget is used up", final=False)
    wish = _WISHES[aim.strategy](aim, progress, terms)
    if isinstance(wish, NoBid):
        return wish
    price, rate = wish
    left = progress.balance if slice_left is None else min(slice_left, progress.balance)
    return Quote(min(price, aim.max_price), rate, None if slice_left is None else used + left)


def worth_renewing(old: Quote, new: Quote, *, max_price: int, until: int, now: int, margin: int) -> bool:
    """Whether `new` should replace the bid that is out. Unix seconds: valid `until`, `margin` ahead of it is time.

    Any step below a limit the user has lowered counts, however small.
    """
    if now + margin >= until or old.price > max_price:
        return True
    if new.ceiling is not None and (old.ceiling is None or new.ceiling < old.ceiling):
        return True
    return _moved(old.price, new.price) or _moved(old.rate, new.rate)


def _moved(old: int, new: int) -> bool:
    return old != new and abs(new - old) * 100 >= old * RENEW_PERCENT


def _whitepaper(aim: Aim, progress: Progress, terms: Terms) -> tuple[int, int] | NoBid:
    price = aim.spending_rate * progress.balance * MIB // (MILLI * progress.remaining)
    if price < terms.reserve:
        text = f"your balance spread over what is missing pays {price} per MiB, the seller's reserve is {terms.reserve}"
        return NoBid(f"{text}: raise the budget or the spending rate", final=False)
    return price, 0


def _deadline(aim: Aim, progress: Progress, terms: Terms) -> tuple[int, int] | NoBid:
    schedule = aim.schedule
    if schedule is None:  # `Aim` does not let this happen; said for the type checker
        raise ValueError("the deadline strategy needs a schedule")
    lag = schedule.lag(progress.remaining, progress.now_ms)
    needed = schedule.rate(progress.remaining, progress.now_ms)
    if lag <= 0 and needed <= progress.free_rate:
        return NoBid("free service is fast enough for the deadline", final=False)
    # Past the line's end nothing would grow the lag any further: whatever is still missing is late.
    behind = schedule.leeway if progress.now_ms >= schedule.target_ms else min(max(0, lag), schedule.leeway)
    price = terms.reserve + -(-(aim.max_price - terms.reserve) * behind // schedule.leeway)
    if 2 * behind >= schedule.leeway:
        return price, 0  # late: whoever has more to give shall give it
    missing = max(1, needed - progress.free_rate)
    rate = max(1, -(-missing * terms.share // MILLI))
    if behind and terms.cleared and terms.delivered < rate:
        # Served, yet too slowly: others hold the rest of this seller at about its clearing price.
        price = max(price, terms.cleared + -(-terms.cleared * RENEW_PERCENT // 100))
    return price, rate


def _cheapest(aim: Aim, progress: Progress, terms: Terms) -> tuple[int, int] | NoBid:
    return terms.reserve, 0


_WISHES = {
    Strategy.WHITEPAPER: _whitepaper,
    Strategy.DEADLINE: _deadline,
    Strategy.CHEAPEST: _cheapest,
}
