"""Evidence: an audit in one file that anybody can check again, offline, without trusting who made it.

A bundle holds the market, the contract with both signatures, the challenge with its signature, the answer with the
host's, and the verdict with the signature of who gave it. Checking repeats every step. `passed` and `wrong` are proved:
the host signed blocks that are, or are not, the contract's. `silent` cannot be proved by signatures, since nobody signs
what he did not send: such a bundle shows who claims it, and the challenge on chain decides.

Form: canonical bencoding, so one audit has one file. A dictionary with v 1, chain (id), market, contract (packed),
renter and host (signatures), challenge [nonce, issued, deadline, indices, signature], answer [[block, node …] …, absent
if none came], proof (the host's signature of it), verdict, arrived, witness (the signature of the report).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from node.bencode import MAX_INTEGER, BencodeError, decode, encode
from node.storage.audit import MAX_SAMPLE, MAX_TIME, Answer, Challenge, Finding, Proof, Verdict, judge
from node.storage.errors import EvidenceError
from node.storage.merkle import BLOCK, NODE, PADDING
from wallet.address import Address
from wallet.digests import typed_digest, word
from wallet.errors import AddressError, BadSignatureError, ChequeError
from wallet.keys import keccak256
from wallet.storage_terms import Market, StorageContract, verify

VERSION = 1
MAX_BYTES = MAX_SAMPLE * (BLOCK + 64 + len(PADDING) * (NODE + 4)) + 2**16
MAX_ITEMS = MAX_SAMPLE * (len(PADDING) + 4) + 64
REPORT_TYPE = keccak256(b"AuditReport(bytes32 challenge,string verdict,uint64 arrived)")

_KEYS = {
    b"v", b"chain", b"market", b"contract", b"renter", b"host", b"challenge", b"proof", b"verdict", b"arrived",
    b"witness",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Report:
    """The verdict as its giver signs it. `arrived`: Unix seconds of the answer, or when it was given up."""

    challenge: bytes
    verdict: Verdict
    arrived: int

    def digest(self, market: Market) -> bytes:
        return typed_digest(
            market.separator, REPORT_TYPE, self.challenge, keccak256(self.verdict.encode()), word(self.arrived)
        )


@dataclass(frozen=True, slots=True)
class Evidence:
    """One audit. Signatures have 65 bytes; `answer_signature` is empty where there is no answer."""

    market: Market
    contract: StorageContract
    renter_signature: bytes
    host_signature: bytes
    challenge: Challenge
    challenge_signature: bytes
    answer: Answer | None
    answer_signature: bytes
    verdict: Verdict
    arrived: int
    report_signature: bytes

    @property
    def report(self) -> Report:
        """What `report_signature` signs."""
        return Report(self.challenge.digest(self.market), self.verdict, self.arrived)

    def encode(self) -> bytes:
        """Canonical bytes of at most `MAX_BYTES`."""
        challenge = self.challenge
        body: dict[str, Any] = {
            "v": VERSION,
            "chain": self.market.chain_id,
            "market": bytes(self.market.contract),
            "contract": self.contract.pack(),
            "renter": self.renter_signature,
            "host": self.host_signature,
            "challenge": [
                challenge.nonce, challenge.issued, challenge.deadline, challenge.indices, self.challenge_signature
            ],
            "proof": self.answer_signature,
            "verdict": self.verdict,
            "arrived": self.arrived,
            "witness": self.report_signature,
        }  # fmt: skip
        if self.answer is not None:
            body["answer"] = [[proof.block, *proof.path] for proof in self.answer.proofs]
        return encode(body)

    @classmethod
    def decode(cls, data: bytes) -> Evidence:
        """Raises `EvidenceError`, and nothing else, for any bytes. What they claim is for `check` to judge."""
        try:
            body = decode(data, max_bytes=MAX_BYTES, max_items=MAX_ITEMS, max_depth=4)
        except BencodeError as error:
            raise EvidenceError(f"not evidence: {error}") from error
        if not isinstance(body, dict) or body.get(b"v") != VERSION:
            raise EvidenceError(f"not evidence of version {VERSION}")
        if body.keys() | {b"answer"} != _KEYS | {b"answer"}:
            raise EvidenceError("not evidence: keys are missing or unknown")
        try:
            return cls._parse(body)
        except (AddressError, ChequeError) as error:
            raise EvidenceError(f"not evidence: {error}") from error

    @classmethod
    def _parse(cls, body: dict[bytes, Any]) -> Evidence:
        market = Market(_int(body[b"chain"], MAX_INTEGER), Address(_bytes(body[b"market"])))
        contract = StorageContract.unpack(_bytes(body[b"contract"]))
        nonce, issued, deadline, indices, signature = _list(body[b"challenge"], 5, 5)
        challenge = Challenge(
            contract.digest(market),
            _bytes(nonce),
            tuple(_int(index, MAX_INTEGER) for index in _list(indices, 1, MAX_SAMPLE)),
            _int(issued, MAX_TIME),
            _int(deadline, MAX_TIME),
        )
        answer = None
        if b"answer" in body:
            proofs = tuple(_proof(item) for item in _list(body[b"answer"], 0, MAX_SAMPLE))
            answer = Answer(challenge.digest(market), proofs)
        verdict = _bytes(body[b"verdict"])
        if verdict not in {each.encode() for each in Verdict}:
            raise EvidenceError("not evidence: no such verdict")
        return cls(
            market=market,
            contract=contract,
            renter_signature=_bytes(body[b"renter"]),
            host_signature=_bytes(body[b"host"]),
            challenge=challenge,
            challenge_signature=_bytes(signature),
            answer=answer,
            answer_signature=_bytes(body[b"proof"]),
            verdict=Verdict(verdict.decode()),
            arrived=_int(body[b"arrived"], MAX_TIME),
            report_signature=_bytes(body[b"witness"]),
        )


@dataclass(frozen=True, slots=True)
class Checked:
    """What a bundle shows: the finding, whether it is proved or only claimed, and by whom."""

    finding: Finding
    proved: bool
    witness: Address


def check(evidence: Evidence) -> Checked:
    """Repeat the audit offline. Raises `EvidenceError` with the first step that does not hold."""
    market, contract, challenge = evidence.market, evidence.contract, evidence.challenge
    try:
        verify(market, contract, evidence.renter_signature, contract.renter)
        verify(market, contract, evidence.host_signature, contract.host)
        verify(market, challenge, evidence.challenge_signature, contract.renter, contract.auditor)
        if evidence.answer is not None:  # an answer that the host did not sign is none, and belongs in no evidence
            verify(market, evidence.answer, evidence.answer_signature, contract.host)
        witness = verify(market, evidence.report, evidence.report_signature, contract.renter, contract.auditor)
    except BadSignatureError as error:
        raise EvidenceError(f"the evidence does not hold: {error}") from error
    if challenge.indices[-1] >= contract.blocks:
        raise EvidenceError(f"the evidence does not hold: block {challenge.indices[-1]} of {contract.blocks} was asked")
    if evidence.answer is None and evidence.arrived <= challenge.deadline:
        raise EvidenceError("the evidence does not hold: the host was given up before the deadline")
    finding = judge(market, contract, challenge, evidence.answer, evidence.answer_signature, evidence.arrived)
    if finding.verdict is not evidence.verdict:
        raise EvidenceError(f"the evidence does not hold: it claims {evidence.verdict}, and shows: {finding.reason}")
    return Checked(finding, finding.verdict is not Verdict.SILENT, witness)


def _int(value: Any, most: int) -> int:
    if not isinstance(value, int) or not 0 <= value <= most:
        raise EvidenceError("not evidence: a number is missing or out of range")
    return value


def _bytes(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise EvidenceError("not evidence: a string is missing")
    return value


def _list(value: Any, least: int, most: int) -> list[Any]:
    if not isinstance(value, list) or not least <= len(value) <= most:
        raise EvidenceError(f"not evidence: a list of {least} to {most} items is missing")
    return value


def _proof(value: Any) -> Proof:
    block, *path = _list(value, 1, len(PADDING))
    return Proof(_bytes(block), tuple(_bytes(node) for node in path))
