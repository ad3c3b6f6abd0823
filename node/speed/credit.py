"""How much unpaid data a payer may hold.

Theory. Data comes first, the cheque after it, so the seller always has something at stake. Credit is the most that can
be lost, and it is earned: it starts at `newcomer` bytes and grows by what has been paid, byte for byte. While
everything goes well the window doubles per round trip, as TCP's slow start does, but whoever takes the window and
vanishes has paid at least as much as it takes beyond the newcomer's share. Growth stops at what the present rate needs
for a round trip of payment, and at `cap`.

The newcomer's share is an advance: nothing but a name stands behind it, and names cost nothing. So it can be drawn from
a budget that many newcomers share (`node.speed.newcomers`). `advance` is what this payer holds of it, and goes back as
it pays; the window is what it has paid for, plus the advance. Whoever vanishes keeps at most its advance beyond what it
paid, and all newcomers together at most the budget.

One `SellerAccount` stands for one (payer, payee, rail), whatever number of connections and torrents the payer has with
us: the cheque is cumulative over all of them, so credit must be too. Debt in the account is money, since prices differ;
the window is bytes, converted at the price of the connection that asks.

A connection that breaks leaves blocks on the wire that the seller counted and the buyer never saw. The seller forgives
such a rest within `newcomer` bytes plus 1/64 of all that was paid, so that bad luck does not end a good relation. What
was forgiven beyond that 64th still narrows the window, so that coming back never opens it again: whoever has paid
nothing takes one window in all. But a window that is kept small for the present rate's sake is widened by what was left
behind, up to a newcomer's share: a restart would otherwise leave an old payer less than a piece to go on with.

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

from node.speed.reputation import NEUTRAL, trusted_window
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

    def limit(self, paid_bytes: int, rate: int, advance: int | None = None) -> int:
        """The window in bytes for a payer who has paid for `paid_bytes` and takes `rate` bytes per second now.

        `advance`: its bytes of a newcomer's share; None: all of it.
        """
        earned = paid_bytes + (self.newcomer if advance is None else advance)
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
    score: int = NEUTRAL
    """What we think of this payer (`node.speed.reputation`)."""
    advance: int | None = None
    """Bytes drawn from a budget of newcomers; None: there is no budget, and every payer has the newcomer's share."""
    cheapest: int = 0
    dearest: int = 0
    """The lowest and the highest price it was metered at since we know it; 0: none. See `metered_at`."""
    left_unpaid: int = 0
    """Units that `abandon` has told of and no cheque has covered since."""
    counterclaim: Counterclaim | None = None
    connections: list[Holder] = field(default_factory=list)
    """Connections that are metered at a price now; they share the window."""

    @property
    def unpaid(self) -> int:
        """Units metered, neither paid nor forgiven."""
        return max(0, self.earned - self.forgiven - self.accepted)

    @property
    def unsigned(self) -> int:
        """Units metered in all that no cheque covers, forgiven or not, not even one on its way into the store."""
        return max(0, self.earned - max(self.accepted, self.storing))

    @property
    def at_risk(self) -> int:
        """Units of `unpaid` that are lost if the payer vanishes, were the rest of our own debt paid by then."""
        return self.unpaid - (self.counterclaim.cancelled if self.counterclaim else 0)

    @property
    def window(self) -> int:
        """Credit in bytes: what the payer's history allows, less where its reputation is bad."""
        limit = self.policy.limit(self.paid_bytes, self.rate, self.advance)
        return trusted_window(self.policy.newcomer, limit, self.score)

    def left(self, price: int) -> int:
        """Units that may still be metered before a cheque must come, for all connections together."""
        owed = self.at_risk + self.unearned
        if self.paid_bytes < self.policy.newcomer and 0 < self.cheapest < price:
            # As many bytes as it can be: a newcomer's window does not open again because its price rises.
            owed = -(-owed * price // self.cheapest)
        left = self._room(price) - owed
        if self.coverage is not None:
            uncashed = max(0, self.accepted - self.paid_out)
            left = min(left, self.coverage - uncashed - self.at_risk)
        return max(0, left)

    def _room(self, price: int) -> int:
        """The window in units, wider by what was left behind: what the present rate needs is for debts of the present.

        By a newcomer's share at most, and never beyond what was paid for, so that going away is not a way to more.
        """
        history = self.paid_bytes + (self.policy.newcomer if self.advance is None else self.advance)
        earned = min(trusted_window(self.policy.newcomer, history, self.score), self.policy.cap)
        behind = max(0, self.left_unpaid - min(self.forgiven, self.accepted // FORGIVE_DIVISOR))
        wider = cost(self.window, price) + min(behind, cost(self.policy.newcomer, price))
        return min(wider, cost(earned, price))

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

    def needed_advance(self, price: int) -> int:
        """Bytes that it has to be advanced, since it has not paid for enough beyond what it left unpaid.

        All of a newcomer's share until it has paid for as much, so that its window grows by what it pays; then less and
        less. With a window that stood at one share meanwhile, pieces of that size could not be finished and paid.
        """
        broken = 0 if self.connections else max(0, self.unpaid - self._owed_back)  # about to be forgiven
        left_behind = max(0, self.forgiven + broken - self.accepted // FORGIVE_DIVISOR)
        needed = 2 * self.policy.newcomer + -(-left_behind * MIB // price) - self.paid_bytes
        return min(self.policy.newcomer, max(0, needed))

    def wanted_advance(self, price: int) -> int:
        """`needed_advance`; 0 where none could be used: it was taken and never paid, or we would not sell anyway."""
        needed = self.needed_advance(price)
        spent = cost(self.paid_bytes + needed, price) <= self.at_risk + self.unearned
        return 0 if spent or self.uncovered or self.score <= 0 else needed

    def share(self, price: int, connection: Holder) -> int:
        """`left` for one connection: its part among those that are metered, without what the others hold."""
        others: Sequence[Holder] = [other for other in self.connections if other is not connection]
        left = self.left(price)
        return max(0, min(left // (len(others) + 1), left - sum(other.held for other in others)))

    def metered_at(self, price: int) -> None:
        """From now on bytes are metered at this price, above 0.

        Debt is money, windows are bytes. Where it matters how many bytes a debt stands for, the price is taken that is
        worse for the payer: it has a hand in prices, by its bids.
        """
        self.cheapest = min(self.cheapest or price, price)
        self.dearest = max(self.dearest, price)

    def accept(self, cumulative: int, signature: bytes, price: int) -> int:
        """A cheque is durable: book it, return by how much it grew.

        `price` turns the money into paid bytes, where it never was metered at a higher one.
        """
        grown = cumulative - self.accepted
        if grown <= 0:
            return 0
        # Only what was really delivered earns credit: a prepayment is safe, but proves nothing about debts.
        counted = min(grown, self.unpaid)
        if price > 0:
            self.paid_bytes += counted * MIB // max(price, self.dearest)
        self.accepted, self.signature = cumulative, signature
        # A payer that pays what had been forgiven after all (blocks that did arrive) gets the allowance back.
        self.forgiven = max(0, min(self.forgiven, self.earned - self.accepted - self._owed_back))
        self.left_unpaid = max(0, min(self.left_unpaid, self.earned - self.accepted))
        return grown

    def abandon(self) -> int:
        """The payer is gone: return how many units it has left unpaid, beyond what we owe it, that were not told of
        before."""
        grown = max(0, self.unsigned - self._owed_back - self.left_unpaid)
        self.left_unpaid += grown
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
