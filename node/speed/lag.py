"""Closes the loop between weights and shares: who got less than its part is owed it, in bytes.

Theory. In weighted fair queueing a flow's *lag* is the service it should have had, in a fluid server that divides
what was sent by the targets, minus the service it got (A. Parekh and R. Gallager, "A Generalized Processor Sharing
Approach to Flow Control in Integrated Services Networks", 1993). A packet server keeps lags within a packet.
libtorrent's weights do not: they are shares only among the peers that *wait* when quota is handed out, and a fast peer
is at times between two requests, so the largest shares come out some percent short.

So the lag is measured and paid back: a peer's weight is for its target plus its lag over `HORIZON` seconds. As weights
act at once and the lag is a sum, this is integral control with a time constant of `HORIZON`; an error that lasts ends
in the lag, not in the mean rate. Counters move in steps of a send buffer, so a *rate* over one round is wrong by a few
percent, but a sum over rounds never by more than one step: noise does not add up, and no round is left out for it.

Lags add up to nothing: what one peer is owed, others had. They are about shares alone; when the line carries less than
expected, nobody is owed the difference. A lag is bounded by what can be paid back within `HORIZON`, so that a time
in which the weights decided little (credit used up, a slow disk) is forgotten soon; one in which they decided nothing
is the caller's to leave out, with an empty round.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

HORIZON = 3
"""Seconds over which a lag is paid back."""
OWED_DIVISOR = 4
"""A weight is for no more than this part of the target more or less because of what a peer is owed."""


@dataclass(frozen=True, slots=True)
class Served(Generic[K]):
    """One peer's round: the rate it should have had (bytes per second, above 0), and the bytes it got."""

    key: K
    target: int
    sent: int


class Lags(Generic[K]):
    """One for all peers of a line."""

    def __init__(self) -> None:
        self._lags: dict[K, int] = {}

    def observe(self, served: Sequence[Served[K]]) -> None:
        """One round of those peers that take all they can get; whoever is not among them is forgotten."""
        sent, targets = sum(peer.sent for peer in served), sum(peer.target for peer in served)
        lags = {}
        for peer in served:
            lag = self._lags.get(peer.key, 0) + sent * peer.target // targets - peer.sent
            most = peer.target * HORIZON // OWED_DIVISOR
            lags[peer.key] = max(-most, min(most, lag))
        self._lags = lags

    def lag(self, key: K) -> int:
        """Bytes the peer is owed; below 0, it had more than its part."""
        return self._lags.get(key, 0)

    def owed(self, key: K) -> int:
        """Bytes per second that pay the lag back in `HORIZON` seconds; below 0, it is the peer who owes."""
        return self.lag(key) // HORIZON
