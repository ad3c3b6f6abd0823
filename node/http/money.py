"""The money half of the local API: wallet, deposit, cheques.

| method and path                          | does                                                               |
|------------------------------------------|--------------------------------------------------------------------|
| GET  /v1/accounts                        | who owes whom                                                      |
| GET  /v1/wallet                          | balances and deposits, rail by rail                                |
| GET  /v1/wallet/history?rail=&limit=     | our transactions and what came in                                  |
| GET  /v1/wallet/limits                   | the limits on spending, and what is used up                        |
| POST /v1/wallet/cancel                   | give up a transaction that has not taken effect                    |
| POST /v1/wallet/send                     | a transfer of any asset; with `dry_run` only what it would cost    |
| POST /v1/wallet/wrap                     | native coins to their token and back                               |
| POST /v1/vault/{deposit,notice,withdraw} | move the deposit                                                   |
| POST /v1/vault/{authorise,revoke}        | what another key may sign on our deposit                           |
| POST /v1/settle                          | cash the cheques we hold                                           |
| GET  /v1/earnings                        | pending, cashed, final, bounced, by rail and payer                 |
| GET  /v1/earnings/history?rail=&before=  | every payout with its transaction, newest first                    |

Where several rails are configured, a request that moves money names its `rail`. An `Idempotency-Key` makes a repeated
request the same transaction.
"""

from __future__ import annotations

import secrets
from dataclasses import asdict

from aiohttp import web

from node.daemon import Daemon
from node.http import models
from node.http.requests import answer, number, read_body
from node.ports.store import Direction, utc_day
from node.services.earnings import Figures
from node.services.history import priced_bytes
from node.services.plan import PlannedCheque
from node.services.settlement import Done, Settlement
from node.services.wallet import Balances, Purse, Quote
from wallet.address import Address
from wallet.amount import Token, parse_amount
from wallet.chains.base import Call, Fee
from wallet.errors import WalletError
from wallet.spending import spent_on_day

DEFAULT_HISTORY = 50


