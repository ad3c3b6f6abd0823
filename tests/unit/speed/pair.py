"""A seller and a buyer session joined in memory: one ordered stream each way, and a store that answers when told.

The seller's stream carries blocks and messages in order, as the engine's does; the buyer's carries messages. Time is a
number that tests move. Nothing here decides anything: it only carries.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from node.speed.buyer import BuyerAccount, BuyerSession
from node.speed.credit import CreditPolicy, SellerAccount
from node.speed.errors import RemoteFaultError
from node.speed.messages import Message, decode_message, encode_message
from node.speed.moment import Now
from node.speed.outputs import (
    AskReceived,
    CheckCoverage,
    Disconnect,
    IssueCheque,
    Notice,
    Output,
    RaiseFloor,
    Send,
    SetAllowance,
    SetService,
    StoreCheque,
)
from node.speed.seller import BLOCK, SellerSession, SellerTerms
from wallet.address import Address
from wallet.amount import BTT, MIB
from wallet.cheque import Cheque, Rail, sign_cheque
from wallet.keys import PrivateKey

PAYER_KEY = PrivateKey(bytes([0x46]) * 32)
PAYEE_KEY = PrivateKey(bytes([0x47]) * 32)
VAULT = Address(bytes([0x8D]) * 20)
RAIL = Rail("eip155:199", 199, VAULT, BTT)
PRICE = 10**15


@dataclass
class Pair:
    """`price` is both the reserve and the highest bid unless a test says otherwise."""

    price: int = PRICE
    bid_price: int | None = None
    ceiling: int | None = None
    coverage: int | None = 10**30
    piece_length: int = 256 * 1024
    policy: CreditPolicy = field(default_factory=CreditPolicy)
    seller_account: SellerAccount | None = None
    buyer_account: BuyerAccount = field(default_factory=BuyerAccount)
    hold_store: bool = False
    """Keep stored and issued cheques waiting until `release_store`."""

    def __post_init__(self) -> None:
        self.mono = 1000.0
        self.wall = 1_800_000_000
        terms = SellerTerms(PAYEE_KEY.address, {RAIL.id: RAIL}, self.price, self.policy)
        self.seller = SellerSession(terms, nonce=bytes(32))
        self.buyer = BuyerSession(PAYER_KEY.address, {RAIL.id: RAIL})
        self.account = self.seller_account or SellerAccount(self.policy)
        self.to_buyer: deque[Message | int] = deque()
        self.to_seller: deque[Message] = deque()
        self.waiting: deque[tuple[str, int, bytes]] = deque()
        self.sent = 0
        self.received = 0
        self.allowance: int | None = None
        self.stalled = False
        self.notices: list[Notice] = []
        self.stored: list[int] = []
        self.issued: list[int] = []
        self.floors: list[int] = []
        self.disconnected = ""
        self.passed: set[int] = set()

    @property
    def now(self) -> Now:
        return Now(self.mono, self.wall)

    def open(self) -> None:
        self.run_seller(self.seller.start(self.now))
        self.carry()

    # --- the engine's part ---

    def send_block(self, length: int = BLOCK) -> bool:
        """The seller's engine admits one block if the allowance permits; otherwise it chokes."""
        if self.allowance is not None and self.sent + length > self.allowance:
            if not self.stalled:
                self.stalled = True
                self.run_seller(self.seller.stalled(self.now))
            return False
        self.sent += length
        self.to_buyer.append(length)
        self.seller.bytes_sent(self.sent, self.now)
        return True

    def piece_of(self, offset: int) -> int:
        return offset // self.piece_length

    def deliver_block(self, length: int) -> None:
        piece = self.piece_of(self.received)
        self.received += length
        self.buyer.bytes_received(piece, length)
        if self.received // self.piece_length > piece:
            self.passed.add(piece)
            self.buyer.piece_passed(piece)
        self.run_buyer(self.buyer.settle(self.now))

    # --- carrying ---

    def step_to_buyer(self) -> bool:
        if not self.to_buyer:
            return False
        item = self.to_buyer.popleft()
        if isinstance(item, int):
            self.deliver_block(item)
            return True
        message = decode_message(encode_message(item))
        assert message == item
        try:
            self.run_buyer(self.buyer.message(item, self.now))
        except RemoteFaultError as fault:
            self.run_buyer(self.buyer.fault(fault))
        return True

    def step_to_seller(self) -> bool:
        if not self.to_seller:
            return False
        item = self.to_seller.popleft()
        assert decode_message(encode_message(item)) == item
        try:
            self.run_seller(self.seller.message(item, self.now))
        except RemoteFaultError as fault:
            self.run_seller(self.seller.fault(fault))
        return True

    def carry(self) -> None:
        """Deliver everything that is under way, both ways, until nothing moves."""
        while self.step_to_buyer() or self.step_to_seller():
            pass

    def release_store(self) -> bool:
        if not self.waiting:
            return False
        kind, cumulative, signature = self.waiting.popleft()
        if kind == "issue":
            self.issued.append(cumulative)
            self.run_buyer(self.buyer.cheque_issued(cumulative, signature))
        else:
            self.stored.append(cumulative)
            self.run_seller(self.seller.cheque_stored(cumulative, signature, self.now))
        return True

    # --- the shell's part ---

    def run_seller(self, outputs: list[Output]) -> None:
        for output in outputs:
            match output:
                case Send(message, tag):
                    self.to_buyer.append(message)
                    if tag:
                        self.run_seller(self.seller.message_sent(tag, self.sent, self.now))
                case SetAllowance(mark):
                    self.allowance = mark
                    if mark is None or self.sent + BLOCK <= mark:
                        self.stalled = False
                case CheckCoverage():
                    self.account.coverage = self.coverage
                    self.run_seller(self.seller.coverage_known(self.account))
                case StoreCheque(_, cumulative, signature):
                    self.waiting.append(("store", cumulative, signature))
                    if not self.hold_store:
                        self.release_store()
                case Notice():
                    self.notices.append(output)
                case Disconnect(reason):
                    self.disconnected = reason
                case SetService():
                    pass
                case _:
                    raise AssertionError(output)

    def run_buyer(self, outputs: list[Output]) -> None:
        for output in outputs:
            match output:
                case Send(message, _):
                    self.to_seller.append(message)
                case AskReceived():
                    self.make_bid()
                case IssueCheque(_, cumulative, _):
                    cheque = Cheque(PAYER_KEY.address, PAYEE_KEY.address, cumulative)
                    self.waiting.append(("issue", cumulative, sign_cheque(RAIL, cheque, PAYER_KEY).signature))
                    if not self.hold_store:
                        self.release_store()
                case RaiseFloor(_, cumulative, _):
                    self.floors.append(cumulative)
                case Notice():
                    self.notices.append(output)
                case _:
                    raise AssertionError(output)

    def make_bid(self) -> None:
        price = self.bid_price if self.bid_price is not None else self.price
        self.run_buyer(
            self.buyer.bid(
                self.buyer_account,
                price=price,
                rate=0,
                ceiling=self.ceiling,
                until=self.wall + 3600,
                sign=PAYER_KEY.sign_digest,
            )
        )

    def download(self, total: int) -> int:
        """Send `total` bytes block by block, carrying everything at once; returns what could be sent."""
        end = self.sent + total
        while self.sent < end and self.send_block(min(BLOCK, end - self.sent)):
            self.carry()
            self.mono += BLOCK / (10 * MIB)
        return self.sent - (end - total)

    def finish(self) -> None:
        for piece in range(self.piece_of(self.received) + 1):
            self.buyer.piece_passed(piece)
        self.buyer.finish()
        self.run_buyer(self.buyer.settle(self.now))
        self.carry()
