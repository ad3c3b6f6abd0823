"""The selling side of one connection: a state machine without input or output.

    OFFERED ──bid──▶ CHECKING ──covered──▶ PRICED ◀──cheque──┐
       ▲                │ not covered       ▲│  no cheque in  │
       │                ▼            a round▼│  time          │
       └──── FREE ◀── stop, ceiling, ──── OUTBID ─▶ SUSPENDED ──┘
                       expiry

The price comes from outside, round by round (`cleared`); until there is a round, it is the reserve. A connection whose
bid loses a round is served like any client that never paid, and wins a later one without another word.

Between CHECKING and PRICED may lie WAITING: a payer that has paid nothing yet needs an advance, and newcomers of its
network may have used up what they share. It is served like anybody until the shell has drawn one for it (`advanced`).

Every change of price is a `clear` message, and counts from the mark on which that message landed in the stream. Blocks
are admitted only up to an allowance, an absolute mark computed from the payer's credit, so the engine enforces credit
on its own thread while this machine waits for the cheque. A payer that reaches its limit is choked; if no cheque comes
for `stall_timeout`, it goes back to free service, like any client that never paid, until it pays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from node.speed.credit import CreditPolicy, SellerAccount
from node.speed.errors import Action, RemoteFaultError, StopCode
from node.speed.messages import Ask, Bid, ChequeMessage, Clear, Message, RailOffer, Receipt, Stop
from node.speed.meter import Meter
from node.speed.moment import Now
from node.speed.outputs import (
    CheckCoverage,
    Notice,
    Output,
    Send,
    Service,
    SetAllowance,
    SetService,
    StoreCheque,
)
from wallet.address import Address
from wallet.amount import MIB, cost
from wallet.cheque import Cheque, Rail, SignedCheque, bid_digest, verify_cheque
from wallet.errors import BadSignatureError
from wallet.keys import recover

BLOCK = 16 * 1024
"""BitTorrent's request size in bytes (BEP 3): with less room than this, nothing more can be sold."""

MAX_USELESS = 64
"""Repeated or stale cheques a connection may send between two that count."""

BID_BURST = 16
BIDS_PER_SECOND = 4
RATE_WINDOW = 0.25
"""Seconds over which the rate is measured."""


@dataclass(frozen=True, slots=True)
class SellerTerms:
    """What we sell for. `reserve` in units per MiB, the same number on every rail."""

    payee: Address
    rails: Mapping[str, Rail]
    reserve: int
    credit: CreditPolicy = field(default_factory=CreditPolicy)
    stall_timeout: float = 3.0
    ask_valid: int = 24 * 3600


class SellerState(Enum):
    """See the picture at the head of this module."""

    OFFERED = "offered"
    CHECKING = "checking"
    WAITING = "waiting"
    PRICED = "priced"
    OUTBID = "outbid"
    SUSPENDED = "suspended"
    FREE = "free"
    CLOSED = "closed"


UNPRICED = frozenset({SellerState.WAITING, SellerState.SUSPENDED})
"""The bid stands, and is served as soon as there is credit for it."""
NO_ADVANCE = "newcomers of this network have used up the credit they share: free service until more of it is paid"


