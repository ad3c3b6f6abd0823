"""Credit's promise: nobody can take more than a newcomer's share beyond what it has paid for."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.speed.credit import FORGIVE_DIVISOR, CreditPolicy, SellerAccount
from wallet.amount import MIB, cost
from wallet.solvency import Funds, Standing

BTT = 10**18
PRICE = 10**15
FAST = 10**12


def test_a_newcomer_gets_one_mebibyte() -> None:
    assert CreditPolicy().limit(paid_bytes=0, rate=FAST) == MIB


def test_credit_doubles_with_each_window_paid_up_to_the_cap() -> None:
    policy = CreditPolicy()
    paid, seen = 0, []
    for _ in range(9):
        seen.append(policy.limit(paid, FAST))
        paid += seen[-1]
    assert seen == [MIB * 2**i for i in range(9)]


def test_credit_stops_at_what_the_rate_needs() -> None:
    policy = CreditPolicy()
    assert policy.limit(paid_bytes=10**12, rate=0) == 2 * MIB
    assert policy.limit(paid_bytes=10**12, rate=40 * MIB) == 22 * MIB


@pytest.mark.parametrize("bad", [{"newcomer": 0}, {"cap": 1}, {"quantum": 0}, {"round_trip_ms": -1}])
def test_a_policy_without_sense_is_refused(bad: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="credit policy"):
        CreditPolicy(**bad)


@given(st.lists(st.tuples(st.integers(0, 10**19), st.integers(0, 10**19)), max_size=30))
def test_whoever_pays_and_vanishes_never_holds_more_than_a_newcomer_plus_what_was_paid(
    turns: list[tuple[int, int]],
) -> None:
    account = SellerAccount(CreditPolicy(), rate=FAST)
    for take, pay in turns:
        account.earned += min(take, account.left(PRICE))
        assert account.unpaid <= cost(account.policy.newcomer, PRICE) + account.accepted
        account.accept(account.accepted + pay, bytes(65), PRICE)


@given(st.lists(st.integers(0, 10**17), max_size=50))
def test_forgiveness_after_broken_connections_is_bounded(broken: list[int]) -> None:
    account = SellerAccount(CreditPolicy(), rate=FAST)
    for lost in broken:
        account.earned += lost
        account.forgive(PRICE)
        assert account.forgiven <= cost(account.policy.newcomer, PRICE) + account.accepted // FORGIVE_DIVISOR
        account.accept(account.earned - account.forgiven, bytes(65), PRICE)


def test_a_cheque_never_lowers_what_is_accepted() -> None:
    account = SellerAccount(CreditPolicy(), earned=100)
    assert account.accept(100, b"x", PRICE) == 100
    assert account.accept(99, b"y", PRICE) == 0
    assert account.accept(100, b"y", PRICE) == 0
    assert (account.accepted, account.signature) == (100, b"x")


def test_credit_shrinks_with_the_payers_standing_and_says_why() -> None:
    account = SellerAccount(CreditPolicy(), rate=FAST)
    assert account.left(PRICE) == cost(MIB, PRICE)
    account.cover(Standing(Funds(balance=5 * BTT, notice=5 * BTT)))
    assert account.left(PRICE) == 0
    assert account.why_uncovered == (
        "another cheque of this payer is worth 0 BTT: vault holds 5 BTT, less 5 BTT under notice"
    )
    account.cover(Standing(Funds(balance=5 * BTT), paid_out=BTT))
    account.earned = account.accepted = 6 * BTT
    assert account.why_uncovered.endswith("worth 0 BTT: vault holds 5 BTT, less 5 BTT in cheques we hold")
    account.cover(Standing(Funds(balance=0)))
    assert account.why_uncovered == "the payer's vault covers nothing: deposit first"


def test_coverage_bounds_credit_by_what_the_vault_still_holds() -> None:
    account = SellerAccount(CreditPolicy(), rate=FAST, coverage=10, earned=4)
    assert account.left(PRICE) == 6
    account.accept(4, b"x", PRICE)
    assert account.left(PRICE) == 6
    account.paid_out, account.coverage = 4, 6
    assert account.left(PRICE) == 6


@dataclass
class Connection:
    """One that holds so many units."""

    held: int = 0
    price: int = PRICE


@given(st.lists(st.integers(0, 10**16), min_size=1, max_size=6), st.integers(0, 10**16))
def test_connections_of_one_payer_never_hold_more_than_is_left(held: list[int], earned: int) -> None:
    account = SellerAccount(CreditPolicy(), earned=earned)
    connections = [Connection(min(units, account.left(PRICE) // len(held))) for units in held]
    account.connections = list(connections)
    for connection in connections:
        connection.held = account.share(PRICE, connection)
        assert connection.held <= account.left(PRICE) // len(held)
    assert sum(connection.held for connection in connections) <= account.left(PRICE)
    joining = Connection()
    assert account.share(PRICE, joining) + sum(c.held for c in connections) <= account.left(PRICE)


def test_what_was_forgiven_and_never_earned_narrows_the_window_for_good() -> None:
    account = SellerAccount(CreditPolicy(), earned=cost(MIB, PRICE))
    assert account.left(PRICE) == 0
    assert account.forgive(PRICE) == cost(MIB, PRICE)
    assert (account.unpaid, account.left(PRICE)) == (0, 0)
    account.accept(cost(MIB, PRICE), b"late", PRICE)  # it pays after all
    assert account.left(PRICE) > 0


def test_a_payer_that_lost_a_window_on_its_way_can_go_on_with_a_newcomers_share() -> None:
    account = SellerAccount(CreditPolicy(), paid_bytes=16 * MIB, earned=18 * PRICE, accepted=16 * PRICE)
    account.forgive(PRICE)
    account.abandon()
    assert account.left(PRICE) >= PRICE
    account.earned += account.left(PRICE)
    account.abandon()
    assert account.left(PRICE) < PRICE  # once


@given(st.lists(st.tuples(st.integers(0, 4 * PRICE), st.integers(0, 4 * PRICE), st.booleans()), max_size=40))
def test_going_away_never_opens_more_than_what_was_paid_and_two_newcomers_shares_beyond_the_rate(
    turns: list[tuple[int, int, bool]],
) -> None:
    account = SellerAccount(CreditPolicy())
    for take, pay, leaves in turns:
        account.earned += min(take, account.left(PRICE))
        account.accept(min(account.earned, account.accepted + pay), bytes(65), PRICE)
        if leaves:
            account.forgive(PRICE)
            account.abandon()
        lost = account.earned - account.accepted
        assert lost <= cost(account.policy.newcomer, PRICE) + account.accepted + account.accepted // FORGIVE_DIVISOR
        needed = cost(2 * account.policy.quantum + account.policy.newcomer, PRICE)
        assert lost <= needed + account.accepted // FORGIVE_DIVISOR
