"""What each counterparty did to us, and how far that carries. Local only: never sent, never taken from others.

Theory. Gossip about reputation can be forged, own experience cannot. Each counterparty, an address on a rail, has
tallies of good and bad deeds that fade with a half-life: bad luck is forgiven in time, and an old name is worth nothing
without recent deeds. The score is the share of good in all bytes, with a prior that stands for knowing nothing:

    score = 1000 x (good + PRIOR / 2) / (good + bad + PRIOR)

so a stranger has 500, and no short run of small trades reaches the ends. Bad deeds weigh far more than good ones (table
`WEIGHTS`), since one must not buy the right to cheat with cheap good conduct.

A bounced cheque is different: it is remembered as long as the record is, and bars the payer from paid service for
`BAR_SECONDS`, doubled with each further one, up to `MAX_BAR_DOUBLINGS`; a payer that makes it good is let in at once.

Decay runs in steps of a thirtieth of the half-life, counted from the epoch, in fixed point. The steps lie at the same
moments whoever looks, so it makes no difference how often a record is read.

The records live here, in memory; what has changed is handed out in batches (`changes`) for whoever makes it durable.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, astuple, dataclass, fields
from enum import StrEnum
from typing import NamedTuple

from wallet.address import Address
from wallet.amount import MIB

DAY = 86_400
HALF_LIFE = 30 * DAY
BAR_SECONDS = 7 * DAY
MAX_BAR_DOUBLINGS = 6
"""448 days at most."""

STEPS = 30
"""Per half-life: with the default, tallies fade once a day."""
SHIFT = 20
"""Tallies are kept in units of 2^-20: a single failed hash fades by steps too, instead of vanishing at the first."""
_BITS = 32
MAX_SCORE = 1000
NEUTRAL = 500
"""A stranger's score."""
PRIOR = 64 * MIB
"""Bytes of doubt: half of them count as good, half as bad."""
CAPACITY = 10_000
MAX_TALLY = 2**256 - 1


class Deed(StrEnum):
    """What is tallied, and its unit. Names of the fields of `Tallies`."""

    DELIVERED = "delivered"
    """Bytes it sent us that passed their hash."""
    BOUGHT = "bought"
    """Bytes of ours it has paid for."""
    PAID = "paid"
    """Units it has paid us: for people to read; the score counts bytes, since tokens differ."""
    FAILED = "failed"
    """Pieces with data of its that failed their hash."""
    BOUNCED = "bounced"
    """Cheques of its that bounced."""
    OVERCOUNTED = "overcounted"
    """Bytes it charged for and we never got."""
    UNPAID = "unpaid"
    """Bytes of ours that it took on credit and had not paid for when it was gone."""
    STOPS = "stops"
    """Trades it ended by breaking the protocol or its word."""


WEIGHTS: Mapping[Deed, int] = {
    Deed.FAILED: 4 * MIB,
    Deed.BOUNCED: 1024 * MIB,
    Deed.OVERCOUNTED: 64,
    Deed.UNPAID: 1,
    Deed.STOPS: MIB,
}
"""Bad deed → bytes of good conduct that one unit of it outweighs.

An unpaid byte weighs as one that was paid: connections break in honest hands too, and leave a rest.
"""


@dataclass(slots=True)
class Tallies:
    """Sums of deeds, faded; fixed point inside a record, whole numbers outside."""

    delivered: int = 0
    bought: int = 0
    paid: int = 0
    failed: int = 0
    bounced: int = 0
    overcounted: int = 0
    unpaid: int = 0
    stops: int = 0


@dataclass(slots=True)
class Record:
    """One counterparty. `tallies` are in units of 2^-20, `step` is that of the last decay; times are Unix seconds."""

    tallies: Tallies
    step: int
    met_at: int
    """When it last did something that was noted."""
    bounces: int = 0
    """Never fades."""
    barred_until: int = 0


