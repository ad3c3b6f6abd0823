"""What a renter has seen of a host, and the score that placement makes of it.

A host's word is free, so a score is made of own experience only, and says how likely the host keeps its next promise:
the mean of a beta distribution (Jøsang and Ismail 2002) over what it kept and what it broke, each weighed by what it
costs the renter, with a prior that makes a stranger neutral. One that declines has promised nothing, and costs an
offer. A signed wrong answer is no matter of likelihood: such a host has lost data or lied, and is avoided until it is
long ago.

Old experience fades: when the counts are full, all of them are halved. So they stay small, a host that was bad can
become good again, and one that was good for years is not forgiven everything.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from node.storage.placement import MAX_SCORE, NEUTRAL
from wallet.address import Address

MOST_SEEN = 128
"""Experiences with one host, after which all are halved."""
AVOIDED_FOR = 180 * 86_400
"""Seconds for which a wrong answer leaves no score."""
_PRIOR = 32


class Seen(StrEnum):
    """One experience; each is a field of `Standing`."""

    KEPT = "kept"
    """An epoch's audit passed."""
    SILENT = "silent"
    """It did not answer in a whole epoch, or to an offer."""
    WRONG = "wrong"
    """It signed an answer that does not hold."""
    BROKEN = "broken"
    """It signed a contract and called it off, or let a challenge on chain run out."""
    DECLINED = "declined"
    """It answered an offer with no."""


_WEIGHT = {Seen.KEPT: 4, Seen.SILENT: 8, Seen.WRONG: 64, Seen.BROKEN: 16, Seen.DECLINED: 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What was seen of a host on one rail; `at`: Unix second of the latest."""

    rail: str
    host: Address
    kept: int = 0
    silent: int = 0
    wrong: int = 0
    broken: int = 0
    declined: int = 0
    at: int = 0

    def after(self, seen: Seen, at: int) -> Standing:
        """With one more experience."""
        counts = {each: getattr(self, each) for each in Seen}
        if sum(counts.values()) >= MOST_SEEN:
            # A wrong answer fades with time alone.
            counts = {each: count if each is Seen.WRONG else count // 2 for each, count in counts.items()}
        counts[seen] = min(counts[seen] + 1, MOST_SEEN)
        return replace(self, **{each.value: count for each, count in counts.items()}, at=max(at, self.at))

    def score(self, now: int) -> int:
        """0 (avoid) to 1000 at Unix second `now`, rounded down; a stranger's is `NEUTRAL`."""
        if self.wrong and now < self.at + AVOIDED_FOR:
            return 0
        total: int = sum(weight * getattr(self, seen) for seen, weight in _WEIGHT.items())
        kept = _WEIGHT[Seen.KEPT] * self.kept
        return (MAX_SCORE * kept + NEUTRAL * _PRIOR) // (total + _PRIOR)
