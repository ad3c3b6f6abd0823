"""Hosts that can be rented from, in the local API.

| method and path | does                                                                                              |
|-----------------|---------------------------------------------------------------------------------------------------|
| POST /v1/hosts  | asks every known host for its prices now: what it asks, its score, and why it would be avoided    |
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from aiohttp import web
from pydantic import Field

from node.http.models import Model, Text, Units
from node.http.renting_models import Days
from node.http.requests import answer, read_body
from node.services.renter.errors import RequestError
from node.services.renter.hostlist import USUAL, KnownHost, Wanted
from node.services.renter.renting import Renting
from node.storage.standing import Standing
from node.storage.terms import DAY
from wallet.amount import MAX_AMOUNT, MAX_SIZE


class WantedBody(Model):
    """`length`: bytes of a shard; `days`: the term, None for each host's shortest; `max_price` per GiB and day."""

    length: Annotated[int, Field(strict=True, ge=1, le=MAX_SIZE)] = USUAL
    days: Days | None = None
    max_price: Units | None = None
    rail: Text | None = None


class Prices(Model):
    """Of a signed table: units per GiB and day, and per MiB; `free` in bytes; terms and `until` in seconds."""

    storage: Units
    upload: Units
    download: Units
    collateral_percent: int
    free: int
    shortest: int
    longest: int
    until: int


class Experience(Model):
    """How often it kept an epoch, was silent for one, answered wrongly, broke its word, or declined; fading."""

    kept: int
    silent: int
    wrong: int
    broken: int
    declined: int
    at: int


class HostRow(Model):
    """`score`: 0 to 1000; `prices` None: no answer; `avoided`: why it would get no shard, "" if it may."""

    rail: str
    host: str
    url: str
    network: str
    score: int
    prices: Prices | None
    experience: Experience | None
    avoided: str


class HostRows(Model):
    hosts: list[HostRow]


class KnownHostsApi:
    """The handler."""

    def __init__(self, renting: Renting | None) -> None:
        self._renting = renting

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/v1/hosts", self.hosts)]

    async def hosts(self, request: web.Request) -> web.Response:
        body = await read_body(request, WantedBody)
        if self._renting is None:
            raise RequestError("no rail knows a storage market and its hosts: see [rail.NAME] in config.toml")
        wanted = Wanted(
            length=body.length,
            seconds=(body.days or 0) * DAY,
            max_price=MAX_AMOUNT if body.max_price is None else body.max_price,
        )
        found = await self._renting.renter.directory.look(wanted, body.rail or "")
        return answer(HostRows(hosts=[_row(each) for each in found]))


def _row(known: KnownHost) -> HostRow:
    return HostRow(
        rail=known.rail,
        host=known.found.peer.address.evm,
        url=known.found.peer.url,
        network=known.found.network,
        score=known.found.score,
        prices=_prices(known),
        experience=None if known.standing is None else _experience(known.standing),
        avoided=known.avoided,
    )


def _prices(known: KnownHost) -> Prices | None:
    if known.quote is None:
        return None
    table = known.quote.table
    return Prices(
        storage=table.storage_price,
        upload=table.upload_price,
        download=table.download_price,
        collateral_percent=table.collateral_percent,
        free=table.free,
        shortest=table.min_epochs * table.epoch_length,
        longest=table.max_epochs * table.epoch_length,
        until=table.until,
    )


def _experience(standing: Standing) -> Experience:
    counts = asdict(standing)
    return Experience(**{name: counts[name] for name in Experience.model_fields})