class MoneyApi:
    """The handlers."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/accounts", self.accounts),
            web.get("/v1/wallet", self.wallet),
            web.get("/v1/wallet/history", self.history),
            web.get("/v1/wallet/limits", self.limits),
            web.post("/v1/wallet/cancel", self.cancel),
            web.get("/v1/earnings", self.earnings),
            web.get("/v1/earnings/history", self.payouts),
            web.post("/v1/wallet/send", self.send),
            web.post("/v1/wallet/wrap", self.wrap),
            web.post("/v1/vault/deposit", self.deposit),
            web.post("/v1/vault/notice", self.notice),
            web.post("/v1/vault/withdraw", self.withdraw),
            web.post("/v1/vault/authorise", self.authorise),
            web.post("/v1/vault/revoke", self.revoke),
            web.post("/v1/settle", self.settle),
        ]

    # --- reading -----------------------------------------------------------------------------------------------------

    async def accounts(self, request: web.Request) -> web.Response:
        return web.json_response([row.model_dump() for row in await self._accounts()])

    async def wallet(self, request: web.Request) -> web.Response:
        daemon = self._daemon
        accounts = await self._accounts()
        spent = await daemon.store.spent(utc_day(daemon.payments.now().wall))
        own = daemon.wallet.own
        return answer(
            models.Wallet(
                address=own.evm,
                tron=own.tron,
                rails=[await self._rail(found, accounts) for found in await daemon.wallet.balances()],
                spent_total=spent.total,
                spent_today=spent.today,
            )
        )

    async def history(self, request: web.Request) -> web.Response:
        limit = number(request, "limit", DEFAULT_HISTORY)
        lines = await self._daemon.wallet.history(request.query.get("rail"), limit=limit)
        return web.json_response([models.HistoryLine(**asdict(line)).model_dump() for line in lines])

    async def limits(self, request: web.Request) -> web.Response:
        daemon = self._daemon
        caps, today = daemon.wallet.cheque_limits, await daemon.wallet.left_today()
        spent = await daemon.store.spent(utc_day(daemon.payments.now().wall))
        rows = [
            models.LimitLine(setting="speed.per_torrent", limit=caps.per_torrent, used=None),
            models.LimitLine(setting="speed.per_day", limit=caps.per_day, used=spent.today),
            models.LimitLine(setting="speed.total", limit=caps.total, used=spent.total),
        ]
        if daemon.renting is not None:
            bound, used = await daemon.renting.renter.spending()
            rows += [
                models.LimitLine(setting="storage.spend_per_day", limit=bound.per_day, used=used.today),
                models.LimitLine(setting="storage.spend_total", limit=bound.total, used=used.total),
            ]
        tokens = {a.token.symbol: a.token for p in daemon.wallet.purses.values() for a in p.holdings.assets}
        bounds = daemon.wallet.limits
        for symbol, token in tokens.items():
            both = (
                ("wallet.per_transfer", bounds.per_transfer.get(symbol), None),
                ("wallet.per_day", bounds.per_day.get(symbol), spent_on_day(symbol, today)),
            )
            rows += [
                models.LimitLine(setting=name, limit=limit, used=used, symbol=symbol, decimals=token.decimals)
                for name, limit, used in both
            ]
        return web.json_response([row.model_dump() for row in rows])

    async def earnings(self, request: web.Request) -> web.Response:
        names = {purse.chain.rail.id: purse for purse in self._daemon.wallet.purses.values()}
        rows = []
        for found in await self._daemon.earnings.report():
            purse = names.get(found.rail)
            rows.append(
                models.RailEarnings(
                    rail=purse.name if purse else found.rail,
                    **_figures(found.figures),
                    payers=[
                        models.PayerEarnings(payer=line.payer.evm, bounced_at=line.bounced_at, **_figures(line.figures))
                        for line in found.payers
                    ],
                )
            )
        return web.json_response([row.model_dump() for row in rows])

    async def payouts(self, request: web.Request) -> web.Response:
        rail = request.query.get("rail")
        chain = None if rail is None else self._daemon.wallet.purse(rail).chain.rail.id
        before = number(request, "before", 0) or None
        limit = number(request, "limit", DEFAULT_HISTORY)
        page = await self._daemon.earnings.history(rail=chain, before=before, limit=limit)
        names = {purse.chain.rail.id: purse for purse in self._daemon.wallet.purses.values()}
        lines = []
        for payout in page.payouts:
            purse = names.get(payout.rail)
            lines.append(
                models.PayoutLine(
                    rail=purse.name if purse else payout.rail,
                    payer=payout.payer.evm,
                    amount=payout.amount,
                    bounced=payout.bounced,
                    fee=payout.fee,
                    fee_symbol=purse.chain.native.symbol if purse else "",
                    fee_decimals=purse.chain.native.decimals if purse else 0,
                    block=payout.block,
                    transaction=payout.transaction,
                    time=payout.at,
                    link=purse.link(payout.transaction) if purse else "",
                )
            )
        return answer(models.Payouts(payouts=lines, before=page.before))

    # --- transfers ---------------------------------------------------------------------------------------------------

    async def send(self, request: web.Request) -> web.Response:
        body = await read_body(request, models.SendBody)
        wallet = self._daemon.wallet
        asset = wallet.asset(body.rail, body.asset)
        quote = await wallet.quote_transfer(body.rail, body.asset, body.to, parse_amount(body.amount, asset.token))
        return await self._perform(request, quote, body)

    async def cancel(self, request: web.Request) -> web.Response:
        body = await read_body(request, models.CancelBody)
        line = await self._daemon.wallet.cancel(body.rail, body.transaction)
        return answer(models.HistoryLine(**asdict(line)))

    async def wrap(self, request: web.Request) -> web.Response:
        body = await read_body(request, models.WrapBody)
        wallet = self._daemon.wallet
        token = wallet.purse(body.rail).chain.native
        quote = await wallet.quote_wrap(body.rail, parse_amount(body.amount, token), unwrap=body.unwrap)
        return await self._perform(request, quote, body)

    async def _perform(self, request: web.Request, quote: Quote, body: models.QuotedBody) -> web.Response:
        if body.dry_run:
            return answer(_quote(quote))
        done = await self._daemon.wallet.perform(quote, key=request_key(request), max_fee=body.max_fee)
        return answer(result(done, quote.purse))

    # --- the deposit -------------------------------------------------------------------------------------------------

    async def deposit(self, request: web.Request) -> web.Response:
        body = await read_body(request, models.AmountBody)
        settlement, purse = self._settlement(body.rail)
        return answer(result(await settlement.deposit(_some(body.amount), key=request_key(request)), purse))

    async def notice(self, request: web.Request) -> web.Response:
        body = await read_body(request, models.AmountBody)
        settlement, purse = self._settlement(body.rail)
        return answer(result(await settlement.give_notice(_some(body.amount), key=request_key(request)), purse))

    async def withdraw(self, request: web.Request) -> web.Response:
        body = await read_body(request, models.RailBody)
        settlement, purse = self._settlement(body.rail)
        return answer(result(await settlement.withdraw(key=request_key(request)), purse))

    async def authorise(self, request: web.Request) -> web.Response:
        body = await read_body(request, models.AuthoriseBody)
        _, purse = self._settlement(body.rail)
        return await self._call(request, purse, purse.chain.authorise(Address.parse(body.key), body.cap), body)

    async def revoke(self, request: web.Request) -> web.Response:
        body = await read_body(request, models.KeyBody)
        _, purse = self._settlement(body.rail)
        return await self._call(request, purse, purse.chain.revoke(Address.parse(body.key)), body)

    async def _call(self, request: web.Request, purse: Purse, call: Call, body: models.QuotedBody) -> web.Response:
        """A call that moves nothing out of the wallet by itself."""
        fee = await purse.chain.estimate(call, self._daemon.wallet.own)
        if body.dry_run:
            return answer(_quoted(purse, call, fee))
        return answer(result(await purse.settlement.perform(f"vault:{request_key(request)}", call), purse))

    # --- cheques -----------------------------------------------------------------------------------------------------

    async def settle(self, request: web.Request) -> web.Response:
        body = await read_body(request, models.SettleBody)
        names = [self._daemon.wallet.purse(body.rail).name] if body.rail else list(self._daemon.settlements)
        return answer(models.Settled(rails=[await self._settle(name, dry_run=body.dry_run) for name in names]))

    async def _settle(self, name: str, *, dry_run: bool) -> models.SettleLine:
        settlement, purse = self._settlement(name)
        plan = await settlement.plan()
        done = () if dry_run else await settlement.cash(plan)
        native, token = purse.chain.native, purse.chain.rail.token
        return models.SettleLine(
            rail=name,
            label=purse.label,
            cheques=[_cheque(cheque) for cheque in plan.cheques],
            held_back=[_cheque(cheque) for cheque in plan.held_back],
            symbol=token.symbol,
            decimals=token.decimals,
            value=plan.value,
            bounces=plan.bounces,
            fee=plan.fee,
            fee_symbol=native.symbol,
            fee_decimals=native.decimals,
            fee_value=plan.fee_value,
            fee_share=None if plan.fee_share is None else float(plan.fee_share),
            worth_it=plan.worth_it,
            why=[batch.why for batch in plan.batches] or ([plan.why] if plan.why else []),
            transactions=[result(one, purse) for one in done],
        )

    # --- the parts ---------------------------------------------------------------------------------------------------

    def _settlement(self, rail: str | None) -> tuple[Settlement, Purse]:
        purse = self._daemon.wallet.purse(rail)
        return self._daemon.settlements[purse.name], purse

    async def _rail(self, found: Balances, accounts: list[models.Account]) -> models.RailWallet:
        daemon, purse = self._daemon, found.purse
        chain = purse.chain
        rail = chain.rail.id
        here = [account for account in accounts if account.rail == rail]
        state = found.deposit
        return models.RailWallet(
            rail=purse.name,
            label=purse.label,
            chain=rail,
            address=chain.name(daemon.wallet.own),
            vault=chain.name(chain.rail.vault),
            token=chain.rail.token.symbol,
            token_decimals=chain.rail.token.decimals,
            assets=[
                models.AssetLine(
                    symbol=asset.token.symbol,
                    decimals=asset.token.decimals,
                    kind=asset.kind.value,
                    contract="" if asset.contract is None else chain.name(asset.contract),
                    amount=amount,
                )
                for asset, amount in found.amounts
            ],
            deposit=state.balance if state else None,
            deposit_free=daemon.vault.free(rail),
            locked=state.locked if state else None,
            notice=state.notice if state else None,
            notice_until=state.notice_ready_at if state else None,
            cheques_given=sum(a.cheques for a in here if a.role == "payee"),
            cheques_held=sum(a.cheques - a.cashed for a in here if a.role == "payer"),
            fault=found.fault,
        )

    async def _accounts(self) -> list[models.Account]:
        trades, store = self._daemon.payments.trades, self._daemon.store
        rows = []
        all_issued, all_received = await store.all_issued(), await store.all_received()
        payable, receivable = {}, {}
        for issued in all_issued:
            book = trades.buyers.get(key := (issued.rail, issued.payee))
            payable[key] = max(issued.owed, book.account.owed if book else 0) - issued.cumulative
        for received in all_received:
            account = trades.sellers.get(key := (received.rail, received.payer))
            receivable[key] = max(0, max(received.earned, account.earned if account else 0) - received.cumulative)
        for issued in all_issued:
            key = (issued.rail, issued.payee)
            book = trades.buyers.get(key)
            netted = min(payable[key], receivable.get(key, 0))
            rows.append(
                models.Account(
                    rail=issued.rail,
                    role="payee",
                    address=issued.payee.evm,
                    bytes=await priced_bytes(store, trades, key, Direction.RECEIVED),
                    metered=issued.cumulative + payable[key],
                    cheques=issued.cumulative,
                    acknowledged=book.account.acknowledged if book else 0,
                    cashed=0,
                    unpaid=payable[key] - netted,
                    netted=netted,
                )
            )
        for received in all_received:
            key = (received.rail, received.payer)
            account = trades.sellers.get(key)
            netted = min(payable.get(key, 0), receivable[key])
            rows.append(
                models.Account(
                    rail=received.rail,
                    role="payer",
                    address=received.payer.evm,
                    bytes=await priced_bytes(store, trades, key, Direction.SENT),
                    metered=max(received.earned, account.earned if account else 0),
                    cheques=received.cumulative,
                    acknowledged=received.cumulative,
                    cashed=received.cashed,
                    unpaid=receivable[key] - netted,
                    netted=netted,
                )
            )
        return rows


def _figures(figures: Figures) -> dict[str, int]:
    return {"received": figures.received, **asdict(figures)}


def _some(amount: int) -> int:
    if amount == 0:
        raise WalletError("the amount is zero")
    return amount


def request_key(request: web.Request) -> str:
    """The caller's idempotency key, or a new one: the same key twice is one transaction."""
    return request.headers.get("Idempotency-Key", secrets.token_hex(16))[:64]


