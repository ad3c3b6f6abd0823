"""One audit of one host: a challenge that nobody could foresee, the answer, a verdict, and a record of it all.

An audit is judged by `node.storage.audit` and kept as a bundle that `node.storage.evidence` re-checks. Silence is only
claimed as evidence when the deadline has really passed; a host that was not reached at once is silent in the books, and
asked again. A host shows as many blocks in an epoch as its price includes: that it shows no more is believed where it
has shown some in this epoch, and silence where it has not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from node.ports.clock import Clock
from node.ports.peerapi import PeerApiError, PeerRefusedError
from node.ports.renting import AuditRecord, Rental
from node.services.renter.errors import HostError
from node.services.renter.hosts import Hosts
from node.services.renter.policy import Policy
from node.storage.audit import (
    ANSWER_SECONDS,
    MAX_SAMPLE,
    Answer,
    Challenge,
    Finding,
    Verdict,
    draw,
    judge,
    sample_size,
)
from node.storage.evidence import Evidence, Report
from node.storage.merkle import holds
from wallet.keys import PrivateKey
from wallet.storage_terms import sign

OFTEN = "often"
"""A host's word for more audits than the price includes."""
AT_ONCE = 8
"""Audits under way: each holds an answer of up to 1 MiB."""


@dataclass(frozen=True, slots=True)
class Examined:
    """What an audit found. `evidence` None: nothing that could be shown to others; `wrong`: a block index that the host
    answered wrongly, where it did; `unserved`: it answered, and did not serve a piece (`serving`)."""

    finding: Finding
    at: int
    evidence: Evidence | None
    wrong: int | None = None
    unserved: bool = False

    def record(self, rental: Rental, epoch: int) -> AuditRecord:
        return AuditRecord(
            contract=rental.id,
            epoch=epoch,
            verdict=self.finding.verdict,
            at=self.at,
            reason=self.finding.reason,
            evidence=b"" if self.evidence is None else self.evidence.encode(),
        )


class Auditing:
    """Audits hosts with one key: the renter's, or the auditor's. `nonce`: random bytes of a length."""

    def __init__(
        self, hosts: Hosts, key: PrivateKey, clock: Clock, policy: Policy, *, nonce: Callable[[int], bytes]
    ) -> None:
        self._hosts = hosts
        self._key = key
        self._clock = clock
        self._policy = policy
        self._nonce = nonce
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def examine(self, rental: Rental) -> Examined:
        """Challenge the host now. Never raises for what the host does."""
        async with self._turns:
            return await self._examine(rental)

    async def _examine(self, rental: Rental) -> Examined:
        market, terms, now = self._hosts.market, rental.terms, self._clock.wall()
        nonce = self._nonce(32)
        count = min(MAX_SAMPLE, sample_size(terms.blocks, self._policy.loss, self._policy.confidence))
        indices = draw(nonce, rental.id, terms.blocks, count)
        challenge = Challenge(rental.id, nonce, indices, now, now + ANSWER_SECONDS)
        challenge_signature = sign(market, challenge, self._key)
        answer, answer_signature, fault, spent = None, b"", "", False
        try:
            body = await self._hosts.challenge(rental, challenge, challenge_signature)
            answer, answer_signature = Answer(challenge.digest(market), body.proofs), body.signature
        except (PeerApiError, HostError) as error:
            fault = str(error)
            often = isinstance(error, PeerRefusedError) and error.code == OFTEN
            spent = often and rental.passed > min(max(-1, terms.epoch_at(now)), terms.epochs - 1)
        arrived = self._clock.wall()
        if spent:
            return Examined(Finding(Verdict.SPENT, f"has shown its shard in this epoch: {fault}"), arrived, None)
        finding = judge(market, terms, challenge, answer, answer_signature, arrived)
        if answer is None:
            finding = Finding(Verdict.SILENT, fault)
        elif finding.verdict is Verdict.SILENT:
            answer, answer_signature = None, b""  # late, or not the host's: as good as none
        evidence = None
        if answer is not None or arrived > challenge.deadline:
            report = Report(challenge.digest(market), finding.verdict, arrived)
            evidence = Evidence(
                market=market,
                contract=terms,
                renter_signature=rental.renter_signature,
                host_signature=rental.host_signature,
                challenge=challenge,
                challenge_signature=challenge_signature,
                answer=answer,
                answer_signature=answer_signature,
                verdict=finding.verdict,
                arrived=arrived,
                report_signature=sign(market, report, self._key),
            )
        wrong = _wrong_index(rental, challenge, answer) if finding.verdict is Verdict.WRONG else None
        return Examined(finding, arrived, evidence, wrong)


def _wrong_index(rental: Rental, challenge: Challenge, answer: Answer | None) -> int:
    """The first block that is not shown: what to ask for on chain."""
    terms, proofs = rental.terms, () if answer is None else answer.proofs
    for index, proof in zip(challenge.indices, proofs, strict=False):
        if not holds(terms.root, terms.length, index, proof.block, proof.path):
            return index
    return challenge.indices[min(len(proofs), len(challenge.indices) - 1)]
