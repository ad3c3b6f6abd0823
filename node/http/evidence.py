"""Verdicts of audits and the evidence for them, in the local API.

| method and path                    | does                                                                          |
|------------------------------------|-------------------------------------------------------------------------------|
| GET  /v1/evidence                  | verdicts, the newest first; ?name= of an object or contract, ?faults=1        |
| GET  /v1/evidence/{contract}/{at}  | the bundle of one audit                                                       |
| POST /v1/evidence                  | take a bundle that our auditor has made                                       |
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from heapq import nlargest
from typing import Annotated

from aiohttp import web
from pydantic import Field

from node.http.models import Model
from node.http.requests import answer, read_body
from node.services.renter.errors import RequestError
from node.services.renter.evidence import EvidenceBook, Judged
from node.services.renter.renting import Renting
from node.storage.audit import Verdict
from node.storage.evidence import MAX_BYTES

MOST = 1000
"""Verdicts in one answer."""
_NAME = re.compile(r"[0-9a-f]{0,64}\Z")


class VerdictLine(Model):
    """`object` "": audited for somebody else; `epoch` -1: before the start; `evidence`: whether a bundle is kept."""

    contract: str
    object: str
    shard: int
    rail: str
    renter: str
    host: str
    epoch: int
    verdict: str
    reason: str
    at: int
    evidence: bool


class VerdictLines(Model):
    verdicts: list[VerdictLine]


class Bundle(Model):
    """`bundle`: base64, for `bttnode evidence check`."""

    bundle: Annotated[str, Field(max_length=MAX_BYTES * 4 // 3 + 4)]


class EvidenceApi:
    """The handlers."""

    def __init__(self, renting: Renting | None) -> None:
        self._renting = renting

    @property
    def _book(self) -> EvidenceBook:
        if self._renting is None:
            raise RequestError("no rail knows a storage market and its hosts: see [rail.NAME] in config.toml")
        return self._renting.renter.evidence

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/evidence", self.verdicts),
            web.get("/v1/evidence/{contract}/{at}", self.bundle),
            web.post("/v1/evidence", self.take),
        ]

    async def verdicts(self, request: web.Request) -> web.Response:
        name, faults = request.query.get("name", "").lower(), request.query.get("faults") == "1"
        if not _NAME.match(name):
            raise RequestError("an object or contract is named by the beginning of its id")
        lines = [
            _line(judged)
            async for judged in self._book.verdicts(name)
            if not faults or judged.audit.verdict is not Verdict.PASSED
        ]
        return answer(VerdictLines(verdicts=nlargest(MOST, lines, key=lambda line: line.at)))

    async def bundle(self, request: web.Request) -> web.Response:
        contract, at = request.match_info["contract"].lower(), request.match_info["at"]
        if len(contract) != 64 or not _NAME.match(contract) or not at.isdecimal() or len(at) > 12:
            raise RequestError("evidence is named by a contract's id and the second of its audit")
        data = await self._book.bundle(bytes.fromhex(contract), int(at))
        return answer(Bundle(bundle=b64encode(data).decode()))

    async def take(self, request: web.Request) -> web.Response:
        body = await read_body(request, Bundle)
        try:
            data = b64decode(body.bundle, validate=True)
        except ValueError:
            raise RequestError("bundle: not base64") from None
        return answer(_line(await self._book.take(data)))


def _line(judged: Judged) -> VerdictLine:
    rental, audit = judged.rental, judged.audit
    return VerdictLine(
        contract=rental.id.hex(),
        object=rental.object,
        shard=rental.shard,
        rail=rental.rail,
        renter=rental.terms.renter.evm,
        host=rental.terms.host.evm,
        epoch=audit.epoch,
        verdict=audit.verdict.value,
        reason=audit.reason,
        at=audit.at,
        evidence=bool(audit.evidence),
    )
