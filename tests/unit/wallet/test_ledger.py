"""Books that are always in balance, and notice when they are not."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wallet.amount import BTT, MAX_AMOUNT, Token
from wallet.errors import LedgerError
from wallet.ledger import Account, Entry, Journal, Line, check_balances

TRX = Token("TRX", 6)
BTTC, TRON = "eip155:199", "tron:0x2b6653dc"

entries = st.builds(
    lambda accounts, amount, token, rail: Entry(accounts[0], accounts[1], amount, token, rail),
    st.permutations(list(Account)),
    st.integers(1, MAX_AMOUNT),
    st.sampled_from([BTT, TRX]),
    st.sampled_from([BTTC, TRON]),
)


@given(st.lists(entries, max_size=30))
def test_all_balances_of_a_token_on_a_rail_sum_to_zero(posted: list[Entry]) -> None:
    balances = Journal(posted).balances
    check_balances(balances)
    for rail in (BTTC, TRON):
        for token in (BTT, TRX):
            assert sum(b for line, b in balances.items() if (line.rail, line.token) == (rail, token)) == 0


@given(st.lists(entries, max_size=30))
def test_assets_and_expenses_equal_liabilities_equity_and_income(posted: list[Entry]) -> None:
    journal = Journal(posted)
    figures = {account: journal.figure(account, BTT, BTTC) for account in Account}
    left = sum(figure for account, figure in figures.items() if account.startswith(("asset", "expense")))
    assert left == sum(
        figure for account, figure in figures.items() if account.startswith(("liab", "equity", "income"))
    )


@given(st.lists(entries, max_size=20), st.randoms(use_true_random=False))
def test_the_order_of_entries_does_not_change_a_balance(posted: list[Entry], order: random.Random) -> None:
    shuffled = order.sample(posted, len(posted))
    assert Journal(shuffled).balances == Journal(posted).balances


@given(st.lists(entries, max_size=20), entries)
def test_an_entry_and_its_reversal_leave_every_balance_as_it_was(posted: list[Entry], wrong: Entry) -> None:
    journal = Journal(posted)
    before = {line: balance for line, balance in journal.balances.items() if balance}
    journal.post(wrong, Entry(wrong.credit, wrong.debit, wrong.amount, wrong.token, wrong.rail, "reversed"))
    assert {line: balance for line, balance in journal.balances.items() if balance} == before
    assert len(journal.entries) == len(posted) + 2


@given(st.lists(entries, min_size=1, max_size=10), st.data(), st.integers().filter(bool))
def test_a_balance_that_was_tampered_with_is_noticed(posted: list[Entry], data: st.DataObject, change: int) -> None:
    balances = dict(Journal(posted).balances)
    balances[data.draw(st.sampled_from(sorted(balances, key=repr)))] += change
    with pytest.raises(LedgerError, match="out of balance"):
        check_balances(balances)


def test_a_surplus_on_one_rail_does_not_make_up_for_a_gap_on_another() -> None:
    with pytest.raises(LedgerError, match=r"eip155:199 .* 0\.000000000000000007 BTT"):
        check_balances({Line(BTTC, BTT, Account.WALLET): 7, Line(TRON, BTT, Account.WALLET): -7})
    with pytest.raises(LedgerError):
        check_balances({Line(TRON, BTT, Account.WALLET): 7, Line(TRON, TRX, Account.FEES): -7})


def test_a_sale_from_cheque_to_wallet_reads_as_people_expect() -> None:
    journal = Journal()
    journal.post(Entry(Account.CHEQUES_HELD, Account.SPEED_INCOME, 100, BTT, TRON, "cheque"))
    journal.post(
        Entry(Account.WALLET, Account.CHEQUES_HELD, 90, BTT, TRON, "cashed in part"),
        Entry(Account.FEES, Account.WALLET, 5, TRX, TRON, "fee"),
    )
    assert journal.figure(Account.SPEED_INCOME, BTT, TRON) == 100
    assert journal.figure(Account.CHEQUES_HELD, BTT, TRON) == 10
    assert journal.figure(Account.WALLET, BTT, TRON) == 90
    assert journal.figure(Account.WALLET, TRX, TRON) == -5
    assert journal.figure(Account.FEES, TRX, TRON) == 5
    assert journal.figure(Account.WALLET, BTT, BTTC) == 0
    assert [entry.memo for entry in journal.entries] == ["cheque", "cashed in part", "fee"]


@pytest.mark.parametrize("amount", [0, -1, MAX_AMOUNT + 1])
def test_an_entry_without_a_positive_amount_is_refused(amount: int) -> None:
    with pytest.raises(LedgerError):
        Entry(Account.WALLET, Account.VAULT, amount, BTT, BTTC)


def test_an_entry_from_an_account_to_itself_is_refused() -> None:
    with pytest.raises(LedgerError):
        Entry(Account.WALLET, Account.WALLET, 1, BTT, BTTC)
