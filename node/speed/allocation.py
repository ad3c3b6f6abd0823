"""A round's result → what the engine is told about each peer.

Theory. libtorrent hands out the session's upload limit in small quanta, to the peers that wait for one, in proportion
to their priorities (1 to 255). It is weighted fair queueing: a peer's share is its weight divided by the sum of the
weights *of those that wait*, and whoever does not wait leaves its part to the others at once. A limit is exact
but wastes what its peer leaves. So shares are weights here, proportional to the target rates, and a limit is used for
one thing only: a buyer that asked for a rate is never sold more, however idle the line is.

Weights are relative, so the free peers' weights have to add up too: the free share divided by the free peers served
*now*. All free peers get the same weight, also those that are choked, because libtorrent's choker looks at priority
first: a choked peer with a smaller weight would never have its turn. Payers are reserved, they never take an unchoke
slot from the free peers; the optimistic slot stays what it is and is never sold.

Nothing stays idle while somebody wants it:

1. What buyers leave, and what was not sold, is added to the free share, divided by water-filling: a peer that cannot
   take its part leaves it to the other free ones.
2. What the free peers leave goes to the buyers in proportion to their grants, at their price, up to what they wanted.

A buyer that is slow keeps the weight of its whole grant. It costs nothing, since it waits for no quantum, and when it
speeds up it has its share back within one quantum. The free peers' weight alone is raised to what the buyers leave.

Weights are small integers, and a call per peer and second is not free: a scale is sought at which all weights are
nearly integers, and kept, as are single weights, while they are right within `TOLERANCE`. The sum of the weights may be
off by as much, so a share is right within twice that. A share smaller than 1/255 of the largest gets more than its
target: at most one unit of weight.

Rates are integers in bytes per second.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Generic, NamedTuple, TypeVar

from node.speed.lag import OWED_DIVISOR

K = TypeVar("K", bound=Hashable)

MILLI, PPM, PPB = 10**3, 10**6, 10**9

MAX_WEIGHT = 255
"""libtorrent's largest peer-class priority."""
TOP_WEIGHT = 208
"""Largest weight of a new scale: room for the largest share to grow, and for what it is owed, before all weights must
be told again."""
LOW_WEIGHT = 64
"""When the largest weight falls below this, rounding has become too coarse and the scale is sought again."""
TOLERANCE = PPM // 128
"""Relative error of a weight that is worth no call, in parts per million."""
COARSEST = 16
"""How many of the smallest distinct shares decide on the scale: rounding hurts them most. Bounds the search."""

OVERHEAD_DIVISOR = 16
"""A limit counts protocol and IP headers beside the blocks, so it stands 1/16 above the rate of blocks it is for."""


