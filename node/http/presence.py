"""A host's money and entry on chain, in the local API.

| method and path        | does                                                                          |
|------------------------|-------------------------------------------------------------------------------|
| POST /v1/host/deposit  | into the market, where offers can lock it as collateral                       |
| POST /v1/host/withdraw | what is not locked, back into the wallet                                      |
| POST /v1/host/announce | tell renters where this node is; the first time with a stake                  |
| POST /v1/host/leave    | off the list of hosts                                                         |

Each waits for the final receipt. With an `Idempotency-Key` the same request is the same transaction.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated

from aiohttp import web
from pydantic import Field

from node.http.models import AmountBody, RailBody, Text, Units
from node.http.money import request_key, result
from node.http.requests import answer, read_body
from node.services.host.presence import Presence, PresenceError
from node.services.settlement import Done
from node.services.wallet import Purse


class AnnounceBody(RailBody):
    """`stake`: what shall be staked in all, in token units; None: the least that is taken."""

    url: Annotated[Text, Field(min_length=8, max_length=256)]
    stake: Units | None = None


class PresenceApi:
    """The handlers. Both maps by the rail's name."""

    def __init__(self, presences: Mapping[str, Presence], purses: Mapping[str, Purse]) -> None:
        self._presences = presences
        self._purses = purses

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/host/deposit", self.deposit),
            web.post("/v1/host/withdraw", self.withdraw),
            web.post("/v1/host/announce", self.announce),
            web.post("/v1/host/leave", self.leave),
        ]

    async def deposit(self, request: web.Request) -> web.Response:
        body = await read_body(request, AmountBody)
        return await self._do(
            body.rail, lambda presence: presence.escrow.deposit(_some(body), key=request_key(request))
        )

    async def withdraw(self, request: web.Request) -> web.Response:
        body = await read_body(request, AmountBody)
        return await self._do(
            body.rail, lambda presence: presence.escrow.withdraw(_some(body), key=request_key(request))
        )

    async def announce(self, request: web.Request) -> web.Response:
        body = await read_body(request, AnnounceBody)
        return await self._do(
            body.rail, lambda presence: presence.announce(body.url, body.stake, key=request_key(request))
        )

    async def leave(self, request: web.Request) -> web.Response:
        body = await read_body(request, RailBody)
        return await self._do(body.rail, lambda presence: presence.leave(key=request_key(request)))

    async def _do(self, rail: str | None, work: Callable[[Presence], Awaitable[Done]]) -> web.Response:
        names = list(self._presences)
        if rail is None and len(names) > 1:
            raise PresenceError(f"this node hosts on several rails: choose one of {', '.join(names)}")
        name = names[0] if rail is None else rail
        if name not in self._presences:
            raise PresenceError(f"this node does not host on {name!r}: choose one of {', '.join(names)}")
        return answer(result(await work(self._presences[name]), self._purses[name]))


def _some(body: AmountBody) -> int:
    if body.amount == 0:
        raise PresenceError("the amount is zero")
    return body.amount