class Key(NamedTuple):
    """A counterparty: its address on one rail."""

    rail: str
    address: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A record as it is kept: one row of plain fields, the same as in `Key`, `Tallies` and `Record`."""

    rail: str
    address: Address
    delivered: int
    bought: int
    paid: int
    failed: int
    bounced: int
    overcounted: int
    unpaid: int
    stops: int
    step: int
    met_at: int
    bounces: int
    barred_until: int


class Changes(NamedTuple):
    """What differs from what was handed out before: records as they are now, and those that were forgotten."""

    records: tuple[Snapshot, ...]
    forgotten: tuple[Key, ...]


def _root(power: int, degree: int) -> int:
    """The largest integer whose `degree`-th power is at most `power`."""
    low, high = 0, 1 << (power.bit_length() // degree + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**degree <= power else (low, middle)
    return low


_FACTOR = _root(1 << (_BITS * STEPS - 1), STEPS)
"""2^(-1/30) in units of 2^-32, rounded down."""


class Reputation:
    """Records of at most `capacity` counterparties. Times are Unix seconds and may repeat, or step back a little.

    When it is full, the one met least recently is forgotten, those whose cheques bounced last of all.
    """

    def __init__(self, *, half_life: int = HALF_LIFE, capacity: int = CAPACITY) -> None:
        if half_life < STEPS or capacity < 1:
            raise ValueError(f"reputation: need a half-life of at least {STEPS} seconds, and room for a record")
        self._step_seconds = half_life // STEPS
        self.capacity = capacity
        self._clean: OrderedDict[Key, Record] = OrderedDict()
        self._marked: OrderedDict[Key, Record] = OrderedDict()
        self._changed: dict[Key, None] = {}

    def __len__(self) -> int:
        return len(self._clean) + len(self._marked)

    def __iter__(self) -> Iterator[Key]:
        """Everybody who is remembered."""
        yield from (*self._clean, *self._marked)

    def note(self, key: Key, deed: Deed, amount: int, now: int) -> None:
        """`amount` more of `deed`. A bounced cheque is noted by `bounced`. Raises `ValueError` below 0."""
        if amount < 0 or deed is Deed.BOUNCED:
            raise ValueError("a deed is noted with an amount of at least 0, a bounce with `bounced`")
        self._add(self._record(key, now), deed, amount)

    def bounced(self, key: Key, now: int) -> int:
        """A cheque bounced: returns until when (Unix seconds) this payer gets no paid service."""
        record = self._record(key, now)
        self._add(record, Deed.BOUNCED, 1)
        doublings = min(record.bounces, MAX_BAR_DOUBLINGS)
        record.bounces += 1
        record.barred_until = max(record.barred_until, now + (BAR_SECONDS << doublings))
        self._marked[key] = record
        self._clean.pop(key, None)
        return record.barred_until

    def made_good(self, key: Key) -> None:
        """The bounced cheque was paid after all: the bar is lifted, the memory stays."""
        if record := self._find(key):
            record.barred_until = 0
            self._changed[key] = None

    def barred_until(self, key: Key, now: int) -> int | None:
        """Until when (Unix seconds) this payer may have no paid service; None: it may have it."""
        record = self._find(key)
        return record.barred_until if record is not None and now < record.barred_until else None

    def bounces(self, key: Key) -> int:
        """How many of its cheques bounced, ever (`wallet.solvency.Funds.bounces`)."""
        record = self._find(key)
        return record.bounces if record else 0

    def score(self, key: Key, now: int) -> int:
        """0 (never deal with it) to 1000; 500 for a stranger; 0 while barred."""
        record = self._find(key)
        if record is None:
            return NEUTRAL
        if now < record.barred_until:
            return 0
        self._decay(record, now)
        found = record.tallies
        good = found.delivered + found.bought
        bad: int = sum(getattr(found, deed) * weight for deed, weight in WEIGHTS.items())
        prior = PRIOR << SHIFT
        return MAX_SCORE * (2 * good + prior) // (2 * (good + bad + prior))

    def tallies(self, key: Key, now: int) -> Tallies:
        """The faded sums, rounded to the nearest whole number."""
        record = self._find(key)
        if record is None:
            return Tallies()
        self._decay(record, now)
        return Tallies(*((value + (1 << SHIFT - 1)) >> SHIFT for value in astuple(record.tallies)))

    def met_at(self, key: Key) -> int:
        """When it last did something that was noted, Unix seconds; 0 for a stranger."""
        record = self._find(key)
        return record.met_at if record else 0

    # --- what is kept ------------------------------------------------------------------------------------------------

    @property
    def changed(self) -> int:
        """How many records `changes` would tell of."""
        return len(self._changed)

    def changes(self) -> Changes:
        """What is new since the last call."""
        changed, self._changed = self._changed, {}
        records, forgotten = [], []
        for key in changed:
            record = self._find(key)
            if record is None:
                forgotten.append(key)
            else:
                kept = asdict(record.tallies) | {"step": record.step, "met_at": record.met_at}
                kept |= {"bounces": record.bounces, "barred_until": record.barred_until}
                records.append(Snapshot(rail=key.rail, address=key.address, **kept))
        return Changes(tuple(records), tuple(forgotten))

    def not_kept(self, changes: Changes) -> None:
        """These could not be made durable: the next `changes` has them again."""
        for key in (*(Key(record.rail, record.address) for record in changes.records), *changes.forgotten):
            self._changed[key] = None

    def restore(self, records: Iterable[Snapshot]) -> None:
        """Take over what `changes` gave, into an empty book; beyond its capacity, those met last.

        The half-life must be the one they were noted with, or the tallies fade at another pace.
        """
        for kept in sorted(records, key=lambda kept: kept.met_at):
            tallies = Tallies(**{field.name: getattr(kept, field.name) for field in fields(Tallies)})
            record = Record(tallies, kept.step, kept.met_at, kept.bounces, kept.barred_until)
            (self._marked if record.bounces else self._clean)[Key(kept.rail, kept.address)] = record
            self._make_room()

    # --- the parts ---------------------------------------------------------------------------------------------------

    @staticmethod
    def _add(record: Record, deed: Deed, amount: int) -> None:
        setattr(record.tallies, deed, min(getattr(record.tallies, deed) + (amount << SHIFT), MAX_TALLY))

    def _find(self, key: Key) -> Record | None:
        return self._marked.get(key) or self._clean.get(key)

    def _record(self, key: Key, now: int) -> Record:
        record = self._find(key)
        if record is None:
            record = self._clean[key] = Record(Tallies(), now // self._step_seconds, now)
            self._make_room()
        (self._marked if key in self._marked else self._clean).move_to_end(key)
        record.met_at = max(record.met_at, now)
        self._changed[key] = None
        self._decay(record, now)
        return record

    def _make_room(self) -> None:
        if len(self) > self.capacity:
            # The new one stands last, so among the clean only an older one can go before it.
            key, _ = (self._clean if len(self._clean) > 1 else self._marked).popitem(last=False)
            self._changed[key] = None

    def _decay(self, record: Record, now: int) -> None:
        step = now // self._step_seconds
        tallies = record.tallies
        for _ in range(step - record.step):
            if not any(astuple(tallies)):
                break
            for name in Deed:
                setattr(tallies, name, getattr(tallies, name) * _FACTOR >> _BITS)
        record.step = max(record.step, step)


def trusted_window(newcomer: int, limit: int, score: int) -> int:
    """The credit window (bytes) for a payer with `score`, of a history that allows `limit` bytes.

    A stranger's score or better has all of it; below, what exceeds a newcomer's share shrinks in proportion; 0: none.
    """
    if score <= 0:
        return 0
    return min(limit, newcomer + max(0, limit - newcomer) * min(score, NEUTRAL) // NEUTRAL)
