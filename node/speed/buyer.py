"""The buying side of one connection, and the account with one payee that its connections share.

Theory. The buyer meters what it receives exactly as the seller meters what it sends, and pays for the part whose pieces
have passed their hash. It pays late rather than early, but never so late that the seller must stop: a cheque goes out

* when a quantum is payable, at most every `MIN_INTERVAL` (at high rates a cheque then covers several quanta),
* earlier, when half of the credit is in use and an eighth of it is payable; at three quarters without the pause,
* for everything payable at the end of the download, or when the connection opens with old debts.

Where the payee owes us too (`Mutual`), only the difference is paid: before a cheque is signed, both sides may pledge to
leave the rest unpaid.

Cheques are cumulative per payee. `owed` is what we acknowledge, `issued` what we have signed; both only grow. Nothing
is ever signed above a bid's price or a connection's ceiling: that is the user's own limit, and it holds whatever the
other side says.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from node.speed.errors import Action, RemoteFaultError, StopCode
from node.speed.messages import Ask, Bid, ChequeMessage, Clear, Message, Net, Receipt, Stop
from node.speed.meter import Meter, Verifier
from node.speed.moment import Now
from node.speed.outputs import AskReceived, IssueCheque, MakePledge, Notice, Output, RaiseFloor, Send
from wallet.address import Address
from wallet.amount import MIB, cost
from wallet.cheque import Cheque, Rail, SignedCheque, bid_digest, verify_cheque
from wallet.errors import BadSignatureError
from wallet.netting import Turn

MIN_INTERVAL = 0.1
"""Seconds between two cheques to one payee, unless credit runs short."""

BID_UNREAD = 10.0
"""Seconds for which a seller may go on answering an older bid: the newer one is on its way."""
MAX_BIDS = 64
"""Bids that one clear may be an answer to."""

MIN_QUANTUM = 16 * 1024
MAX_QUANTUM = 64 * MIB


class Netter(Protocol):
    """What the payee owes us on the same rail (`node.speed.netting.Mutual`)."""

    @property
    def cancelled(self) -> int:
        """Units of our debt, and as much of the payee's, that both sides have agreed to leave unpaid."""

    def turn(self, now: Now) -> Turn:
        """What to do about what is due: pledge, sign, or wait."""

    def again_at(self, ready_at: float) -> float | None:
        """When to ask again, if nothing else happens; `ready_at`: when a cheque may be due again."""


@dataclass(slots=True)
class BuyerAccount:
    """What we owe one payee on one rail. Amounts in token units.

    `owed`: payable so far, cumulative. `issued`: highest durable cheque. `acknowledged`: highest cheque the payee has
    confirmed. `metered`: what the payee is likely to count, cumulative; runs ahead of `owed` by what is unverified.
    """

    owed: int = 0
    issued: int = 0
    signature: bytes = b""
    acknowledged: int = 0
    metered: int = 0
    unproven: bool = False
    """A restored database may have forgotten cheques to this payee: its first receipt tells."""
    issuing: bool = False
    signing: int = 0
    """The cheque on its way into the store while `issuing`, cumulative."""
    netter: Netter | None = None
    last_issued_at: float = float("-inf")

    def __post_init__(self) -> None:
        self.owed = max(self.owed, self.issued)
        self.metered = max(self.metered, self.owed)

    @property
    def due(self) -> int:
        """Units payable that no cheque covers yet, and that do not cancel out."""
        return self.owed - self.issued - self.cancelled

    @property
    def cancelled(self) -> int:
        """Units that are left unpaid because the payee owes us as much."""
        return self.netter.cancelled if self.netter else 0

    @property
    def settled(self) -> bool:
        """Everything payable is paid, and the payee has said so."""
        return self.due == 0 and self.acknowledged == self.issued


class BuyerState(Enum):
    """How far the trade on one connection has come."""

    WAITING = "waiting"
    """No ask yet."""
    ASKED = "asked"
    BIDDING = "bidding"
    """A bid is out (or refused, which looks the same until it is renewed)."""
    STOPPED = "stopped"
    CLOSED = "closed"


