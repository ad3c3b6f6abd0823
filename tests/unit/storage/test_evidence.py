"""Evidence's promises: what it proves anybody can check again, and what was touched or made up does not hold."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.bencode import decode, encode
from node.storage.audit import MAX_SAMPLE, Answer, Challenge, Proof, Verdict
from node.storage.errors import EvidenceError
from node.storage.evidence import MAX_BYTES, Evidence, check
from node.storage.merkle import BLOCK
from tests.unit.storage.samples import AUDITOR, HOST, MARKET, NOW, PAYEE, RENTER, STRANGER, Kept
from wallet.keys import PrivateKey
from wallet.storage_terms import Market, sign

KEPT = Kept(3 * BLOCK + 5)
CHALLENGE = Challenge(KEPT.contract.digest(MARKET), b"\x55" * 32, (1, 3), NOW, NOW + 60)
LATE = NOW + 61


def bundle(answer: Answer | None, verdict: Verdict, arrived: int = NOW + 3, witness: PrivateKey = AUDITOR) -> Evidence:
    blank = Evidence(
        market=MARKET,
        contract=KEPT.contract,
        renter_signature=sign(MARKET, KEPT.contract, RENTER),
        host_signature=sign(MARKET, KEPT.contract, HOST),
        challenge=CHALLENGE,
        challenge_signature=sign(MARKET, CHALLENGE, AUDITOR),
        answer=answer,
        answer_signature=b"" if answer is None else sign(MARKET, answer, HOST),
        verdict=verdict,
        arrived=arrived,
        report_signature=b"",
    )
    return signed(blank, witness)


def signed(evidence: Evidence, witness: PrivateKey = AUDITOR) -> Evidence:
    return replace(evidence, report_signature=sign(evidence.market, evidence.report, witness))


RIGHT = KEPT.answer(CHALLENGE)
WRONG = replace(RIGHT, proofs=(Proof(b"made up", RIGHT.proofs[0].path), RIGHT.proofs[1]))
BUNDLES = {
    "passed": bundle(RIGHT, Verdict.PASSED),
    "wrong": bundle(WRONG, Verdict.WRONG),
    "silent": bundle(None, Verdict.SILENT, LATE),
    "late": bundle(RIGHT, Verdict.SILENT, LATE),
}


@pytest.mark.parametrize("name", BUNDLES)
def test_evidence_is_checked_again_from_its_bytes_alone(name: str) -> None:
    evidence = BUNDLES[name]
    assert Evidence.decode(evidence.encode()) == evidence
    checked = check(Evidence.decode(evidence.encode()))
    assert checked.finding.verdict is evidence.verdict
    assert checked.proved == (name in ("passed", "wrong"))
    assert checked.witness == AUDITOR.address


def test_the_renter_may_be_the_witness_and_nobody_else() -> None:
    assert check(bundle(RIGHT, Verdict.PASSED, witness=RENTER)).witness == RENTER.address
    for key in (HOST, STRANGER):
        with pytest.raises(EvidenceError, match="not signed"):
            check(bundle(RIGHT, Verdict.PASSED, witness=key))


@pytest.mark.parametrize(
    ("evidence", "reason"),
    [
        (bundle(RIGHT, Verdict.WRONG), "claims wrong, and shows: 2 blocks"),
        (bundle(WRONG, Verdict.PASSED), "claims passed, and shows: block 1"),
        (bundle(RIGHT, Verdict.PASSED, LATE), "1 s late"),
        (bundle(None, Verdict.SILENT), "before the deadline"),
        (bundle(None, Verdict.PASSED, LATE), "shows: no answer"),
        (replace(BUNDLES["wrong"], answer=RIGHT), "Answer is not signed"),
        (replace(BUNDLES["passed"], arrived=NOW + 4), "AuditReport|Report is not signed"),
        (replace(BUNDLES["passed"], host_signature=BUNDLES["passed"].renter_signature), "StorageContract is not"),
        (replace(BUNDLES["passed"], market=Market(1, PAYEE)), "StorageContract is not"),
    ],
)
def test_what_was_made_up_does_not_hold(evidence: Evidence, reason: str) -> None:
    with pytest.raises(EvidenceError, match=reason):
        check(evidence)


def test_a_challenge_for_a_block_the_shard_has_not_convicts_nobody() -> None:
    beyond = replace(CHALLENGE, indices=(4,))
    answer = Answer(beyond.digest(MARKET), (RIGHT.proofs[0],))
    evidence = replace(
        BUNDLES["wrong"],
        challenge=beyond,
        challenge_signature=sign(MARKET, beyond, AUDITOR),
        answer=answer,
        answer_signature=sign(MARKET, answer, HOST),
    )
    with pytest.raises(EvidenceError, match="block 4 of 4"):
        check(signed(evidence))


@given(st.sampled_from(sorted(BUNDLES)), st.data())
@settings(max_examples=200)
def test_no_changed_byte_leaves_evidence_that_holds(name: str, draw: st.DataObject) -> None:
    data = BUNDLES[name].encode()
    at = draw.draw(st.integers(0, len(data) - 1))
    other = draw.draw(st.integers(0, 255).filter(lambda value: value != data[at]))
    with pytest.raises(EvidenceError):
        check(Evidence.decode(data[:at] + bytes((other,)) + data[at + 1 :]))


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.integers(-5, 2**260) | st.binary(max_size=70), lambda inner: st.lists(inner, max_size=5), max_leaves=6
)


@given(st.sampled_from(sorted(BUNDLES)), st.data())
def test_values_of_any_type_in_any_place_raise_one_error(name: str, draw: st.DataObject) -> None:
    body = decode(BUNDLES[name].encode())
    body[draw.draw(st.sampled_from(sorted(body)))] = draw.draw(VALUES)
    with suppress(EvidenceError):
        data = encode(body)
        assert Evidence.decode(data).encode() == data


def test_other_versions_keys_and_sizes_are_refused() -> None:
    body = decode(BUNDLES["passed"].encode())
    for wrong in (encode(body | {b"v": 2}), encode(body | {b"x": 0}), encode(b""), bytes(MAX_BYTES + 1), b"i1"):
        with pytest.raises(EvidenceError, match="not evidence"):
            Evidence.decode(wrong)


def test_the_largest_audit_fits_its_bound() -> None:
    proof = Proof(bytes(BLOCK), (bytes(32),) * 36)
    largest = replace(
        BUNDLES["passed"],
        challenge=replace(CHALLENGE, indices=tuple(range(2**36 - MAX_SAMPLE, 2**36))),
        answer=Answer(bytes(32), (proof,) * MAX_SAMPLE),
    )
    data = largest.encode()
    assert len(data) <= MAX_BYTES
    assert len(Evidence.decode(data).challenge.indices) == MAX_SAMPLE
