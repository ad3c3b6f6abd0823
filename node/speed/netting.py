"""What two peers owe each other on one rail, as buyers and as sellers: `wallet.netting` between their two accounts.

Theory. The peer's bid has proven by signature the address that its ask names as payee, so a `BuyerAccount` and a
`SellerAccount` stand for the same holder of a key. `Mutual` reads both and keeps no figure of its own:

    owed, issued     the buyer's account; a cheque that is being stored counts as issued
    earned, held     the seller's account, less what it forgave

Credit counts on no more than what both sides have *agreed* to leave unpaid (`cancelled`), never on our debt as such: a
cheque for the whole rest then leaves our exposure at what credit has allowed, so paying never has to wait for the peer.
Only a peer that takes its pledge back, or whose window has shrunk, can make the two differ; it is then paid no further
than the window goes, and its debt stays set off against ours.

Pledges travel on one connection (`begin`, `end`). A peer that does not answer within `PATIENCE` is paid as if there
were no netting, until it says something.
"""

from __future__ import annotations

from node.speed.buyer import BuyerAccount
from node.speed.credit import SellerAccount
from node.speed.messages import Net
from node.speed.moment import Now
from wallet.amount import cost
from wallet.netting import Netting, Pledge, Position, Turn

PATIENCE = 2.0
"""Seconds for an answer to a pledge, and for a new connection to get as far as one; a seller's own is longer."""


class Mutual:
    """One per peer's address and rail, as soon as both accounts exist. `reserve`: our reserve price, units per MiB."""

    def __init__(self, buyer: BuyerAccount, seller: SellerAccount, reserve: int) -> None:
        self._buyer = buyer
        self._seller = seller
        self._reserve = reserve
        self._netting = Netting()
        self._connected = False
        self._waiting_since: float | None = None
        self._impatient = False
        self._held_back = False
        """The last turn signed nothing because of the window."""

    def begin(self) -> None:
        """A connection is there for pledges; those of an earlier one are void."""
        self.end()
        self._connected = True

    def end(self) -> None:
        """It is gone."""
        self._netting = Netting()
        self._connected = self._impatient = self._held_back = False
        self._waiting_since = None

    @property
    def position(self) -> Position:
        """The four figures of now."""
        buyer, seller = self._buyer, self._seller
        return Position(
            owed=buyer.owed,
            issued=max(buyer.issued, buyer.signing) if buyer.issuing else buyer.issued,
            earned=seller.earned - seller.forgiven,
            held=seller.accepted,
        )

    @property
    def payable(self) -> int:
        """Units we owe and no cheque covers."""
        return self.position.payable

    @property
    def cancelled(self) -> int:
        """Units that both sides have agreed to leave unpaid, as far as both still owe them."""
        return min(self._netting.agreed, self.offsetting)

    @property
    def offsetting(self) -> int:
        """Units that each side owes the other by our books, agreed or not."""
        position = self.position
        return min(position.payable, position.receivable)

    @property
    def netted(self) -> int:
        """Units for which no cheque will come as things stand: agreed, or to be agreed on when the peer is back."""
        return self.cancelled if self._connected else self.offsetting

    @property
    def window(self) -> int:
        """Units of credit that the peer has: what our exposure may come to."""
        seller = self._seller
        price = max((connection.price for connection in seller.connections), default=0) or self._reserve
        window = cost(seller.window, price)
        if seller.at_risk <= window:
            return window
        return max(0, window - sum(connection.held for connection in seller.connections))

    def turn(self, now: Now) -> Turn:
        """What to do about what is due; call it only where something is worth a cheque."""
        if self._waiting_since is not None and now.mono - self._waiting_since >= PATIENCE:
            self._impatient = True
        if not self._connected and not self._impatient and self.offsetting:
            turn = Turn(waiting=True)
        else:
            turn = self._netting.turn(
                self.position, quantum=1, window=self.window, finishing=True, urgent=self._impatient
            )
        if not turn.waiting:
            self._waiting_since = None
        elif self._waiting_since is None:
            self._waiting_since = now.mono
        self._held_back = not turn.waiting and turn.cumulative is None
        return turn

    def again_at(self, ready_at: float) -> float | None:
        """When to call `turn` again where nothing happens: None where only the peer can change anything."""
        if self._held_back:
            return None
        return ready_at if self._waiting_since is None else max(ready_at, self._waiting_since + PATIENCE)

    def received(self, net: Net) -> Net | None:
        """The peer's pledge; returns the answer, to be sent once our figures are durable."""
        answer = self._netting.received(Pledge(net.amount, net.number, net.seen), self.position)
        self._impatient = self._held_back = False
        if not self._netting.waiting:
            self._waiting_since = None
        return None if answer is None else Net(net.rail, answer.amount, answer.number, answer.seen)
