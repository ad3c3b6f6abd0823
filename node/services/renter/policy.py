"""The figures of a renter, in one place, so that tests and test networks can have their own."""

from __future__ import annotations

from dataclasses import dataclass

from node.storage.audit import REGULAR_CONFIDENCE, REGULAR_LOSS


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Times in seconds, shares in per mille.

    `lead`: from an offer to its start, plus the time for the shard at `slowest` bytes per second; `margin`: before the
    start, when it is too late to open a contract, and one whose host has no shard is called off; `retry`: between two
    tries with one host; `avoid`: how long a host that declined is not asked for the same object; `loss`, `confidence`:
    of an audit (`node.storage.audit.sample_size`; what contracts pay for is the regular one); `sampled`: share of the
    audits in which a piece is fetched over BitTorrent besides (`serving`); `patience`: epochs of silence after which a
    shard is lost; `hand_over`: let a host go that asks for it, once another one has its shard (else it may leave alone,
    and pays us); `dispute`: open a challenge on chain then, with a bond of at most `max_bond` token units, and
    `most_open` at a time; `stalled`: without a byte of a shard until another host is asked.
    """

    lead: int = 1800
    slowest: int = 256 * 1024
    margin: int = 180
    retry: int = 30
    avoid: int = 3600
    loss: int = REGULAR_LOSS
    confidence: int = REGULAR_CONFIDENCE
    sampled: int = 250
    patience: int = 3
    hand_over: bool = True
    dispute: bool = True
    max_bond: int = 0
    most_open: int = 8
    stalled: float = 120.0

    def start_after(self, length: int) -> int:
        """Seconds from an offer to the start of a contract about `length` bytes."""
        return self.lead + length // self.slowest
