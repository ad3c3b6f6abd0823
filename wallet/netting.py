"""Two peers that owe each other on one rail: who signs a cheque, and for which difference.

Theory. Let A's debt to B be `owed`, the cheques for it `issued`; B's debt to A, as A counts it, `earned`, B's cheques
`held`. All four are cumulative. What A loses if B vanishes is its *exposure*

    (earned - held) - (owed - issued)

and nothing B says can change it: it consists of data A has sent and verified itself, and of signed cheques. So debts
that cancel need no proof and no payment. What does need agreement is who pays: if both sign at the same time, two
cheques move what none had to. Each side therefore *pledges* a part of its own debt, cumulative like everything else:
"this much I leave unpaid as long as you do". The smaller pledge is agreed on, and a side signs only for

    (owed - issued) - min(agreed, earned - held)

The last `min` makes a broken pledge harmless: what the other side paid after all is not cancelled any more. A pledge is
a word against one's own interest only: overstating it costs the one who overstates, understating it costs a cheque that
was due anyway. Debts are settled exactly when `owed - issued = earned - held` on both sides, the same positions as
without netting. Between two cheques of one side its debt beyond the agreed part must grow by a quantum, so it would
have signed at least one without netting too: netting never makes more cheques (unless a side pays `urgent`ly rather
than wait for an answer: then at most one more).

Nothing here must be stored but the four figures of `Position`, each before a message that rests on it leaves (`owed`
and `earned` may not fall back below `issued` and `held` plus what was pledged). The rest is born anew with each
connection: a pledge is computed from the figures, so a lost message or a restart only means that pledges are exchanged
once more.

Precondition: the peer's payee address (of its `ask`) is the payer address its `bid` has proven by signature. One
`Netting` per such pair and rail, on the first of their connections.

Wire: message `net` of `btt_speed`, a bencoded dictionary like the others (`node.speed.messages`):

| key    | type   | meaning                                                                             |
|--------|--------|-------------------------------------------------------------------------------------|
| `t`    | string | `net`                                                                               |
| `rail` | string | the rail's id; cheques of other rails are never netted                              |
| `set`  | int    | the sender's pledge, 0 to 2^256 - 1 units, cumulative                               |
| `n`    | int    | number of this pledge on this connection, 0 to 2^63 - 1; a new pledge, a new number |
| `re`   | int    | number of the receiver's newest pledge the sender has seen, 0: none                 |

A pledge with a new number is answered at once, by the same message; the answer holds what its sender can match, or its
own standing pledge. A receiver that cannot net does not answer, and is paid in full. (Number 0: nothing was
pledged yet; it only acknowledges.) One message makes at most one answer, and the exchange ends, since a pledge in
answer to another never exceeds it or the sender's own last one.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Position:
    """One side's own figures for a peer on a rail, in units, cumulative.

    `owed`: what we received, verified, at its price. `issued`: our highest durable cheque. `earned`: what we sent, less
    what we forgave. `held`: the peer's highest cheque, verified and durable.
    """

    owed: int = 0
    issued: int = 0
    earned: int = 0
    held: int = 0

    @property
    def payable(self) -> int:
        """What we owe and no cheque covers."""
        return max(0, self.owed - self.issued)

    @property
    def receivable(self) -> int:
        """What the peer owes and no cheque covers."""
        return max(0, self.earned - self.held)

    @property
    def exposure(self) -> int:
        """What we lose if the peer vanishes now and its cheques are good; negative: the peer would lose."""
        return (self.earned - self.held) - (self.owed - self.issued)

    def room(self, window: int) -> int:
        """Units we may still deliver unpaid within a credit window of `window` units."""
        return max(0, window - self.exposure)


@dataclass(frozen=True, slots=True)
class Pledge:
    """The `net` message: see the table above."""

    amount: int
    number: int
    seen: int


@dataclass(frozen=True, slots=True)
class Turn:
    """What to do now: send a pledge, or sign a cheque up to `cumulative`; `waiting`: for the answer to a pledge."""

    pledge: Pledge | None = None
    cumulative: int | None = None
    waiting: bool = False


class Netting:
    """The pledges of one connection. Make a new one when it breaks; the figures come with each call."""

    def __init__(self) -> None:
        self.pledged = 0
        self.theirs = 0
        self._number = 0
        self._seen = 0
        self._answer_to = 0
        """The number of our last pledge that went up: until it is answered, nothing is agreed for certain."""
        self._answered = 0

    @property
    def agreed(self) -> int:
        """Units, cumulative, that both sides leave unpaid."""
        return min(self.pledged, self.theirs)

    @property
    def waiting(self) -> bool:
        """A pledge of ours is not answered yet."""
        return self._answered < self._answer_to

    def due(self, position: Position) -> int:
        """Units for which we should sign a cheque, as agreed so far."""
        return max(0, position.payable - min(self.agreed, position.receivable))

    def turn(
        self, position: Position, *, quantum: int, window: int, finishing: bool = False, urgent: bool = False
    ) -> Turn:
        """Call when figures moved or an answer came.

        `quantum`: least amount worth a cheque; `finishing`: any amount is. `window`: the credit in units we give the
        peer; a cheque never takes our exposure beyond it. `urgent`: do not wait for an answer (the peer's credit is
        about to end, or it does not know `net`).
        """
        due = self.due(position)
        if due < (1 if finishing else max(1, quantum)):
            return Turn(waiting=self.waiting)
        if not urgent:
            if self.waiting:
                return Turn(waiting=True)
            best = _best(position)
            if best > self.pledged:
                return Turn(self._pledge(best), waiting=True)
        amount = min(due, position.room(window))
        if not amount:
            return Turn()
        if self.pledged > self.agreed:
            # The rest was not taken up and is paid now; the peer learns it with our next message.
            self.pledged = self.agreed
            self._number += 1
        return Turn(cumulative=position.issued + amount)

    def received(self, pledge: Pledge, position: Position) -> Pledge | None:
        """The peer's `net` message; returns the answer to send, if it needs one."""
        self._answered = max(self._answered, min(pledge.seen, self._number))
        if pledge.number <= self._seen:
            return None
        self._seen, self.theirs = pledge.number, pledge.amount
        best = _best(position)
        # Ours stays up while it can be kept: offers that cross on the way must not pull each other down.
        if (answer := max(min(best, pledge.amount), min(best, self.pledged))) != self.pledged:
            return self._pledge(answer)
        return Pledge(self.pledged, self._number, self._seen)

    def _pledge(self, amount: int) -> Pledge:
        self._number += 1
        if amount > self.pledged:
            self._answer_to = self._number
        self.pledged = amount
        return Pledge(amount, self._number, self._seen)


def _best(position: Position) -> int:
    """The most that can cancel out, by our own figures."""
    return min(position.payable, position.receivable)
