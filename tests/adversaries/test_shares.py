"""One payer on many connections, without sockets: what all allowances together let it take.

`w(x)` is the price of x bytes, rounded up.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from node.speed.credit import CreditPolicy, SellerAccount
from node.speed.messages import Bid
from node.speed.moment import Now
from node.speed.outputs import Output, Send, SetAllowance
from node.speed.seller import SellerSession, SellerTerms
from tests.unit.speed.pair import PAYEE_KEY, PAYER_KEY, PRICE, RAIL
from wallet.amount import MIB, cost
from wallet.cheque import bid_digest

NOW = Now(0.0, 1_800_000_000)
POLICY = CreditPolicy()
CREDIT = POLICY.newcomer
TERMS = SellerTerms(PAYEE_KEY.address, {RAIL.id: RAIL}, PRICE, POLICY)


@dataclass
class Connection:
    """A session whose blocks go out as soon as its allowance admits them. `widest`: the greatest allowance it had."""

    number: int
    account: SellerAccount
    sent: int = 0
    allowance: int = 0
    widest: int = 0
    session: SellerSession = field(init=False)

    def __post_init__(self) -> None:
        self.session = SellerSession(TERMS, self.number.to_bytes(32, "big"))
        self.session.start(NOW)

    def bid(self) -> None:
        nonce = self.session.nonce
        digest = bid_digest(RAIL, PAYER_KEY.address, PAYEE_KEY.address, PRICE, nonce)
        signature = PAYER_KEY.sign_digest(digest)
        self.session.message(Bid(RAIL.id, PAYER_KEY.address, PRICE, 0, NOW.wall + 9, None, signature), NOW)
        self._run(self.session.coverage_known(self.account))

    def take_all(self) -> None:
        """Take whatever is admitted until the seller stalls."""
        while self.allowance > self.sent:
            self.sent = self.allowance
            self.session.bytes_sent(self.sent, NOW)
            self._run(self.session.stalled(NOW))

    def _run(self, outputs: list[Output]) -> None:
        for output in outputs:
            match output:
                case SetAllowance(int(mark)):
                    self.allowance = mark
                    self.widest = max(self.widest, mark)
                case Send(_, tag) if tag:
                    self._run(self.session.message_sent(tag, self.sent, NOW))


@pytest.mark.parametrize("connections", [2, 8])
def test_however_many_connections_one_payer_opens_they_share_one_credit(connections: int) -> None:
    """Loss <= w(credit), for any number of connections."""
    account = SellerAccount(POLICY)
    made = [Connection(number, account) for number in range(connections)]
    for connection in made:
        connection.bid()
    for connection in reversed(made):
        connection.take_all()
    assert sum(connection.sent for connection in made) <= CREDIT
    assert account.unpaid <= cost(CREDIT, PRICE)


def test_a_payer_without_credit_left_is_admitted_nothing_on_a_new_connection() -> None:
    """Loss <= w(credit): no allowance is ever wider than what is left, not even until the clear has landed."""
    account = SellerAccount(POLICY)
    first, second = Connection(1, account), Connection(2, account)
    first.bid()
    first.take_all()
    assert first.sent == CREDIT == MIB
    assert account.left(PRICE) == 0
    second.bid()
    assert second.widest == 0
