"""Our money in the storage markets, in the local API.

| method and path          | does                                                                        |
|--------------------------|-----------------------------------------------------------------------------|
| GET  /v1/escrow          | per rail: what is free, what is locked, what is staked                      |
| POST /v1/escrow/deposit  | into the market, where contracts can lock it                                |
| POST /v1/escrow/withdraw | what is free, back into the wallet; without an amount all of it             |
| POST /v1/escrow/reclaim  | the stake of a host that left the list, back into the wallet                |

Each waits for the final receipt. With an `Idempotency-Key` the same request is the same transaction.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from node.http.models import AmountBody, Model, RailBody, Units
from node.http.money import request_key, result
from node.http.requests import answer, read_body
from node.services.escrow import Escrow, EscrowError
from node.services.settlement import Done
from node.services.wallet import Purse


class WithdrawBody(RailBody):
    """`amount`: token units; None: all that is free."""

    amount: Units | None = None


class EscrowRow(Model):
    """As `node.services.escrow.Held`."""

    rail: str
    free: Units
    locked: Units
    stake: Units
    stake_from: int | None
    symbol: str
    decimals: int


class EscrowApi:
    """The handlers. Both maps by the rail's name."""

    def __init__(self, escrows: Mapping[str, Escrow], purses: Mapping[str, Purse]) -> None:
        self._escrows = escrows
        self._purses = purses

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/escrow", self.held),
            web.post("/v1/escrow/deposit", self.deposit),
            web.post("/v1/escrow/withdraw", self.withdraw),
            web.post("/v1/escrow/reclaim", self.reclaim),
        ]

    async def held(self, request: web.Request) -> web.Response:
        rows = []
        for name, escrow in self._escrows.items():
            held, token = await escrow.held(), self._purses[name].chain.rail.token
            row = EscrowRow(
                rail=name,
                free=held.free,
                locked=held.locked,
                stake=held.stake,
                stake_from=held.stake_from,
                symbol=token.symbol,
                decimals=token.decimals,
            )
            rows.append(row.model_dump())
        return web.json_response(rows)

    async def deposit(self, request: web.Request) -> web.Response:
        body = await read_body(request, AmountBody)
        if body.amount == 0:
            raise EscrowError("the amount is zero")
        return await self._do(body.rail, lambda escrow: escrow.deposit(body.amount, key=request_key(request)))

    async def withdraw(self, request: web.Request) -> web.Response:
        body = await read_body(request, WithdrawBody)
        return await self._do(body.rail, lambda escrow: escrow.withdraw(body.amount, key=request_key(request)))

    async def reclaim(self, request: web.Request) -> web.Response:
        body = await read_body(request, RailBody)
        return await self._do(body.rail, lambda escrow: escrow.reclaim(key=request_key(request)))

    async def _do(self, rail: str | None, work: Callable[[Escrow], Awaitable[Done]]) -> web.Response:
        names = list(self._escrows)
        if not names:
            raise EscrowError("no rail of this node knows a storage market: set [rail.NAME] storage_market")
        if rail is None and len(names) > 1:
            raise EscrowError(f"several rails have a storage market: choose one of {', '.join(names)}")
        name = names[0] if rail is None else rail
        if name not in self._escrows:
            raise EscrowError(f"{name!r} has no storage market: choose one of {', '.join(names)}")
        return answer(result(await work(self._escrows[name]), self._purses[name]))
