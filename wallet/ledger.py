"""Double-entry arithmetic: every unit that reaches one account has left another.

Theory. An entry moves one amount from the account it credits to the account it debits, so whatever is posted, the
balances (debits minus credits) of one token on one rail sum to zero:

    assets + expenses = liabilities + equity + income

with the right side negative as a balance. Books that do not sum to zero have lost half an entry: a bug or a damaged
store, never a matter of rounding. Tokens and rails are never added up: a fee in TRX and a cheque in BTT stand in books
of their own, and each of these is in balance by itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from wallet.amount import MAX_AMOUNT, Token, format_amount
from wallet.errors import LedgerError


class Account(StrEnum):
    """The accounts a node keeps. What stands before the colon is the account's kind."""

    WALLET = "asset:wallet"
    VAULT = "asset:vault"
    CHEQUES_HELD = "asset:cheques_held"
    MARKET = "asset:storage_market"
    """What we can withdraw from `StorageMarket`, or lock there."""
    LOCKED = "asset:storage_locked"
    """Our escrow, collateral and bonds in its contracts."""
    CHEQUES_ISSUED = "liability:cheques_issued"
    EQUITY = "equity:owner"
    SPEED_INCOME = "income:speed"
    SPEED_EXPENSE = "expense:speed"
    STORAGE_INCOME = "income:storage"
    STORAGE_EXPENSE = "expense:storage"
    FEES = "expense:fees"

    @property
    def grows_by_debit(self) -> bool:
        """Assets and expenses do; liabilities, equity and income grow by credit."""
        return self.value.startswith(("asset:", "expense:"))


@dataclass(frozen=True, slots=True)
class Entry:
    """`amount` (1 to 2^256 - 1 smallest units of `token`) moves on `rail` from account `credit` to account `debit`.

    Raises `LedgerError` for another amount, or one account on both sides.
    """

    debit: Account
    credit: Account
    amount: int
    token: Token
    rail: str
    memo: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.amount <= MAX_AMOUNT:
            raise LedgerError("an entry moves 1 to 2^256 - 1 units: to undo one, swap debit and credit")
        if self.debit is self.credit:
            raise LedgerError(f"an entry moves between two accounts, not from {self.debit} to itself")


class Line(NamedTuple):
    """One balance's name: an account of one token on one rail."""

    rail: str
    token: Token
    account: Account


class Journal:
    """Entries in the order of posting, and the balances they make. Nothing is ever taken out; errors are reversed."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._entries: list[Entry] = []
        self._balances: defaultdict[Line, int] = defaultdict(int)
        self.post(*entries)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All of them, the oldest first."""
        return tuple(self._entries)

    @property
    def balances(self) -> Mapping[Line, int]:
        """Debits minus credits of every account that was moved."""
        return dict(self._balances)

    def post(self, *entries: Entry) -> None:
        """Book them."""
        for entry in entries:
            self._entries.append(entry)
            self._balances[Line(entry.rail, entry.token, entry.debit)] += entry.amount
            self._balances[Line(entry.rail, entry.token, entry.credit)] -= entry.amount

    def figure(self, account: Account, token: Token, rail: str) -> int:
        """An account as people read it: what is owned, spent, owed or earned is positive."""
        balance = self._balances.get(Line(rail, token, account), 0)
        return balance if account.grows_by_debit else -balance


def check_balances(balances: Mapping[Line, int]) -> None:
    """Raises `LedgerError`, naming book and difference, unless each token on each rail sums to zero."""
    sums: defaultdict[tuple[str, Token], int] = defaultdict(int)
    for line, balance in balances.items():
        sums[line.rail, line.token] += balance
    for (rail, token), difference in sums.items():
        if difference:
            raise LedgerError(
                f"the books on {rail} are out of balance by {format_amount(difference, token)}: "
                "restore the latest backup of the data directory"
            )
