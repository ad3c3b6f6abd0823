"""Whatever the payers of one network do, together they keep one credit beyond what they paid; each gets its turn."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from node.services.advances import Advances
from node.services.trades import AccountKey
from node.speed.credit import FORGIVE_DIVISOR, CreditPolicy, SellerAccount
from node.speed.newcomers import LEAST_DRAW, Newcomers
from wallet.address import Address
from wallet.amount import MIB, cost

PRICE = 10**15
CREDIT = CreditPolicy().newcomer


@dataclass
class Connection:
    """Metered at a price; nothing is admitted beyond what it has taken."""

    held: int = 0
    price: int = PRICE


def key(number: int) -> AccountKey:
    return "eip155:199", Address(number.to_bytes(20, "big"))


@dataclass
class Network:
    """Payers at one address, with accounts that outlive their connections."""

    now_ms: int = 0
    told: list[AccountKey] = field(default_factory=list)
    accounts: dict[int, SellerAccount] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.advances = Advances(
            Newcomers(), reserve=PRICE, now_ms=lambda: self.now_ms, on_more=lambda who: self.told.append(who)
        )

    def come(self, number: int) -> SellerAccount:
        account = self.accounts.setdefault(number, SellerAccount(CreditPolicy(), rate=10**9, advance=0))
        self.advances.ask(key(number), account, host="192.0.2.1", price=PRICE)
        if not account.connections:
            account.forgive(PRICE)
            account.connections.append(Connection())
        return account

    def take(self, number: int, size: int) -> None:
        account = self.accounts[number]
        if account.connections:
            account.earned += cost(min(size, account.left(PRICE) * MIB // PRICE), PRICE)

    def pay(self, number: int, size: int) -> None:
        """No more than it owes."""
        account = self.accounts[number]
        account.accept(account.accepted + min(account.unsigned, cost(size, PRICE)), bytes(65), PRICE)
        self.advances.paid(key(number))

    def go(self, number: int) -> None:
        account = self.accounts[number]
        account.connections.clear()
        self.advances.gone(key(number))

    @property
    def kept(self) -> int:
        """Units beyond what was paid; the part of the payments that forgives accidents is no loss."""
        return sum(
            max(0, account.unsigned - account.accepted - account.accepted // FORGIVE_DIVISOR)
            for account in self.accounts.values()
        )


steps = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["come", "take", "pay", "go"]), st.integers(1, 2 * MIB)), max_size=60
)


@given(steps)
def test_all_payers_of_a_network_keep_one_credit_beyond_what_they_paid(script: list[tuple[int, str, int]]) -> None:
    network = Network()
    for number, what, size in script:
        if what == "come" or number not in network.accounts:
            network.come(number)
        elif what == "go":
            network.go(number)
        else:
            (network.take if what == "take" else network.pay)(number, size)
        assert network.kept <= cost(CREDIT, PRICE) + len(script)  # a unit of rounding per step


@given(st.lists(st.integers(LEAST_DRAW, MIB), min_size=2, max_size=6))
def test_those_who_wait_are_served_in_their_order_as_those_before_them_pay(sizes: list[int]) -> None:
    network = Network()
    for number in range(len(sizes)):
        network.come(number)
    network.told.clear()
    for number, size in enumerate(sizes):
        account = network.accounts[number]
        assert account.window >= LEAST_DRAW, "its turn has come"
        while account.paid_bytes < 2 * CREDIT:
            network.take(number, size)
            network.pay(number, MIB)
    assert list(dict.fromkeys(network.told)) == [key(number) for number in range(1, len(sizes))]


def test_a_payer_with_history_needs_no_turn() -> None:
    network = Network()
    network.accounts[1] = SellerAccount(CreditPolicy(), earned=cost(MIB, PRICE), accepted=cost(MIB, PRICE), advance=0)
    network.accounts[1].paid_bytes = MIB
    network.come(0)
    network.come(2)
    assert network.come(1).window == MIB
    assert network.accounts[2].window == 0
    assert network.told == [key(0)]


def test_who_has_gone_has_no_place_in_the_queue() -> None:
    network = Network()
    for number in (0, 1, 2):
        network.come(number)
    network.go(1)
    network.go(0)
    assert network.accounts[2].window == CREDIT
    assert network.accounts[1].window == 0
