"""Two nodes that sell to and buy from each other on one connection, joined in memory: all four sessions, both accounts
of each side, and pledges. One ordered stream each way; disks answer when told. Nothing here decides anything.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from node.speed.buyer import BuyerAccount, BuyerSession
from node.speed.credit import CreditPolicy, SellerAccount
from node.speed.errors import RemoteFaultError
from node.speed.messages import ChequeMessage, Message, Net, decode_message, encode_message
from node.speed.moment import Now
from node.speed.netting import Mutual
from node.speed.outputs import (
    AskReceived,
    CheckCoverage,
    IssueCheque,
    MakePledge,
    Notice,
    Output,
    Send,
    SetAllowance,
    SetService,
    StoreCheque,
)
from node.speed.seller import BLOCK, SellerSession, SellerTerms
from tests.unit.speed.pair import PRICE, RAIL
from wallet.amount import MIB, cost
from wallet.cheque import Cheque, sign_cheque
from wallet.keys import PrivateKey
from wallet.netting import Position

PIECE = 4 * BLOCK
WINDOW = MIB
POLICY = CreditPolicy(newcomer=WINDOW, quantum=256 * 1024, cap=WINDOW)


@dataclass
class Side:
    """One node. `nets`: it knows the message `net`."""

    key: PrivateKey
    nets: bool = True
    pays: bool = True
    """False: it pledges, but its cheques never leave."""
    seller_account: SellerAccount = field(default_factory=lambda: SellerAccount(POLICY))
    buyer_account: BuyerAccount = field(default_factory=BuyerAccount)
    inbox: deque[Message | int] = field(default_factory=deque)
    """What the other side has sent: blocks as their length, and messages."""
    disk: deque[Output] = field(default_factory=deque)
    """What has to be durable before it takes effect."""
    sent: int = 0
    received: int = 0
    allowance: int | None = None
    cheques: int = 0
    notices: list[Notice] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.mutual = Mutual(self.buyer_account, self.seller_account, PRICE)
        if self.nets:
            self.buyer_account.netter = self.seller_account.counterclaim = self.mutual
        self.connect()

    def connect(self) -> None:
        self.seller = SellerSession(SellerTerms(self.key.address, {RAIL.id: RAIL}, PRICE, POLICY), bytes(32))
        self.buyer = BuyerSession(self.key.address, {RAIL.id: RAIL})
        self.sent = self.received = 0
        self.allowance = None
        self.inbox.clear()
        self.disk.clear()
        self.buyer_account.issuing = False
        self.seller_account.storing = self.seller_account.accepted

    @property
    def position(self) -> Position:
        """As it is on disk."""
        seller, buyer = self.seller_account, self.buyer_account
        return Position(buyer.owed, buyer.issued, seller.earned - seller.forgiven, seller.accepted)


class Duo:
    """Both, and the time."""

    def __init__(self, *, nets: tuple[bool, bool] = (True, True), pays: tuple[bool, bool] = (True, True)) -> None:
        self.mono = 1000.0
        keys = (PrivateKey(bytes([0x46]) * 32), PrivateKey(bytes([0x47]) * 32))
        self.sides = tuple(Side(keys[who], nets[who], pays[who]) for who in (0, 1))
        self.open()

    @property
    def now(self) -> Now:
        return Now(self.mono, 1_800_000_000)

    def open(self) -> None:
        for who in (0, 1):
            self.run(who, self.sides[who].seller.start(self.now))
        self.carry()
        for side in self.sides:
            side.mutual.begin()
        self.settle()

    def reconnect(self) -> None:
        """What was on its way is lost, and so are blocks of pieces that were not complete."""
        for side in self.sides:
            side.seller.closed(side.sent)
            side.buyer.closed()
            side.mutual.end()
        for side in self.sides:
            side.connect()
        self.open()

    # --- what happens ------------------------------------------------------------------------------------------------

    def serve(self, who: int, blocks: int) -> None:
        """As many as the allowance admits."""
        side = self.sides[who]
        for _ in range(blocks):
            if side.allowance is not None and side.sent + BLOCK > side.allowance:
                self.run(who, side.seller.stalled(self.now))
                return
            side.sent += BLOCK
            self.sides[1 - who].inbox.append(BLOCK)
            side.seller.bytes_sent(side.sent, self.now)

    def deliver(self, who: int) -> bool:
        """The next item reaches this side."""
        side = self.sides[who]
        if not side.inbox:
            return False
        item = side.inbox.popleft()
        if isinstance(item, int):
            side.buyer.bytes_received(side.received // PIECE, item)
            side.received += item
            if side.received % PIECE == 0:
                side.buyer.piece_passed(side.received // PIECE - 1)
            self.run(who, side.buyer.settle(self.now))
            return True
        assert decode_message(encode_message(item)) == item
        if isinstance(item, Net):
            self._pledged(who, item)
            return True
        for session in (side.seller, side.buyer):
            try:
                self.run(who, session.message(item, self.now))
            except RemoteFaultError as fault:
                self.run(who, session.fault(fault))
        return True

    def _pledged(self, who: int, net: Net) -> None:
        side = self.sides[who]
        if not side.nets:
            return
        answer = side.mutual.received(net)
        if answer is not None:
            side.disk.append(MakePledge(answer))
        self.run(who, side.seller.refresh(self.now))
        self.run(who, side.buyer.settle(self.now))

    def commit(self, who: int) -> bool:
        """The disk has done one thing."""
        side = self.sides[who]
        if not side.disk:
            return False
        match side.disk.popleft():
            case IssueCheque(_, cumulative, _):
                cheque = Cheque(side.key.address, self.sides[1 - who].key.address, cumulative)
                side.cheques += 1
                self.run(who, side.buyer.cheque_issued(cumulative, sign_cheque(RAIL, cheque, side.key).signature))
            case StoreCheque(_, cumulative, signature):
                self.run(who, side.seller.cheque_stored(cumulative, signature, self.now))
                self.run(who, side.seller.refresh(self.now))
            case MakePledge(net):
                assert side.buyer_account.owed - side.buyer_account.issued >= net.amount
                self.sides[1 - who].inbox.append(net)
            case other:
                raise AssertionError(other)
        return True

    def carry(self) -> None:
        """Until nothing moves."""
        for _ in range(100_000):
            moved = [self.deliver(who) or self.commit(who) for who in (0, 1)]
            if not any(moved):
                return
        raise AssertionError("they never stop talking")

    def settle(self) -> None:
        for who in (0, 1):
            self.run(who, self.sides[who].buyer.settle(self.now))
        self.carry()

    def wait(self, seconds: float) -> None:
        self.mono += seconds
        for who in (0, 1):
            self.run(who, self.sides[who].seller.timer(self.now))
            self.run(who, self.sides[who].buyer.settle(self.now))

    def finish(self) -> None:
        """Every piece passes, everything on its way arrives, and both pay what is left."""
        self.carry()
        for side in self.sides:
            side.buyer.piece_passed(side.received // PIECE)
            side.buyer.finish()
        for _ in range(4):
            self.settle()
            self.wait(3.0)
        self.carry()

    # --- the shells' part --------------------------------------------------------------------------------------------

    def run(self, who: int, outputs: list[Output]) -> None:
        side, other = self.sides[who], self.sides[1 - who]
        for output in outputs:
            match output:
                case Send(message, tag):
                    if side.pays or not isinstance(message, ChequeMessage):
                        other.inbox.append(message)
                    if tag:
                        self.run(who, side.seller.message_sent(tag, side.sent, self.now))
                case SetAllowance(mark):
                    side.allowance = mark
                case CheckCoverage():
                    side.seller_account.coverage = 10**30
                    self.run(who, side.seller.coverage_known(side.seller_account))
                case AskReceived():
                    until, sign = self.now.wall + 3600, side.key.sign_digest
                    bid = side.buyer.bid(side.buyer_account, price=PRICE, rate=0, ceiling=None, until=until, sign=sign)
                    self.run(who, bid)
                case StoreCheque() | IssueCheque() | MakePledge():
                    side.disk.append(output)
                case Notice():
                    side.notices.append(output)
                case SetService():
                    pass
                case _:
                    raise AssertionError(output)


WORTH = cost(WINDOW, PRICE)
"""What the window is worth."""
