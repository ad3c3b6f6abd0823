"""The double-entry books, in the local API.

| method and path             | does                                                                               |
|-----------------------------|------------------------------------------------------------------------------------|
| GET /v1/wallet/journal      | what moved between the accounts, newest first (`limit`, `rail`), and their balances |
"""

from __future__ import annotations

from aiohttp import web

from node.http.models import Model, Units
from node.http.requests import answer, number
from node.ports.store import Store
from node.services.wallet import Wallet
from wallet.amount import Token

DEFAULT_LINES, MAX_LINES = 50, 1000
READ = 10_000
"""Rows looked at where one rail is asked for."""


class JournalLine(Model):
    """`count` bookings of one UTC day, summed: `amount` went from account `credit` to account `debit`.

    `at`: Unix seconds of the last of them; `ref`: a transaction, a contract's id or a partner.
    """

    at: int
    rail: str
    debit: str
    credit: str
    amount: Units
    symbol: str
    decimals: int
    memo: str
    ref: str
    count: int


class AccountLine(Model):
    """`balance`: debits minus credits, in token units as decimal digits, with a minus where it is below zero."""

    rail: str
    account: str
    balance: str
    symbol: str
    decimals: int


class JournalView(Model):
    entries: list[JournalLine]
    accounts: list[AccountLine]


class JournalApi:
    """The handler."""

    def __init__(self, store: Store, wallet: Wallet) -> None:
        self._store = store
        self._purses = {purse.chain.rail.id: purse for purse in wallet.purses.values()}

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/v1/wallet/journal", self.journal)]

    async def journal(self, request: web.Request) -> web.Response:
        limit, rail = min(number(request, "limit", DEFAULT_LINES), MAX_LINES), request.query.get("rail")
        entries = []
        for row in await self._store.journal(limit=limit if rail is None else READ):
            entry = row.entry
            if rail in (None, name := self._name(entry.rail)):
                token = self._token(entry.rail, entry.token)
                entries.append(
                    JournalLine(
                        at=row.at,
                        rail=name,
                        debit=entry.debit.value,
                        credit=entry.credit.value,
                        amount=entry.amount,
                        symbol=token.symbol,
                        decimals=token.decimals,
                        memo=entry.memo,
                        ref=entry.ref,
                        count=row.count,
                    )
                )
        accounts = []
        for line, balance in sorted((await self._store.balances()).items()):
            if rail in (None, name := self._name(line.rail)):
                token = self._token(line.rail, line.token)
                accounts.append(
                    AccountLine(
                        rail=name,
                        account=line.account.value,
                        balance=str(balance),
                        symbol=token.symbol,
                        decimals=token.decimals,
                    )
                )
        return answer(JournalView(entries=entries[:limit], accounts=accounts))

    def _name(self, rail: str) -> str:
        """As the settings call it; one that is not in them any more by its id."""
        return self._purses[rail].name if rail in self._purses else rail

    def _token(self, rail: str, symbol: str) -> Token:
        purse = self._purses.get(rail)
        if purse is None:
            return Token(symbol or "units", 0)
        asset = purse.holdings.find(symbol) if symbol else None
        return purse.chain.rail.token if asset is None else asset.token
