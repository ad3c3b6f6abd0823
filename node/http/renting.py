"""Storage that we rent, in the local API.

| method and path                | does                                                              |
|--------------------------------|-------------------------------------------------------------------|
| GET  /v1/storage               | all objects with their contracts                                  |
| POST /v1/storage               | store a path; packing and placing follow by themselves            |
| POST /v1/storage/estimate      | what that would cost now; the same body                           |
| GET  /v1/storage/{id}          | one object                                                        |
| GET  /v1/storage/{id}/manifest | the file from which it can be restored anywhere                   |
| POST /v1/storage/{id}/verify   | audit all its hosts now                                           |
| POST /v1/storage/{id}/renew    | keep it for ever, for so many days from now, or let it run out    |
| POST /v1/storage/{id}/forget   | end its contracts and take it off the list                        |
| GET  /v1/storage/{id}/auditor  | what its auditor has to know                                      |
| POST /v1/audits                | audit these contracts for their renter, as their auditor          |
| POST /v1/restores              | bring an object back to a path, by id or from a manifest          |
| GET  /v1/restores/{number}     | how far it is                                                     |
| POST /v1/recovery              | find what this wallet stores with nothing but its seed            |
| GET  /v1/recovery              | how far that is, and what was found                               |
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import asdict
from pathlib import Path

from aiohttp import web

from node.http import renting_models as models
from node.http.requests import answer, read_body
from node.services.renter.errors import RequestError
from node.services.renter.keeper import Overview, Renter, StoreRequest
from node.services.renter.recovering import Recovery
from node.services.renter.renting import Renting
from node.services.renter.restores import Restore
from node.storage.erasure import MAX_SHARDS
from node.storage.messages import Appointment
from wallet.address import Address
from wallet.storage_terms import NOBODY


class RentingApi:
    """The handlers."""

    def __init__(self, renting: Renting | None) -> None:
        self._renting = renting

    @property
    def _renter(self) -> Renter:
        if self._renting is None:
            raise RequestError("no rail knows a storage market and its hosts: see [rail.NAME] in config.toml")
        return self._renting.renter

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/storage", self.objects),
            web.post("/v1/storage", self.store),
            web.post("/v1/storage/estimate", self.estimate),
            web.get("/v1/storage/{id}", self.object),
            web.get("/v1/storage/{id}/manifest", self.manifest),
            web.post("/v1/storage/{id}/verify", self.verify),
            web.post("/v1/storage/{id}/renew", self.renew),
            web.post("/v1/storage/{id}/forget", self.forget),
            web.get("/v1/storage/{id}/auditor", self.appointments),
            web.post("/v1/audits", self.audit),
            web.post("/v1/restores", self.restore),
            web.get("/v1/restores/{number}", self.restoring),
            web.post("/v1/recovery", self.recover),
            web.get("/v1/recovery", self.recovering),
        ]

    async def objects(self, request: web.Request) -> web.Response:
        return answer(models.Objects(objects=[_object(each) for each in await self._renter.stored()]))

    async def store(self, request: web.Request) -> web.Response:
        stored = await self._renter.store(_wanted(await read_body(request, models.StoreBody)))
        return answer(_object(await self._renter.overview(stored.id)))

    async def estimate(self, request: web.Request) -> web.Response:
        found = await self._renter.estimate(_wanted(await read_body(request, models.StoreBody)))
        return answer(
            models.Estimate(
                rail=found.rail,
                size=found.size,
                shards=found.shards,
                shard_length=found.shard_length,
                escrow=found.escrow,
                hosts=[models.HostPrice(**asdict(each) | {"host": each.host.evm}) for each in found.hosts],
                notes=list(found.notes),
            )
        )

    async def object(self, request: web.Request) -> web.Response:
        return answer(_object(await self._renter.overview(request.match_info["id"])))

    async def manifest(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        stored = (await self._renter.overview(name)).stored
        data = await self._renter.manifest(stored.id)
        return answer(models.ManifestFile(id=stored.id, manifest=b64encode(data).decode()))

    async def verify(self, request: web.Request) -> web.Response:
        stored = (await self._renter.overview(request.match_info["id"])).stored
        verdicts = [
            models.Verified(
                shard=rental.shard,
                host=rental.terms.host.evm,
                verdict=examined.finding.verdict.value,
                reason=examined.finding.reason,
                evidence="" if examined.evidence is None else b64encode(examined.evidence.encode()).decode(),
            )
            for rental, examined in await self._renter.verify(stored.id)
        ]
        return answer(models.Verdicts(id=stored.id, verdicts=verdicts))

    async def renew(self, request: web.Request) -> web.Response:
        body = await read_body(request, models.RenewBody)
        stored = await self._renter.renew(request.match_info["id"], days=body.days, on=body.on)
        return answer(_object(await self._renter.overview(stored.id)))

    async def forget(self, request: web.Request) -> web.Response:
        stored = await self._renter.forget(request.match_info["id"])
        return answer(_object(await self._renter.overview(stored.id)))

    async def appointments(self, request: web.Request) -> web.Response:
        found = await self._renter.appointments(request.match_info["id"])
        return answer(models.Contracts(contracts=[each.body() for each in found]))

    async def audit(self, request: web.Request) -> web.Response:
        body = await read_body(request, models.Contracts)
        if len(body.contracts) > MAX_SHARDS:
            raise RequestError(f"{len(body.contracts)} contracts, at most {MAX_SHARDS} at once")
        given = [Appointment.parse(each) for each in body.contracts]
        for each in given:
            await self._renter.appointed.take(each)
        return answer(models.Taken(contracts=len(given)))

    async def restore(self, request: web.Request) -> web.Response:
        body, renter = await read_body(request, models.RestoreBody), self._renter
        out = Path(body.out)
        if body.id is not None and body.manifest is None:
            stored = (await renter.overview(body.id)).stored
            started = renter.restores.start(out, lambda progress: renter.restore(stored.id, out, progress))
        elif body.manifest is not None and body.id is None:
            try:
                data = b64decode(body.manifest, validate=True)
            except ValueError:
                raise RequestError("manifest: not base64") from None
            started = renter.restores.start(out, lambda progress: renter.restore_manifest(data, out, progress))
        else:
            raise RequestError("name either a stored object or a manifest")
        return answer(_status(started))

    async def restoring(self, request: web.Request) -> web.Response:
        number = request.match_info["number"]
        if not number.isdecimal() or len(number) > 9:
            raise RequestError("a restore is named by its number")
        return answer(_status(self._renter.restores.get(int(number))))

    async def recover(self, request: web.Request) -> web.Response:
        return answer(_recovery(self._renter.recover()))

    async def recovering(self, request: web.Request) -> web.Response:
        recovery = self._renter.recovery
        if recovery is None:
            raise RequestError("nothing was recovered since this node has started")
        return answer(_recovery(recovery))


def _wanted(body: models.StoreBody) -> StoreRequest:
    return StoreRequest(
        path=Path(body.path),
        k=body.k,
        n=body.n,
        days=body.days,
        max_price=body.max_price,
        public=body.public,
        renew=body.renew,
        auditor=NOBODY if body.auditor is None else Address.parse(body.auditor),
        rail=body.rail or "",
    )


def _object(overview: Overview) -> models.Object:
    stored, manifest = overview.stored, overview.manifest
    return models.Object(
        id=stored.id,
        name=stored.path.name,
        stage=stored.stage.value,
        rail=stored.rail,
        size=None if manifest is None else manifest.length,
        k=stored.k,
        n=stored.n,
        good=overview.good,
        public=stored.public,
        renew=stored.renew,
        until=overview.until,
        locked=overview.locked,
        paid=sum(overview.paid.values()),
        labelled=overview.labelled,
        note=overview.note,
        contracts=[
            models.Kept(
                id=rental.id.hex(),
                shard=rental.shard,
                host=rental.terms.host.evm,
                url=rental.url,
                state=rental.state.value,
                until=rental.terms.end,
                missed=rental.missed,
                leaves=rental.leaves,
                relieve=rental.relieve,
                paid=overview.paid[rental.id],
                escrow=rental.terms.escrow,
            )
            for rental in overview.rentals
        ],
    )


def _status(restore: Restore) -> models.RestoreStatus:
    return models.RestoreStatus(
        number=restore.number,
        out=str(restore.out),
        done=restore.done,
        finished=restore.finished,
        fault=restore.fault,
        hint=restore.hint,
    )


def _recovery(recovery: Recovery) -> models.RecoveryStatus:
    return models.RecoveryStatus(
        doing=recovery.doing,
        done=recovery.done,
        total=recovery.total,
        finished=recovery.finished,
        objects=[
            models.FoundAgain(
                id=found.stored.id,
                name=found.stored.path.name,
                size=found.length,
                k=found.stored.k,
                n=found.stored.n,
                shards=found.shards,
                contracts=found.contracts,
                silent=found.silent,
                new=found.new,
            )
            for found in recovery.objects
        ],
        lost=[
            models.NotFound(
                contract=lost.id.hex(),
                rail=lost.rail,
                host=lost.host.evm,
                until=lost.until,
                escrow=lost.escrow,
                why=lost.why,
            )
            for lost in recovery.lost
        ],
        faults=recovery.faults,
    )
