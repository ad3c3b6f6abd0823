"""How much unpaid data a payer may hold.

Theory. Data comes first, the cheque after it, so the seller always has something at stake. Credit is the most that can
be lost, and it is earned: it starts at `newcomer` bytes and grows by what has been paid, byte for byte. While
everything goes well the window doubles per round trip, as TCP's slow start does, but whoever takes the window and
vanishes has paid at least as much as it takes beyond the newcomer's share. Growth stops at what the present rate needs
for a round trip of payment, and at `cap`.

One `SellerAccount` stands for one (payer, payee, rail), whatever number of connections and torrents the payer has with
us: the cheque is cumulative over all of them, so credit must be too. Debt in the account is money, since prices differ;
the window is bytes, converted at the price of the connection that asks.

A connection that breaks leaves blocks on the wire that the seller counted and the buyer never saw. The seller forgives
such a rest within `newcomer` bytes plus 1/64 of all that was paid, so that bad luck does not end a good relation. What
was forgiven beyond that 64th still narrows the window, so that coming back never opens it again: whoever has paid
nothing takes one window in all.

Where we owe the payer too (`Counterclaim`), what both sides have agreed to leave unpaid is no risk: if the payer
vanishes, we keep our own debt. Only the rest counts against the window and against the vault, and only what exceeds our
debt is ever forgiven. What cancels out this way is never paid, so it earns no credit either.

Connections of one payer share the window. Each holds what it was admitted and has not been sent yet; a connection gets
its part of what is left, and never what another one holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from wallet.amount import MIB, cost
from wallet.solvency import Standing

FORGIVE_DIVISOR = 64
MILLI = 1000


@dataclass(frozen=True, slots=True)
class CreditPolicy:
    """All sizes in bytes. `round_trip_ms` is the time a block takes to come back as a cheque: arrive, verify, sign."""

    newcomer: int = MIB
    quantum: int = MIB
    cap: int = 256 * MIB
    round_trip_ms: int = 500

    def __post_init__(self) -> None:
        if not 0 < self.newcomer <= self.cap or self.quantum < 1 or self.round_trip_ms < 0:
            raise ValueError("credit policy: need 0 < newcomer <= cap, quantum >= 1, round trip >= 0")

    def limit(self, paid_bytes: int, rate: int) -> int:
        """The window in bytes for a payer who has paid for `paid_bytes` and takes `rate` bytes per second now."""
        earned = self.newcomer + paid_bytes
        needed = max(self.newcomer, 2 * self.quantum + rate * self.round_trip_ms // MILLI)
        return min(earned, needed, self.cap)


class Holder(Protocol):
    """A connection that is metered at a price."""

    @property
    def held(self) -> int:
        """Units that it may still be metered without another word."""

    @property
    def price(self) -> int:
        """Units per MiB."""


class Counterclaim(Protocol):
    """What we owe the payer on the same rail (`node.speed.netting.Mutual`)."""

    @property
    def payable(self) -> int:
        """Units that no cheque of ours covers."""

    @property
    def cancelled(self) -> int:
        """Units of the payer's debt, and as much of ours, that both sides have agreed to leave unpaid."""


@dataclass(slots=True)
class SellerAccount:
    """What one payer owes us on one rail. Amounts in token units; cumulative figures never fall.

    `earned`: metered in all. `accepted`: highest durable cheque. `forgiven`: written off after broken connections.
    `coverage`: what a new cheque could draw from the payer's vault beyond `paid_out`; None = not known.
    """

    policy: CreditPolicy
    earned: int = 0
    accepted: int = 0
    signature: bytes = b""
    forgiven: int = 0
    paid_bytes: int = 0
    coverage: int | None = None
    paid_out: int = 0
    standing: Standing | None = None
    """What the last two figures are made of, for whoever asks why."""
    storing: int = 0
    """Highest cheque on its way into the store."""
    rate: int = 0
    counterclaim: Counterclaim | None = None
    connections: list[Holder] = field(default_factory=list)
    """Connections that are metered at a price now; they share the window."""

    @property
    def unpaid(self) -> int:
        """Units metered, neither paid nor forgiven."""
        return max(0, self.earned - self.forgiven - self.accepted)

    @property
    def at_risk(self) -> int:
        """Units of `unpaid` that are lost if the payer vanishes, were the rest of our own debt paid by then."""
        return self.unpaid - (self.counterclaim.cancelled if self.counterclaim else 0)

    @property
    def window(self) -> int:
        """Credit in bytes."""
        return self.policy.limit(self.paid_bytes, self.rate)

    def left(self, price: int) -> int:
        """Units that may still be metered before a cheque must come, for all connections together."""
        left = cost(self.window, price) - self.at_risk - self.unearned
        if self.coverage is not None:
            uncashed = max(0, self.accepted - self.paid_out)
            left = min(left, self.coverage - uncashed - self.at_risk)
        return max(0, left)

    @property
    def unearned(self) -> int:
        """Units written off beyond what payments have earned."""
        return max(0, self.forgiven - self.accepted // FORGIVE_DIVISOR)

    @property
    def uncovered(self) -> bool:
        """Nothing stands behind another cheque, as far as we know."""
        return self.coverage is not None and self.coverage <= max(0, self.accepted - self.paid_out) + self.at_risk

    def cover(self, standing: Standing) -> None:
        """News of the payer's vault."""
        self.standing = standing
        self.coverage, self.paid_out = standing.reachable, standing.paid_out

    @property
    def why_uncovered(self) -> str:
        """For the payer and the user, where `uncovered`."""
        if self.standing is None or not self.standing.funds.balance:
            return "the payer's vault covers nothing: deposit first"
        return f"another cheque of this payer is worth {self.standing.explain(self.accepted)}"

    def share(self, price: int, connection: Holder) -> int:
        """`left` for one connection: its part among those that are metered, without what the others hold."""
        others: Sequence[Holder] = [other for other in self.connections if other is not connection]
        left = self.left(price)
        return max(0, min(left // (len(others) + 1), left - sum(other.held for other in others)))

    def accept(self, cumulative: int, signature: bytes, price: int) -> int:
        """A cheque is durable: book it, return by how much it grew. `price` turns the money into paid bytes."""
        grown = cumulative - self.accepted
        if grown <= 0:
            return 0
        # Only what was really delivered earns credit: a prepayment is safe, but proves nothing about debts.
        counted = min(grown, self.unpaid)
        if price > 0:
            self.paid_bytes += counted * MIB // price
        self.accepted, self.signature = cumulative, signature
        # A payer that pays what had been forgiven after all (blocks that did arrive) gets the allowance back.
        self.forgiven = max(0, min(self.forgiven, self.earned - self.accepted - self._owed_back))
        return grown

    def forgive(self, price: int) -> int:
        """After a broken connection: write off what the allowance covers; return how much."""
        allowance = cost(self.policy.newcomer, price) + self.accepted // FORGIVE_DIVISOR - self.forgiven
        written_off = max(0, min(self.unpaid - self._owed_back, allowance))
        self.forgiven += written_off
        return written_off

    @property
    def _owed_back(self) -> int:
        return self.counterclaim.payable if self.counterclaim else 0
