"""What this node remembers of its counterparties, in the local API.

| method and path    | does                                                                        |
|--------------------|-----------------------------------------------------------------------------|
| GET /v1/reputation | every counterparty: what it did, fading, its score; the one met last first  |
"""

from __future__ import annotations

from dataclasses import asdict

from aiohttp import web

from node.daemon import Daemon
from node.http.models import Model, Units


class Counterparty(Model):
    """What one address on one rail did. Tallies fade with a half-life of 30 days; times are Unix seconds.

    `delivered`, `bought`, `unpaid` and `overcounted` in bytes, `paid` in token units; `failed` counts pieces, `stops`
    broken trades, `bounces` cheques that bounced, ever.
    """

    rail: str
    address: str
    roles: list[str]
    """`payer`: it pays us; `payee`: we pay it."""
    delivered: Units
    bought: Units
    paid: Units
    failed: Units
    overcounted: Units
    unpaid: Units
    stops: Units
    bounces: int
    barred_until: int | None
    """It gets no paid service until then, since a cheque bounced."""
    score: int
    """0 (never deal with it) to 1000; 500 for a stranger."""
    last_seen: int


class ReputationApi:
    """The handler."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/v1/reputation", self.reputation)]

    async def reputation(self, request: web.Request) -> web.Response:
        names = {purse.chain.rail.id: purse.name for purse in self._daemon.wallet.purses.values()}
        rows = []
        for found in self._daemon.reputations.standings():
            tallies = asdict(found.tallies)
            del tallies["bounced"]  # the faded count is of use to the score only
            rows.append(
                Counterparty(
                    rail=names.get(found.rail, found.rail),
                    address=found.address.evm,
                    roles=[*["payer"] * found.pays_us, *["payee"] * found.sells_to_us],
                    bounces=found.bounces,
                    barred_until=found.barred_until,
                    score=found.score,
                    last_seen=found.met_at,
                    **tallies,
                )
            )
        return web.json_response([row.model_dump() for row in rows])