class SellerSession:
    """One connection on which we may sell. Call its methods in stream order; carry out what they return in order.

    Raises `RemoteFaultError` from `message` when the peer is at fault; the shell then applies `fault`.
    """

    def __init__(self, terms: SellerTerms, nonce: bytes) -> None:
        self.terms = terms
        self.nonce = nonce
        self.state = SellerState.OFFERED
        self.meter = Meter()
        self.bid: Bid | None = None
        self.account: SellerAccount | None = None
        self._clears: dict[int, int] = {}
        self._next_tag = 1
        self._price_asked = 0
        """The price of the last clear that was handed out, landed or not."""
        self._allowance: int | None = None
        """The last one that was handed out."""
        self._price = terms.reserve
        self._granted = 0
        self._round = 0
        self._stalled_at: float | None = None
        self._useless = 0
        self._bids = 0
        self._first_bid_at = 0.0
        self._rate_from: tuple[float, int] | None = None

    # --- calls of the shell ------------------------------------------------------------------------------------------

    def start(self, now: Now) -> list[Output]:
        """The connection is up: offer our terms."""
        terms = self.terms
        rails = tuple(RailOffer(rail.id, rail.vault) for rail in terms.rails.values())
        ask = Ask(
            payee=terms.payee,
            nonce=self.nonce,
            rails=rails,
            reserve=terms.reserve,
            credit=terms.credit.newcomer,
            quantum=terms.credit.quantum,
            until=now.wall + terms.ask_valid,
        )
        return [Send(ask)]

    def message(self, message: Message, now: Now) -> list[Output]:
        """A message of the peer; those that are not for a seller are ignored. Raises `RemoteFaultError`."""
        if self.state is SellerState.CLOSED:
            return []
        match message:
            case Bid():
                return self._on_bid(message, now)
            case ChequeMessage():
                return self._on_cheque(message)
            case Stop():
                outputs: list[Output] = [Notice(message.code, message.text, by_peer=True)] if self.bid else []
                return outputs + self._end_pricing(SellerState.FREE)
            case _:
                return []

    def bytes_sent(self, mark: int, now: Now) -> None:
        """The `sent` mark moved."""
        self._book(self.meter.advance(mark))
        self._measure_rate(now)

    def message_sent(self, tag: int, mark: int, now: Now) -> list[Output]:
        """A tagged message landed on `mark`: a clear takes effect there."""
        price = self._clears.pop(tag, None)
        if price is None or self.state is SellerState.CLOSED:
            return []
        self._book(self.meter.set_price(price, mark))
        if price == 0:
            return self._leave()
        account = self._account()
        account.metered_at(price)
        if self not in account.connections:
            account.connections.append(self)
        return self.refresh(now)

    def coverage_known(self, account: SellerAccount) -> list[Output]:
        """The answer to `CheckCoverage`: the payer's account with `coverage` filled in."""
        if self.state is not SellerState.CHECKING or self.bid is None:
            return []
        self.account = account
        price = self._price
        if not account.connections:
            account.forgive(price)
        if account.window < BLOCK and account.wanted_advance(price):
            self.state = SellerState.WAITING
            # A receipt that grants no credit; a stop would end what may go on in a moment.
            return [Notice(StopCode.OVER_CREDIT, NO_ADVANCE, by_peer=False), Send(self._receipt())]
        if account.left(price) == 0 and account.at_risk == 0:
            return self._refuse_credit(account)
        return [Send(self._receipt()), *self._serve()]

    def advanced(self, now: Now) -> list[Output]:
        """More was drawn for this newcomer (`SellerAccount.advance`)."""
        account = self.account
        if account is None:
            return []
        outputs: list[Output] = [Send(self._receipt())]
        if self.state is SellerState.PRICED:
            return [*outputs, *self.refresh(now)]
        if self.state in UNPRICED and account.window >= BLOCK and account.left(self._price) > 0:
            return [*outputs, *self._serve()]
        return []

    def cleared(self, price: int, rate: int, number: int, now: Now) -> list[Output]:
        """Round `number` is over: what a mebibyte costs on this connection, and the rate (bytes/s) its bid has won.

        Rate 0 with a price above 0 says nothing of the rate; a price above the bid means that the bid has lost.
        """
        self._price, self._granted, self._round = max(price, self.terms.reserve), rate, number
        if self.state not in (SellerState.PRICED, SellerState.OUTBID):
            return []
        return [*self._serve(), *self.refresh(now)]

    def coverage_failed(self, reason: str) -> list[Output]:
        """The answer to `CheckCoverage` when the chain cannot be asked."""
        if self.state is not SellerState.CHECKING:
            return []
        return self._refuse(StopCode.CHAIN_UNAVAILABLE, f"cannot check the payer's vault now: {reason}")

    def refuse(self, code: StopCode, text: str) -> list[Output]:
        """This payer is sold nothing now, for a reason of ours; `text` tells it why. It may bid again."""
        if self.bid is None or self.state is SellerState.CLOSED:
            return []
        return self._refuse(code, text)

    def cheque_stored(self, cumulative: int, signature: bytes, now: Now) -> list[Output]:
        """The answer to `StoreCheque`: it is durable, so it counts. The peer may be gone: the account still grows."""
        account = self._account()
        if account.accept(cumulative, signature, self.price):
            self._useless = 0
        if self.state is SellerState.CLOSED:
            return []
        outputs: list[Output] = [Send(self._receipt())]
        if self.state in UNPRICED and account.left(self._price) > 0:
            outputs += self._serve()
        return outputs + self.refresh(now)

    def refresh(self, now: Now) -> list[Output]:
        """The account moved (cheque, coverage, other connections): recompute what may be served."""
        if self.meter.price == 0 or self.state is SellerState.CLOSED or self._price_asked == 0:
            return []
        if self._stalled_at is not None and self._room() < BLOCK:
            return self.stalled(now)
        self._stalled_at = None
        mark = self.meter.mark + self._room()
        return [] if mark == self._allowance else [self._allow(mark)]

    def stalled(self, now: Now) -> list[Output]:
        """The engine refused a block beyond the allowance and choked the peer."""
        if self.meter.price == 0 or self.state is not SellerState.PRICED:
            return []
        if self._room() >= BLOCK:
            self._stalled_at = None
            return self.refresh(now)
        bid, account = self._bid(), self._account()
        if bid.ceiling is not None and self.meter.room(bid.ceiling) < BLOCK:
            notice = Notice(StopCode.BUDGET, "the buyer's budget for this connection is used up", by_peer=True)
            return [notice, *self._end_pricing(SellerState.FREE)]
        if account.at_risk == 0 and account.window >= BLOCK * max(1, len(account.connections)):
            return self._refuse_credit(account)
        if self._stalled_at is None:
            self._stalled_at = now.mono
        return []

    def deadline(self) -> float | None:
        """Monotonic time at which `timer` wants to be called."""
        return None if self._stalled_at is None else self._stalled_at + self.terms.stall_timeout

    def timer(self, now: Now) -> list[Output]:
        """Call once a second and at `deadline`."""
        outputs: list[Output] = []
        deadline = self.deadline()
        if deadline is not None and now.mono >= deadline:
            self._stalled_at = None
            if self.state is SellerState.PRICED:
                outputs.append(Notice(StopCode.OVER_CREDIT, "no cheque came at the credit limit: free service", True))
                outputs += self._end_pricing(SellerState.SUSPENDED)
        if self.bid is not None and self.bid.until < now.wall and self._price_asked:
            outputs.append(Notice(StopCode.EXPIRED, "the bid expired", by_peer=True))
            outputs += self._end_pricing(SellerState.FREE)
        return outputs

    def fault(self, fault: RemoteFaultError) -> list[Output]:
        """What to do about a remote fault: stop selling, and perhaps more."""
        outputs: list[Output] = [Notice(fault.code, str(fault), by_peer=True)]
        if fault.action is Action.IGNORE:
            return outputs
        outputs.append(Send(Stop(fault.code, str(fault))))
        outputs += self._end_pricing(SellerState.FREE)
        return outputs

    def closed(self, mark: int) -> None:
        """The connection is gone; `mark` is its last `sent` mark."""
        self._book(self.meter.advance(mark))
        self._leave()
        self.state = SellerState.CLOSED

    @property
    def price(self) -> int:
        """Units per MiB: in force, or asked last, or the reserve; never 0."""
        return self.meter.price or self._price_asked or self.terms.reserve

    @property
    def round_price(self) -> int:
        """Units per MiB that the latest round has found for this connection; the reserve where there was none."""
        return self._price

    @property
    def held(self) -> int:
        """Units that this connection may still be metered: what it was admitted and has not been sent."""
        return 0 if self._allowance is None else cost(max(0, self._allowance - self.meter.mark), self.price)

    # --- the peer's messages -----------------------------------------------------------------------------------------

    def _on_bid(self, bid: Bid, now: Now) -> list[Output]:
        self._bids += 1
        if self._bids == 1:
            self._first_bid_at = now.mono
        if self._bids > BID_BURST + BIDS_PER_SECOND * (now.mono - self._first_bid_at):
            raise RemoteFaultError("too many bids", action=Action.DISCONNECT, code=StopCode.MALFORMED)
        rail = self.terms.rails.get(bid.rail)
        if rail is None:
            return self._refuse(StopCode.UNKNOWN_RAIL, f"we do not settle on {bid.rail}")
        if bid.until < now.wall:
            return self._refuse(StopCode.EXPIRED, "the bid had expired when it came: check the clock")
        if bid.price < self.terms.reserve:
            return self._refuse(StopCode.BELOW_RESERVE, f"the reserve price is {self.terms.reserve} per MiB")
        digest = bid_digest(rail, bid.payer, self.terms.payee, bid.price, self.nonce)
        try:
            signer = recover(digest, bid.signature)
        except BadSignatureError as error:
            raise _bad_signature(f"bid: {error}") from None
        if signer != bid.payer:
            raise _bad_signature("bid: not signed by the payer it names")
        if (
            self.bid is not None
            and self.account is not None
            and (self.bid.payer, self.bid.rail)
            != (
                bid.payer,
                bid.rail,
            )
        ):
            raise RemoteFaultError(
                "one connection has one payer on one rail", action=Action.DISCONNECT, code=StopCode.MALFORMED
            )
        self.bid = bid
        if self.state in (SellerState.PRICED, SellerState.OUTBID):
            return [*self._serve(), *self.refresh(now)]
        self.state = SellerState.CHECKING
        return [CheckCoverage(bid)]

    def _on_cheque(self, message: ChequeMessage) -> list[Output]:
        bid, account = self.bid, self.account
        if bid is None or account is None or (message.rail, message.payer) != (bid.rail, bid.payer):
            self._count_useless("a cheque without a bid")
            return []
        if message.cumulative <= max(account.accepted, account.storing):
            # A repeat or a step back changes nothing; the receipt shows the payer what it has signed already.
            self._count_useless("stale cheques")
            return [Send(self._receipt())] if account.storing <= account.accepted else []
        rail = self.terms.rails[bid.rail]
        cheque = Cheque(bid.payer, self.terms.payee, message.cumulative)
        try:
            verify_cheque(rail, SignedCheque(rail, cheque, message.signature), bid.payer)
        except BadSignatureError as error:
            raise _bad_signature(f"cheque: {error}") from None
        account.storing = message.cumulative
        return [StoreCheque(bid.rail, message.cumulative, message.signature)]

    def _count_useless(self, what: str) -> None:
        self._useless += 1
        if self._useless > MAX_USELESS:
            raise RemoteFaultError(f"too many {what}", action=Action.DISCONNECT, code=StopCode.STALE_CHEQUE)

    # --- the parts ---------------------------------------------------------------------------------------------------

    def _bid(self) -> Bid:
        if self.bid is None:
            raise RuntimeError("no bid on this connection")
        return self.bid

    def _account(self) -> SellerAccount:
        if self.account is None:
            raise RuntimeError("no account on this connection")
        return self.account

    def _serve(self) -> list[Output]:
        """At the round's price where the bid reaches it, else like anybody."""
        if self._bid().price < self._price:
            return self._end_pricing(SellerState.OUTBID)
        self.state = SellerState.PRICED
        return self._clear(self._price)

    def _book(self, grown: int) -> None:
        if grown:
            self._account().earned += grown

    def _measure_rate(self, now: Now) -> None:
        if self.account is None:
            return
        if self._rate_from is None:
            self._rate_from = (now.mono, self.meter.mark)
            return
        since, mark = self._rate_from
        elapsed = now.mono - since
        if elapsed >= RATE_WINDOW:
            rate = int((self.meter.mark - mark) / elapsed)
            self.account.rate = rate if rate > self.account.rate else (rate + self.account.rate) // 2
            self._rate_from = (now.mono, self.meter.mark)

    def _room(self) -> int:
        """Bytes that may be sent beyond the meter's mark."""
        left = self._account().share(self.meter.price, self)
        ceiling = self._bid().ceiling
        if ceiling is not None:
            left = min(left, max(0, ceiling - self.meter.amount))
        return self.meter.room(self.meter.amount + left)

    def _clear(self, price: int) -> list[Output]:
        """Announce `price`; it takes effect in `message_sent`."""
        if price == self._price_asked:
            return []
        outputs: list[Output] = []
        if self._price_asked == 0:
            # The clear will land at or after the meter's mark: this bound holds credit until we know where.
            room = self._account().share(price, self) * MIB // price
            outputs += [self._allow(self.meter.mark + room), SetService(Service.PRICED)]
        tag, self._next_tag = self._next_tag, self._next_tag + 1
        self._clears[tag] = price
        self._price_asked = price
        return [*outputs, Send(Clear(price, self._granted if price else 0, self._round, self._bids), tag)]

    def _allow(self, mark: int | None) -> Output:
        self._allowance = mark
        return SetAllowance(mark)

    def _refuse_credit(self, account: SellerAccount) -> list[Output]:
        """Nothing is owed and still nothing can be sold."""
        if account.uncovered:
            return self._refuse(StopCode.INSOLVENT, account.why_uncovered)
        return self._refuse(StopCode.OVER_CREDIT, "what this payer took before it never paid: no more credit")

    def _end_pricing(self, state: SellerState) -> list[Output]:
        self.state = state
        self._stalled_at = None
        return self._clear(0)

    def _refuse(self, code: StopCode, text: str) -> list[Output]:
        return [Notice(code, text, by_peer=False), Send(Stop(code, text)), *self._end_pricing(SellerState.FREE)]

    def _leave(self) -> list[Output]:
        if self.account is not None and self in self.account.connections:
            self.account.connections.remove(self)
        # A newer clear may already be on its way: then its own allowance stands.
        return [self._allow(None), SetService(Service.FREE)] if self._price_asked == 0 else []

    def _receipt(self) -> Receipt:
        account, meter = self._account(), self.meter
        return Receipt(
            rail=self._bid().rail,
            cumulative=account.accepted,
            signature=account.signature,
            mark=meter.mark,
            priced=meter.bytes,
            amount=meter.amount,
            credit=account.window,
        )


def _bad_signature(text: str) -> RemoteFaultError:
    return RemoteFaultError(text, action=Action.DISCONNECT, code=StopCode.BAD_SIGNATURE)
