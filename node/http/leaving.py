"""Leaving contracts early, in the local API.

| method and path        | does                                                                            |
|------------------------|---------------------------------------------------------------------------------|
| POST /v1/host/exits/plan | what giving shards up would mean, and cost; nothing is changed                |
| POST /v1/host/exits    | give them up: handed over if their renters agree, else left alone for a fee     |
| POST /v1/host/exits/stay | keep them after all                                                           |

A body names a contract (or the beginning of its id), a volume, or all. `within`: seconds until they are left alone,
None: never. `most`: by rail, the fees that the owner has agreed to; there is no default.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from aiohttp import web
from pydantic import Field

from node.http.models import Model, Text, Units
from node.http.requests import answer, read_body
from node.services.host.hosting import Hosting
from node.services.host.leaving import Departure, Which
from wallet.amount import Token
from wallet.storage_terms import MAX_TERM


class WhichBody(Model):
    """Exactly one of the three."""

    contract: Text | None = None
    volume: Text | None = None
    every: Annotated[bool, Field(strict=True)] = False

    @property
    def which(self) -> Which:
        return Which(self.contract or "", self.volume or "", self.every)


class PlanBody(WhichBody):
    within: Annotated[int, Field(strict=True, ge=0, le=MAX_TERM)] | None = None


class LeaveBody(PlanBody):
    most: dict[Text, Units]


class DepartureLine(Model):
    """A contract. `alone`: it can be left without its renter, for at most `fee`; `until`: Unix second to which the
    shard is kept then, else its end."""

    rail: str
    id: str
    alone: bool
    fee: Units
    until: int
    symbol: str
    decimals: int


class Plan(Model):
    """`most`: by rail, the sum of the fees."""

    departures: list[DepartureLine]
    most: dict[str, Units]


class Stayed(Model):
    """The contracts that are kept after all."""

    contracts: list[str]


class LeavingApi:
    """The handlers. `tokens`: rail → what its amounts are in."""

    def __init__(self, hosting: Hosting, tokens: Mapping[str, Token]) -> None:
        self._hosting = hosting
        self._tokens = tokens

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/host/exits/plan", self.plan),
            web.post("/v1/host/exits", self.leave),
            web.post("/v1/host/exits/stay", self.stay),
        ]

    async def plan(self, request: web.Request) -> web.Response:
        body = await read_body(request, PlanBody)
        return self._answer(await self._hosting.departures.plan(body.which, self._exit_at(body)))

    async def leave(self, request: web.Request) -> web.Response:
        body = await read_body(request, LeaveBody)
        return self._answer(await self._hosting.departures.leave(body.which, self._exit_at(body), body.most))

    async def stay(self, request: web.Request) -> web.Response:
        body = await read_body(request, WhichBody)
        kept = await self._hosting.departures.stay(body.which)
        return answer(Stayed(contracts=[record.id.hex() for records in kept.values() for record in records]))

    def _exit_at(self, body: PlanBody) -> int:
        """By the clock that contracts run by."""
        now = max((host.now for host in self._hosting.hosts.values()), default=0)
        return 0 if body.within is None else now + body.within

    def _answer(self, plan: Mapping[str, list[Departure]]) -> web.Response:
        lines = [
            DepartureLine(
                rail=rail,
                id=departure.record.id.hex(),
                alone=departure.alone,
                fee=departure.fee,
                until=departure.until,
                symbol=self._tokens[rail].symbol,
                decimals=self._tokens[rail].decimals,
            )
            for rail, departures in plan.items()
            for departure in departures
        ]
        most = {rail: sum(departure.fee for departure in departures) for rail, departures in plan.items()}
        return answer(Plan(departures=lines, most=most))
