"""Verdicts and their evidence: listed, handed out, and taken back from an auditor.

A bundle proves what it says to anybody (`node.storage.evidence`), so it needs no trust in whoever brings it. A wrong
answer that the host has signed convicts it here as if we had asked ourselves. Silence proves nothing: what an auditor
says of it is kept, and our own audits decide.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace

from node.ports.renting import FOR_OTHERS, AuditRecord, Rental, RenterStore
from node.services.renter.errors import RequestError, UnknownObjectError
from node.services.renter.standings import Standings
from node.storage.audit import Verdict
from node.storage.evidence import Evidence, check
from node.storage.standing import Seen


@dataclass(frozen=True, slots=True)
class Judged:
    """One verdict, and the contract that it is about."""

    rental: Rental
    audit: AuditRecord


class EvidenceBook:
    """`locks`: by object, held while its records change."""

    def __init__(self, store: RenterStore, standings: Standings, locks: Mapping[str, asyncio.Lock]) -> None:
        self._store = store
        self._standings = standings
        self._locks = locks

    async def verdicts(self, name: str = "") -> AsyncIterator[Judged]:
        """Of the objects or contracts whose id begins so, contract by contract, the oldest first.

        Evidence is large: whoever needs only the verdicts lets go of each before the next.
        """
        for rental in await self._store.rentals():
            if rental.id.hex().startswith(name) or (rental.object != FOR_OTHERS and rental.object.startswith(name)):
                for audit in await self._store.audits(rental.id):
                    yield Judged(rental, audit)

    async def bundle(self, contract: bytes, at: int) -> bytes:
        """The evidence of one audit. Raises `UnknownObjectError` where there is none (any more)."""
        for audit in await self._store.audits(contract):
            if audit.at == at and audit.evidence:
                return audit.evidence
        raise UnknownObjectError(f"no evidence of contract {contract.hex()[:12]} at second {at} is kept")

    async def take(self, data: bytes) -> Judged:
        """A bundle that the auditor of one of our contracts has made. Raises `EvidenceError`, `RequestError`."""
        bundle = Evidence.decode(data)
        checked = check(bundle)
        contract_id = bundle.contract.digest(bundle.market)
        object_id = next((each.object for each in await self._store.rentals() if each.id == contract_id), FOR_OTHERS)
        if object_id == FOR_OTHERS:
            raise RequestError(f"contract {contract_id.hex()[:12]} is about nothing that is stored here")
        async with self._locks[object_id]:
            rental = next((each for each in await self._store.rentals(object_id) if each.id == contract_id), None)
            if rental is None:
                raise RequestError("the object was forgotten meanwhile")
            audit = AuditRecord(
                contract=contract_id,
                epoch=max(-1, bundle.contract.epoch_at(bundle.challenge.issued)),
                verdict=checked.finding.verdict,
                at=bundle.arrived,
                reason=f"{checked.finding.reason}; found by {checked.witness.evm}",
                evidence=b"" if checked.finding.verdict is Verdict.PASSED else data,  # of those, our own is newer
            )
            known = {(each.epoch, each.at) for each in await self._store.audits(contract_id)}
            if (audit.epoch, audit.at) not in known:  # what we found ourselves is not written over
                await self._store.save_audit(audit)
            if audit.verdict is Verdict.WRONG and checked.proved and not rental.convicted:
                rental = replace(rental, convicted=True)
                await self._store.save_rental(rental)
                await self._standings.note(rental.rail, rental.terms.host, Seen.WRONG)
            return Judged(rental, audit)