class BuyerSession:
    """One connection on which we may buy. Call its methods in stream order; carry out what they return in order.

    Raises `RemoteFaultError` from `message` when the peer is at fault; the shell then applies `fault`.
    """

    def __init__(self, payer: Address, rails: Mapping[str, Rail]) -> None:
        self.payer = payer
        self.rails = rails
        self.state = BuyerState.WAITING
        self.meter = Meter()
        self.verifier = Verifier(self.meter)
        self.ask: Ask | None = None
        self.bid_made: Bid | None = None
        self.rail: Rail | None = None
        self.account: BuyerAccount | None = None
        self.credit = 0
        self.granted = 0
        """Bytes per second that the seller has granted at the price in force; 0: it named none."""
        self.finishing = False
        self.disputed = False
        self._counted = 0
        """The part of `verifier.payable` that is in the account."""
        self._bids: deque[tuple[int, int]] = deque(maxlen=MAX_BIDS)
        """Number and price of the bids that a clear may still answer, the oldest first."""
        self._bids_made = 0
        self._above_since: float | None = None
        """Since when the price in force is above the latest bid."""
        self._unread_since: float | None = None
        """Since when clears have answered an older bid than the latest."""
        self._greeted = False
        """The seller's first receipt on this connection came."""

    # --- calls of the shell ------------------------------------------------------------------------------------------

    def message(self, message: Message, now: Now) -> list[Output]:
        """A message of the peer; those that are not for a buyer are ignored. Raises `RemoteFaultError`."""
        if self.state is BuyerState.CLOSED:
            return []
        match message:
            case Ask():
                return self._on_ask(message, now)
            case Clear():
                return self._on_clear(message, now)
            case Receipt():
                return self._on_receipt(message, now)
            case Stop():
                if self.state is not BuyerState.BIDDING:
                    return []
                self.state = BuyerState.STOPPED
                return [Notice(message.code, message.text, by_peer=True)]
            case _:
                return []

    def bid(
        self,
        account: BuyerAccount,
        *,
        price: int,
        rate: int,
        ceiling: int | None,
        until: int,
        sign: Callable[[bytes], bytes],
    ) -> list[Output]:
        """Bid, or renew the bid, on the ask at hand. `ceiling` is for this connection in all, not from now on.

        `sign` turns a 32-byte digest into the payer's 65-byte signature.
        """
        ask, rail = self.ask, self.rail
        if ask is None or rail is None or self.state is BuyerState.CLOSED:
            return []
        self.account = account
        digest = bid_digest(rail, self.payer, ask.payee, price, ask.nonce)
        self.bid_made = Bid(rail.id, self.payer, price, rate, until, ceiling, sign(digest))
        self._bids_made += 1
        self._bids.append((self._bids_made, price))
        self.state = BuyerState.BIDDING
        return [Send(self.bid_made)]

    def stop(self, code: StopCode, text: str) -> list[Output]:
        """End the trade from our side. What is payable by then is still paid."""
        if self.state is not BuyerState.BIDDING:
            return []
        self.state = BuyerState.STOPPED
        return [Notice(code, text, by_peer=False), Send(Stop(code, text))]

    def bytes_received(self, piece: int, length: int, *, unrequested: int = 0, verified: bool = False) -> None:
        """More block bytes of `piece` arrived; `verified`: this piece had passed its hash already."""
        grown = self.meter.advance(self.meter.mark + length)
        if self.account is not None:
            self.account.metered += grown
        self.verifier.received(piece, length, unrequested=unrequested, verified=verified)

    def piece_passed(self, piece: int) -> int:
        """A piece of this torrent passed its hash; returns how many bytes of it this peer had sent."""
        return self.verifier.passed(piece)

    def piece_failed(self, piece: int) -> int:
        """A piece of this torrent failed; returns how many bytes of it this peer had sent."""
        return self.verifier.failed(piece)

    def finish(self) -> None:
        """The download is complete: pay everything payable from now on, whatever the quantum."""
        self.finishing = True

    def settle(self, now: Now) -> list[Output]:
        """Call after each batch of events and at `deadline`: decides whether a cheque is due."""
        account, rail = self.account, self.rail
        if account is None or rail is None:
            return []
        payable = self.verifier.payable
        ceiling = self.bid_made.ceiling if self.bid_made else None
        if ceiling is not None:
            payable = min(payable, ceiling)
        if payable > self._counted and not self.disputed:
            account.owed += payable - self._counted
            self._counted = payable
        if self._charges_too_much(now):
            return self.stop(StopCode.PRICE_TOO_HIGH, "the seller does not read our lower bid")
        if self.state is BuyerState.CLOSED or account.issuing or not self._greeted or not self._worth_paying(now):
            return []
        return self._pay(account, rail, now)

    def _pay(self, account: BuyerAccount, rail: Rail, now: Now) -> list[Output]:
        """A cheque for what is due, or first a pledge where the payee owes us too."""
        turn = account.netter.turn(now) if account.netter else Turn(cumulative=account.owed)
        if turn.pledge is not None:
            account.last_issued_at = now.mono
            return [MakePledge(Net(rail.id, turn.pledge.amount, turn.pledge.number, turn.pledge.seen))]
        if turn.cumulative is None:
            return []
        account.issuing, account.signing = True, turn.cumulative
        account.last_issued_at = now.mono
        return [IssueCheque(rail.id, turn.cumulative, turn.cumulative - account.issued)]

    def _charges_too_much(self, now: Now) -> bool:
        """A lower bid than the price in force has had time enough to be read. What comes from here on is disputed."""
        bid = self.bid_made
        if bid is None or self.meter.price <= bid.price or self.state is not BuyerState.BIDDING:
            self._above_since = None
            return False
        if self._above_since is None:
            self._above_since = now.mono
        if now.mono - self._above_since <= BID_UNREAD:
            return False
        self.disputed = True
        return True

    def deadline(self) -> float | None:
        """Monotonic time at which `settle` wants to be called again, if nothing else happens."""
        account = self.account
        if account is None or account.issuing or account.due < self._quantum_value:
            return None
        ready_at = account.last_issued_at + MIN_INTERVAL
        return account.netter.again_at(ready_at) if account.netter else ready_at

    def cheque_issued(self, cumulative: int, signature: bytes) -> list[Output]:
        """The answer to `IssueCheque`: signed and durable, so it may leave the machine."""
        account = self._account()
        account.issuing = False
        if cumulative > account.issued:
            account.issued, account.signature = cumulative, signature
        return self._send_cheque()

    def issue_refused(self, reason: str) -> list[Output]:
        """The answer to `IssueCheque` when a spend limit or a local fault forbids it: nothing was signed."""
        self._account().issuing = False
        self.disputed = True
        return self.stop(StopCode.BUDGET, reason)

    def fault(self, fault: RemoteFaultError) -> list[Output]:
        """What to do about a remote fault: stop buying; nothing beyond what is payable now will be paid."""
        outputs: list[Output] = [Notice(fault.code, str(fault), by_peer=True)]
        if fault.action is Action.IGNORE:
            return outputs
        if self.state is BuyerState.BIDDING:
            self.state = BuyerState.STOPPED
        return [*outputs, Send(Stop(fault.code, str(fault)))]

    @property
    def counted(self) -> int:
        """Units of this connection that are in the account: verified, agreed, and within the ceiling."""
        return self._counted

    def closed(self) -> None:
        """The connection is gone. Pieces may still pass: keep calling `piece_passed` and `settle` until `idle`."""
        self.state = BuyerState.CLOSED

    @property
    def idle(self) -> bool:
        """Closed, and nothing received on it waits for a hash."""
        return self.state is BuyerState.CLOSED and self.verifier.unverified == 0

    # --- the peer's messages -----------------------------------------------------------------------------------------

    def _on_ask(self, ask: Ask, now: Now) -> list[Output]:
        if ask.until < now.wall:
            return [Notice(StopCode.EXPIRED, "the seller's ask had expired when it came: check the clock", True)]
        offers = {offer.id: offer for offer in ask.rails}
        rail = next(
            (r for r in self.rails.values() if r.id in offers and offers[r.id].vault == r.vault),
            None,
        )
        if rail is None:
            known = ", ".join(offers) or "none"
            text = f"no common rail: the seller settles on {known}"
            return [Notice(StopCode.UNKNOWN_RAIL, text, by_peer=False), Send(Stop(StopCode.UNKNOWN_RAIL, text))]
        if self.ask is not None and self.ask.payee != ask.payee:
            raise RemoteFaultError(
                "the seller changed its payee on one connection", action=Action.DISCONNECT, code=StopCode.MALFORMED
            )
        self.ask, self.rail, self.credit = ask, rail, ask.credit
        if self.state is BuyerState.WAITING:
            self.state = BuyerState.ASKED
        return [AskReceived(ask)]

    def _on_clear(self, clear: Clear, now: Now) -> list[Output]:
        bid = self.bid_made
        if clear.price and (bid is None or self.state not in (BuyerState.BIDDING, BuyerState.STOPPED)):
            raise RemoteFaultError(
                "the seller set a price without a bid", action=Action.STOP_TRADE, code=StopCode.PRICE_TOO_HIGH
            )
        if bid is not None and clear.price > (agreed := self._agreed(clear.bid, now)):
            # From here on its account and ours differ, by what we never agreed to pay.
            self.disputed = True
            raise RemoteFaultError(
                f"the seller cleared at {clear.price} per MiB above our bid of {agreed}",
                action=Action.STOP_TRADE,
                code=StopCode.PRICE_TOO_HIGH,
            )
        self.meter.set_price(clear.price, self.meter.mark)
        self.granted = clear.rate
        return []

    def _agreed(self, number: int, now: Now) -> int:
        """What we bid in the bid that a clear answers. An older bid than the latest binds us only while the latest may
        still be on its way to the seller."""
        while self._bids and self._bids[0][0] < number:
            self._bids.popleft()
        if not self._bids or self._bids[0][0] != number:
            return 0
        if number == self._bids_made:
            self._unread_since = None
        elif self._unread_since is None:
            self._unread_since = now.mono
        elif now.mono - self._unread_since > BID_UNREAD:
            return self._bids[-1][1]
        return self._bids[0][1]

    def _on_receipt(self, receipt: Receipt, now: Now) -> list[Output]:
        account, rail = self.account, self.rail
        if account is None or rail is None or receipt.rail != rail.id:
            return []
        outputs: list[Output] = []
        if receipt.cumulative > account.issued and not self._learn_from(receipt):
            raise RemoteFaultError(
                "the seller claims a cheque we never signed", action=Action.STOP_TRADE, code=StopCode.ACCOUNTS_DIFFER
            )
        if receipt.cumulative > account.issued:
            outputs.append(RaiseFloor(rail.id, receipt.cumulative, receipt.signature))
            account.issued, account.signature = receipt.cumulative, receipt.signature
            account.owed = max(account.owed, receipt.cumulative)
            account.metered = max(account.metered, receipt.cumulative)
        elif account.unproven:
            # It claims no more than we remember. Were that a lie, only its own claim would shrink.
            outputs.append(RaiseFloor(rail.id, account.issued, account.signature))
        account.unproven = False
        ours = self.meter.at(receipt.mark)
        if ours is not None and not self.disputed and (ours.bytes, ours.amount) != (receipt.priced, receipt.amount):
            self.disputed = True
            raise RemoteFaultError(
                f"accounts differ at byte {receipt.mark}: the seller counts {receipt.priced} bytes, {receipt.amount}; "
                f"we {ours.bytes} bytes, {ours.amount}",
                action=Action.STOP_TRADE,
                code=StopCode.ACCOUNTS_DIFFER,
                overcounted=max(0, receipt.priced - ours.bytes),
            )
        account.acknowledged = max(account.acknowledged, receipt.cumulative)
        self.credit = receipt.credit
        if not self._greeted:
            self._greeted = True
            if receipt.cumulative < account.issued and not account.issuing:
                # A cheque that was signed and stored, but never arrived.
                outputs += self._send_cheque()
        return outputs + self.settle(now)

    # --- the parts ---------------------------------------------------------------------------------------------------

    def _account(self) -> BuyerAccount:
        if self.account is None:
            raise RuntimeError("no account on this connection")
        return self.account

    def _send_cheque(self) -> list[Output]:
        account, rail = self._account(), self.rail
        if rail is None or self.state is BuyerState.CLOSED or not account.signature:
            return []
        return [Send(ChequeMessage(rail.id, self.payer, account.issued, account.signature))]

    def _learn_from(self, receipt: Receipt) -> bool:
        """Whether the receipt proves, by our own signature, that we signed more than we remember."""
        if self.ask is None or self.rail is None or not receipt.signature:
            return False
        cheque = Cheque(self.payer, self.ask.payee, receipt.cumulative)
        try:
            verify_cheque(self.rail, SignedCheque(self.rail, cheque, receipt.signature), self.payer)
        except BadSignatureError:
            return False
        return True

    @property
    def _price(self) -> int:
        return self.meter.price or (self.bid_made.price if self.bid_made else 0)

    @property
    def _quantum_value(self) -> int:
        quantum = self.ask.quantum if self.ask else MIB
        return max(1, cost(min(max(quantum, MIN_QUANTUM), MAX_QUANTUM), self._price))

    def _worth_paying(self, now: Now) -> bool:
        account = self._account()
        due = account.due
        if due <= 0:
            return False
        if self.finishing or self.meter.price == 0:
            return True
        credit = cost(self.credit, self._price)
        at_stake = account.metered - account.issued - account.cancelled
        in_use = at_stake * 4
        if in_use >= credit * 3 or (in_use >= credit * 2 and now.mono >= account.last_issued_at + MIN_INTERVAL):
            # A cheque for less than this would cost more work than it buys room.
            return due * 8 >= min(credit, self._quantum_value * 8)
        if at_stake + cost(MIN_QUANTUM, self._price) > credit:
            return True
        return due >= self._quantum_value and now.mono >= account.last_issued_at + MIN_INTERVAL