def _quote(quote: Quote) -> models.Quote:
    return _quoted(quote.purse, quote.call, quote.fee, quote.asset.token, quote.amount, quote.balance)


def _quoted(
    purse: Purse, call: Call, fee: Fee, token: Token | None = None, amount: int = 0, balance: int = 0
) -> models.Quote:
    """What a call would cost; without a token it moves nothing."""
    native = purse.chain.native
    return models.Quote(
        rail=purse.name,
        label=purse.label,
        text=call.text,
        fee=fee.total,
        fee_symbol=native.symbol,
        fee_decimals=native.decimals,
        work=fee.limit,
        symbol=(token or native).symbol,
        decimals=(token or native).decimals,
        amount=amount,
        balance=balance,
    )


def _cheque(planned: PlannedCheque) -> models.PlannedCheque:
    return models.PlannedCheque(
        payer=planned.payer.evm,
        cumulative=planned.cumulative,
        uncashed=planned.uncashed,
        payout=planned.payout,
        bounces=planned.bounces,
        notice=planned.notice,
        note=planned.note,
    )


def result(done: Done, purse: Purse) -> models.TransactionResult:
    """A finished transaction."""
    native, transaction = purse.chain.native, done.receipt.hash.hex()
    return models.TransactionResult(
        rail=purse.name,
        hash=transaction if purse.chain.rail.id.startswith("tron:") else f"0x{transaction}",
        ok=done.receipt.ok,
        fee=done.receipt.fee_paid,
        fee_symbol=native.symbol,
        fee_decimals=native.decimals,
        text=done.intent.call.text,
        link=purse.link(transaction),
    )