@dataclass(frozen=True, slots=True)
class FreeShare:
    """What is never sold: `permille` of the capacity, and at least `optimistic` bytes per second, one slot's worth."""

    permille: int = 200
    optimistic: int = 16 * 1024

    def __post_init__(self) -> None:
        if not 0 <= self.permille <= MILLI or self.optimistic < 1:
            raise ValueError("free share: need 0 <= permille <= 1000 and a rate above 0 for the optimistic slot")

    def of(self, capacity: int) -> int:
        """Bytes per second kept for the free peers."""
        return min(capacity, max(capacity * self.permille // MILLI, self.optimistic))

    def for_sale(self, capacity: int) -> int:
        """Bytes per second an auction may sell."""
        return capacity - self.of(capacity)


@dataclass(frozen=True, slots=True)
class Policy:
    """How blocks go to one peer; the fields of the engine port's `UploadPolicy`, and the same defaults."""

    priority: int = 1
    limit: int = 0
    reserved: bool = False


@dataclass(frozen=True, slots=True)
class Peer(Generic[K]):
    """One connected peer. `granted`: its award in the round; 0 = a free peer (no bid, or a bid that lost).

    `wanted`: the rate it bid for, 0 = as much as it can get. `usable`: what it has shown to be able to take (`Usage`),
    None = everything, as far as we know. `active`: it is unchoked and interested, so it takes part in the division.
    `owed`: bytes per second its weight is to be for above its rate, or below it (`node.speed.lag`).
    """

    key: K
    granted: int = 0
    wanted: int = 0
    usable: int | None = None
    active: bool = True
    owed: int = 0


@dataclass(frozen=True, slots=True)
class Allocation(Generic[K]):
    """`targets`: expected bytes per second of every peer. `changes`: policies the engine has not been told yet."""

    targets: Mapping[K, int]
    changes: Mapping[K, Policy]


class Allocator(Generic[K]):
    """Remembers what the engine was told. Call `update` each round, and at once when a bid or a peer changes."""

    def __init__(self) -> None:
        self._told: dict[K, Policy] = {}
        self._scale: _Scale | None = None

    def update(self, capacity: int, peers: Sequence[Peer[K]]) -> Allocation[K]:
        """Divide `capacity` among `peers` (all connected ones; who is missing is gone).

        Raises `ValueError` when more was granted than there is, or a key stands twice.
        """
        if len({peer.key for peer in peers}) != len(peers):
            raise ValueError("an allocation takes each peer once")
        targets, free_level = divide(capacity, peers)
        if any(peer.granted for peer in peers):
            policies = self._policies(peers, capacity, free_level)
        else:
            # Nobody pays: the engine is left to itself, so that an ordinary swarm stays ordinary.
            self._scale = None
            policies = {peer.key: Policy() for peer in peers}
        ordinary = Policy()
        changes = {
            key: policy
            for key, policy in policies.items()
            if (told := self._told.get(key, ordinary)) is not policy and told != policy
        }
        self._told = policies
        return Allocation(MappingProxyType(targets), MappingProxyType(changes))

    def _policies(self, peers: Sequence[Peer[K]], capacity: int, free_level: int) -> dict[K, Policy]:
        # What peers are owed moves a little each round: it moves single weights, but not the scale of all of them.
        shares = [(peer.granted or free_level) * PPB // max(1, capacity) for peer in peers]
        self._scale = scale = _choose_scale(self._scale, shares)
        policies = {}
        for peer in peers:
            share, told = _claim(peer, free_level) * PPB // max(1, capacity), self._told.get(peer.key)
            weight = _weight(share, scale)
            if told is not None and _error(told.priority, share, scale) <= TOLERANCE:
                weight = told.priority
            limit = peer.wanted + -(-peer.wanted // OVERHEAD_DIVISOR) if peer.granted else 0
            reserved = peer.granted > 0
            if told is None or (told.priority, told.limit, told.reserved) != (weight, limit, reserved):
                told = Policy(weight, limit, reserved)
            policies[peer.key] = told
        return policies


def divide(capacity: int, peers: Sequence[Peer[K]]) -> tuple[dict[K, int], int]:
    """What each peer should get, and the rate of a free peer that takes all it is given; work-conserving both ways.

    Raises `ValueError` when more was granted than `capacity`.
    """
    if capacity < 0 or sum(peer.granted for peer in peers) > capacity:
        raise ValueError("an allocation cannot grant more than the capacity")
    targets = {peer.key: 0 for peer in peers}
    buyers = [peer for peer in peers if peer.granted and peer.active]
    free = [peer for peer in peers if not peer.granted and peer.active]
    for peer in buyers:
        targets[peer.key] = min(peer.granted, _most(peer, capacity))
    left = capacity - sum(targets.values())
    parts = water_fill(left, [(1, _most(peer, capacity)) for peer in free])
    targets |= {peer.key: part for peer, part in zip(free, parts, strict=True)}
    hungry = [part for peer, part in zip(free, parts, strict=True) if part < _most(peer, capacity)]
    level = max(hungry, default=left // max(1, len(free)))
    if rest := left - sum(parts):
        room = [(peer.granted, _most(peer, capacity) - targets[peer.key]) for peer in buyers]
        for peer, part in zip(buyers, water_fill(rest, room), strict=True):
            targets[peer.key] += part
    return targets, level


def water_fill(total: int, claims: Sequence[tuple[int, int]]) -> list[int]:
    """Divide `total` by weight, nobody above its bound; `claims` are (weight above 0, bound at least 0).

    What one cannot take is divided among the others. Parts are rounded down. O(n log n).
    """
    parts = [0] * len(claims)
    left, weights = total, sum(weight for weight, _ in claims)
    for index in sorted(range(len(claims)), key=lambda index: claims[index][1] * PPB // claims[index][0]):
        weight, bound = claims[index]
        parts[index] = min(bound, left * weight // weights)
        left, weights = left - parts[index], weights - weight
    return parts


def _claim(peer: Peer[K], free_level: int) -> int:
    """The rate its weight is for: what it was granted or a free peer's, and what it is owed."""
    rate = peer.granted or free_level
    most = rate // OWED_DIVISOR
    return rate + max(-most, min(most, peer.owed))


def _most(peer: Peer[K], capacity: int) -> int:
    most = peer.wanted if peer.granted and peer.wanted else capacity
    return most if peer.usable is None else min(most, peer.usable)


# --- weights --------------------------------------------------------------------------------------------------------


class _Scale(NamedTuple):
    """Weights per share, as a ratio: `weight` stands for `share`."""

    weight: int
    share: int


def _weight(share: int, scale: _Scale) -> int:
    """The weight nearest to `share` on the scale, within libtorrent's range."""
    exact = (2 * share * scale.weight + scale.share) // (2 * scale.share)
    return min(MAX_WEIGHT, max(1, exact))


def _error(weight: int, share: int, scale: _Scale) -> int:
    """By how much `weight` misses `share` on the scale, in parts per million of it."""
    exact = max(1, share) * scale.weight
    return abs(weight * scale.share - exact) * PPM // exact


def _worst(shares: Sequence[int], scale: _Scale, enough: int) -> int:
    """The largest error of these shares' weights, or any of them that is `enough` already."""
    worst = 0
    for share in shares:
        worst = max(worst, _error(_weight(share, scale), share, scale))
        if worst >= enough:
            break
    return worst


def _choose_scale(old: _Scale | None, shares: Iterable[int]) -> _Scale:
    """The old scale while it serves, else the one with the least relative error."""
    distinct = sorted({max(1, share) for share in shares})
    coarse, largest = distinct[:COARSEST], distinct[-1]
    kept = None
    if old is not None and LOW_WEIGHT * old.share <= largest * old.weight <= MAX_WEIGHT * old.share:
        kept = _worst(coarse, old, PPM)
        if kept <= TOLERANCE:
            return old
    best, least = _Scale(TOP_WEIGHT, largest), PPM
    for top in range(TOP_WEIGHT, TOP_WEIGHT // 2, -1):
        scale = _Scale(top, largest)
        if (error := _worst(coarse, scale, least)) < least:
            best, least = scale, error
    # A new scale is a call for every peer: it has to be clearly better.
    return old if old is not None and kept is not None and kept <= least + TOLERANCE else best


# --- what peers take ------------------------------------------------------------------------------------------------


class Usage:
    """Estimates what one peer can take from what it was offered and took, once a round.

    A peer that takes less than 7/8 of its target for `PATIENCE` rounds is slow; its `usable` rate is then 5/4 of what
    it takes, so that it can grow by a quarter per round, and by more at once where its weight has room.
    """

    PATIENCE = 3
    FLOOR = 16 * 1024
    """Bytes per second nobody is estimated below, so that a peer that paused can show itself again."""

    def __init__(self) -> None:
        self.usable: int | None = None
        self._short = 0

    def keen(self, target: int) -> bool:
        """It has a target, and has not shown to be unable to take more."""
        return target > 0 and (self.usable is None or target < self.usable)

    def observe(self, target: int, rate: int, capacity: int) -> int | None:
        """One round: it should have got `target` of `capacity` and took `rate`. Returns `usable` (None = no bound)."""
        if 8 * rate < 7 * target:
            self._short += 1
            if self._short < self.PATIENCE:
                return self.usable
        else:
            self._short = 0
            if self.usable is None:
                return None
        estimate = max(self.FLOOR, rate * 5 // 4)
        if estimate >= capacity:
            self.usable = None
        elif self.usable is None or 8 * abs(estimate - self.usable) > self.usable:
            # Small movements are noise: they would move everybody's share.
            self.usable = estimate
        return self.usable
