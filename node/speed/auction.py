"""One round of the seller's auction: who may upload from us how fast, and at what price.

Theory. Capacity is divisible, and everybody values a byte at one price per MiB up to a wanted rate. `uniform` sorts by
price, fills, and charges every winner the highest price at which some demand was left unserved, at least the reserve:
the (K+1)st price of Vickrey's multi-unit auction (W. Vickrey, "Counterspeculation, Auctions, and Competitive Sealed
Tenders", 1961; BitTorrent Speed white paper 0.8.7, "multi-unit uniform price"). It is the *lowest price that clears the
market*, so there is no envy: at that price nobody who was refused wants more, and nobody who was served wants less.

Divisible capacity leaves one bid partly served. Its unserved part lost, so its price is the clearing price:

* Were the price the best bid that lost *entirely*, the partly served buyer would get less than it wants below its own
  price, and could outbid its neighbours by any amount for nothing. Raising a bid would be free for everybody.
* With its unserved part counted, whoever is served in full pays what somebody else said: no price it could bid instead
  gives it the same service for less. What remains is demand reduction, which a single price cannot prevent (L. Ausubel
  et al., "Demand Reduction and Inefficiency in Multi-Unit Auctions", 2014): a large buyer may give up part of its rate
  to make the rest cheaper. It gains at most its grant times what its presence adds to the price, so a buyer too small
  to move the price has nothing to gain. Only VCG payments close that gap, at different prices for equal service.

Demand is clipped to the capacity first: what nobody could be given at any price has not lost, so a lone bidder that
takes all there is pays the reserve. Equal prices share in proportion to the (clipped) wanted rate.

`pay_as_bid` fills in the same way and charges each winner its own bid. `proportional` serves everybody who bids the
reserve, by weight price x wanted rate: F. Kelly's proportionally fair share for users who choose what to pay ("Charging
and rate control for elastic traffic", 1997), which D. Levin et al. proposed for BitTorrent as PropShare ("BitTorrent is
an Auction", SIGCOMM 2008). A bid here is a ceiling per MiB and no lump sum, so winners pay their bid and not Kelly's
common unit price, which may lie above it.

All rates are integers in bytes per second, all prices integers in units per MiB. Nothing depends on anything but the
arguments; the order of the offers decides only about single bytes left over by rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from types import MappingProxyType
from typing import Generic, NamedTuple, TypeVar

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Offer(Generic[K]):
    """A standing bid. `price`: most it pays per MiB. `wanted`: bytes per second, 0 = as much as it can get.

    `usable`: what this buyer has shown to be able to take, in bytes per second; None = not measured. No more than that
    is sold to it, so that capacity it would leave idle is offered to the next.
    """

    key: K
    price: int
    wanted: int = 0
    usable: int | None = None

    def __post_init__(self) -> None:
        if self.price < 0 or self.wanted < 0 or (self.usable is not None and self.usable < 0):
            raise ValueError("an offer has no negative price or rate")

    def demand(self, capacity: int) -> int:
        """What this offer can be given at most out of `capacity`, in bytes per second."""
        most = min(self.wanted, capacity) if self.wanted else capacity
        return most if self.usable is None else min(most, self.usable)


@dataclass(frozen=True, slots=True)
class Award:
    """What one offer gets: `rate` bytes per second at `price` units per MiB; a loser has 0 and 0."""

    rate: int
    price: int


LOST = Award(0, 0)


@dataclass(frozen=True, slots=True)
class Outcome(Generic[K]):
    """The result of a round. `awards` has every offer's key, in the order of the offers.

    `clearing`: no bid below this price would have won anything.
    """

    clearing: int
    awards: Mapping[K, Award]

    @property
    def sold(self) -> int:
        """Bytes per second granted in all."""
        return sum(award.rate for award in self.awards.values())


class _Lot(NamedTuple):
    """An admitted offer: its place among the offers, its price, and its demand (above 0)."""

    place: int
    price: int
    demand: int


_Result = tuple[int, dict[int, Award]]
"""The clearing price, and the awards of the winners by place."""
_Rule = Callable[[int, int, list[_Lot]], _Result]
"""(capacity, reserve, lots by falling price) → result."""


def run_round(rule: str, capacity: int, reserve: int, offers: Sequence[Offer[K]]) -> Outcome[K]:
    """Sell `capacity` bytes per second at no less than `reserve` units per MiB. O(n log n).

    Raises `ValueError` for an unknown rule, a negative figure, or two offers with one key.
    """
    if rule not in RULES:
        raise ValueError(f"{rule!r} is not an auction rule: choose one of {', '.join(RULES)}")
    if capacity < 0 or reserve < 0:
        raise ValueError("an auction has no negative capacity or reserve")
    if len({offer.key for offer in offers}) != len(offers):
        raise ValueError("an auction takes one offer per key")
    admitted = (
        _Lot(place, offer.price, demand)
        for place, offer in enumerate(offers)
        if offer.price >= reserve and (demand := offer.demand(capacity)) > 0
    )
    clearing, won = RULES[rule](capacity, reserve, sorted(admitted, key=lambda lot: -lot.price))
    awards = {offer.key: won.get(place, LOST) for place, offer in enumerate(offers)}
    return Outcome(clearing, MappingProxyType(awards))


def _fill(capacity: int, reserve: int, lots: list[_Lot]) -> tuple[int, list[tuple[_Lot, int]]]:
    """Serve the highest prices first: (highest price left unserved or the reserve, rates above 0)."""
    left, rates = capacity, []
    for price, tied in groupby(lots, key=lambda lot: lot.price):
        group = list(tied)
        wanted = sum(lot.demand for lot in group)
        if wanted <= left:
            rates += [(lot, lot.demand) for lot in group]
            left -= wanted
            continue
        shares = [left * lot.demand // wanted for lot in group]
        # Fewer bytes than lots are left over; the first get one each. None exceeds its demand, since left < wanted.
        for index in range(left - sum(shares)):
            shares[index] += 1
        rates += [(lot, share) for lot, share in zip(group, shares, strict=True) if share]
        return price, rates
    return reserve, rates


def _uniform(capacity: int, reserve: int, lots: list[_Lot]) -> _Result:
    clearing, rates = _fill(capacity, reserve, lots)
    return clearing, {lot.place: Award(rate, clearing) for lot, rate in rates}


def _pay_as_bid(capacity: int, reserve: int, lots: list[_Lot]) -> _Result:
    clearing, rates = _fill(capacity, reserve, lots)
    return clearing, {lot.place: Award(rate, lot.price) for lot, rate in rates}


def _proportional(capacity: int, reserve: int, lots: list[_Lot]) -> _Result:
    """Water-filling: nobody gets more than its demand, and what that leaves is shared again.

    With weights price x demand, the lot that fills first is the one with the highest price, so one pass in order of
    price finds all that are served in full. The others are rounded down, which keeps a grant from falling when its bid
    rises; the fewer than n bytes this leaves are not sold.
    """
    # A reserve of 0 lets in bids of 0; a weight of at least 1 gives them what is over.
    weights = [max(1, lot.price) * lot.demand for lot in lots]
    left, weight = capacity, sum(weights)
    won: dict[int, Award] = {}
    for index, lot in enumerate(lots):
        if left * max(1, lot.price) < weight:
            rest = zip(lots[index:], weights[index:], strict=True)
            shares = [(unfilled, left * own // weight) for unfilled, own in rest]
            won |= {unfilled.place: Award(share, unfilled.price) for unfilled, share in shares if share}
            break
        won[lot.place] = Award(lot.demand, lot.price)
        left, weight = left - lot.demand, weight - weights[index]
    return reserve, won


RULES: Mapping[str, _Rule] = MappingProxyType(
    {"uniform": _uniform, "pay_as_bid": _pay_as_bid, "proportional": _proportional}
)
"""Pricing rules by name; the first is the default."""

DEFAULT_RULE = "uniform"
