"""Renting out disk, in the local API.

| method and path                  | does                                                                      |
|----------------------------------|---------------------------------------------------------------------------|
| GET    /v1/host                  | per rail: the terms, the money, how many contracts, why not more          |
| GET    /v1/host/contracts        | every contract, the newest first                                          |
| GET    /v1/host/volumes          | every volume and its state                                                |
| POST   /v1/host/volumes          | make a folder a volume                                                    |
| POST   /v1/host/volumes/{id}     | another quota; drain it, or let it take shards again                      |
| POST   /v1/host/volumes/{id}/check | the disk was seen to: trust it, and read what was damaged               |
| DELETE /v1/host/volumes/{id}     | forget an empty volume                                                    |
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from aiohttp import web
from pydantic import Field

from node.http.models import Folder, Model, Units
from node.http.requests import answer, read_body
from node.ports.storage import HostedContract
from node.ports.volumes import VolumeInfo
from node.services.host.books import Earnings
from node.services.host.hosting import Hosting
from wallet.amount import MAX_SIZE, Token


class VolumeBody(Model):
    """`path`: absolute; `quota`: bytes."""

    path: Folder
    quota: int = Field(strict=True, ge=1, le=MAX_SIZE)


class VolumeChange(Model):
    """What is None stays."""

    quota: int | None = Field(default=None, strict=True, ge=0, le=MAX_SIZE)
    draining: bool | None = None


class VolumeLine(Model):
    """Sizes in bytes, as in `node.ports.volumes.VolumeInfo`."""

    id: str
    path: str
    quota: int
    used: int
    reserved: int
    room: int
    shards: int
    state: str
    reason: str


class Money(Model):
    """As in `node.services.host.books.Earnings`, in token units."""

    earned: Units
    claimed: Units
    pending: Units
    expected: Units
    bonds: Units
    at_stake: Units
    lost: Units


class ContractLine(Model):
    """A contract. Times in Unix seconds; `paid`: how many epochs final blocks have paid."""

    rail: str
    id: str
    root: str
    renter: str
    length: int
    state: str
    start: int
    end: int
    epochs: int
    epoch: int
    """That runs now; below 0 before the start."""
    voucher: int
    paid: int
    audits: int
    audited_at: int | None
    leaving: int
    """When the owner asked to be rid of it; 0: never."""
    price_per_epoch: Units
    money: Money
    symbol: str
    decimals: int
    note: str


class HostLine(Model):
    """One rail. `why`: plain reasons why it does not earn, or not more."""

    rail: str
    symbol: str
    decimals: int
    storage_price: Units
    collateral_percent: int
    epoch_length: int
    min_epochs: int
    max_epochs: int
    free: int
    contracts: int
    stored: int
    money: Money
    why: list[str]


class Checked(Model):
    """`healed`: contracts whose shards are right again."""

    volume: VolumeLine
    healed: list[str]


class HostingApi:
    """The handlers. `tokens`: rail → what its amounts are in."""

    def __init__(self, hosting: Hosting, tokens: dict[str, Token]) -> None:
        self._hosting = hosting
        self._tokens = tokens

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/host", self.status),
            web.get("/v1/host/contracts", self.contracts),
            web.get("/v1/host/volumes", self.volumes),
            web.post("/v1/host/volumes", self.add),
            web.post("/v1/host/volumes/{id}", self.change),
            web.post("/v1/host/volumes/{id}/check", self.check),
            web.delete("/v1/host/volumes/{id}", self.remove),
        ]

    async def status(self, request: web.Request) -> web.Response:
        lines = []
        for name, host in self._hosting.hosts.items():
            terms, token, live = host.tables.terms, self._tokens[name], host.contracts.live()
            line = HostLine(
                rail=name,
                symbol=token.symbol,
                decimals=token.decimals,
                storage_price=terms.storage_price,
                collateral_percent=terms.collateral_percent,
                epoch_length=terms.epoch_length,
                min_epochs=terms.min_epochs,
                max_epochs=terms.max_epochs,
                free=await host.tables.free(),
                contracts=len(live),
                stored=sum(record.contract.length for record in live if record.whole),
                money=_money(host.earnings()),
                why=await host.why(),
            )
            lines.append(line.model_dump())
        return web.json_response(lines)

    async def contracts(self, request: web.Request) -> web.Response:
        rows = []
        for name, host in self._hosting.hosts.items():
            rows += [_contract(name, self._tokens[name], record, host.now) for record in host.contracts]
        rows.sort(key=lambda row: -row.start)
        return web.json_response([row.model_dump() for row in rows])

    async def volumes(self, request: web.Request) -> web.Response:
        return web.json_response([_volume(info).model_dump() for info in await self._hosting.volumes.volumes()])

    async def add(self, request: web.Request) -> web.Response:
        body = await read_body(request, VolumeBody)
        info = await self._hosting.volumes.add(Path(body.path), body.quota)
        await self._hosting.volumes_changed()
        return answer(_volume(info))

    async def change(self, request: web.Request) -> web.Response:
        body, volume = await read_body(request, VolumeChange), request.match_info["id"]
        volumes = self._hosting.volumes
        if body.quota is not None:
            info = await volumes.resize(volume, body.quota)
        if body.draining is not None:
            info = await volumes.drain(volume, on=body.draining)
        if body.quota is None and body.draining is None:
            raise web.HTTPBadRequest(text="say what to change: quota or draining")
        await self._hosting.volumes_changed()
        return answer(_volume(info))

    async def check(self, request: web.Request) -> web.Response:
        info, healed = await self._hosting.check(request.match_info["id"])
        return answer(Checked(volume=_volume(info), healed=[record.id.hex() for record in healed]))

    async def remove(self, request: web.Request) -> web.Response:
        volume = request.match_info["id"]
        await self._hosting.volumes.remove(volume)
        return web.json_response({"removed": volume})


async def not_hosting(request: web.Request) -> web.Response:
    """What a node that rents out nothing says instead."""
    raise web.HTTPConflict(text="this node rents out no disk: set [storage] host = true in config.toml")


def no_routes() -> list[web.RouteDef]:
    """For a node that rents out nothing."""
    return [web.route("*", "/v1/host{rest:.*}", not_hosting)]


def _money(earnings: Earnings) -> Money:
    return Money(pending=earnings.pending, **asdict(earnings))


def _volume(info: VolumeInfo) -> VolumeLine:
    return VolumeLine(
        id=info.id,
        path=str(info.path),
        quota=info.quota,
        used=info.used,
        reserved=info.reserved,
        room=info.room,
        shards=info.shards,
        state=info.state.value,
        reason=info.reason,
    )


def _contract(rail: str, token: Token, record: HostedContract, now: int) -> ContractLine:
    contract = record.contract
    return ContractLine(
        rail=rail,
        id=record.id.hex(),
        root=contract.root.hex(),
        renter=contract.renter.evm,
        length=contract.length,
        state=record.state.value,
        start=contract.start,
        end=contract.epoch_start(record.epochs),
        epochs=record.epochs,
        epoch=contract.epoch_at(now),
        voucher=record.voucher,
        paid=record.paid.bit_count(),
        audits=record.audits,
        audited_at=record.audited_at or None,
        leaving=record.leaving,
        price_per_epoch=contract.price_per_epoch,
        money=_money(Earnings.of(record)),
        symbol=token.symbol,
        decimals=token.decimals,
        note=record.damaged or record.note,
    )
