"""Audits' promises: the planned sample finds the planned loss, and only the contract's own blocks pass."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import comb
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.storage.audit import (
    ANSWER_SECONDS,
    MAX_SAMPLE,
    Answer,
    Challenge,
    Proof,
    Verdict,
    audit_price,
    chain_index,
    draw,
    judge,
    sample_size,
)
from node.storage.errors import EvidenceError
from node.storage.merkle import BLOCK
from tests.unit.storage.samples import AUDITOR, HOST, MARKET, NOW, RENTER, STRANGER, WORDS, Kept
from wallet.errors import BadSignatureError
from wallet.keys import keccak256
from wallet.storage_terms import NOBODY, sign

KEPT = Kept(5 * BLOCK + 7)
NONCE = b"\x77" * 32


def challenge(kept: Kept = KEPT, indices: tuple[int, ...] = (0, 3, 5), nonce: bytes = NONCE) -> Challenge:
    return Challenge(kept.contract.digest(MARKET), nonce, indices, NOW, NOW + ANSWER_SECONDS)


@pytest.mark.parametrize(("loss", "sample"), [(100, 29), (10, 299), (500, 5), (1000, 1)])
def test_the_known_samples_for_large_shards(loss: int, sample: int) -> None:
    assert sample_size(2**31, loss, 950) == sample


@given(st.integers(1, 400), st.integers(1, 1000), st.integers(1, 999))
def test_the_sample_is_the_smallest_that_finds_the_loss(blocks: int, loss: int, confidence: int) -> None:
    lost = max(1, -(-blocks * loss // 1000))
    risk = Fraction(1000 - confidence, 1000)

    def missed(sample: int) -> Fraction:
        return Fraction(comb(blocks - lost, sample), comb(blocks, sample))

    sample = sample_size(blocks, loss, confidence)
    assert 1 <= sample <= blocks
    assert missed(sample) <= risk < missed(sample - 1)


@pytest.mark.parametrize("wrong", [(0, 100, 950), (9, 0, 950), (9, 1001, 950), (9, 100, 1000), (9, 100, 0)])
def test_audits_that_find_nothing_are_refused(wrong: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="no such audit"):
        sample_size(*wrong)


@given(WORDS, WORDS, st.integers(1, 1000), st.integers(1, 60))
def test_drawn_indices_are_distinct_and_follow_from_the_nonce(
    nonce: bytes, contract_id: bytes, blocks: int, count: int
) -> None:
    indices = draw(nonce, contract_id, blocks, count)
    assert len(indices) == min(count, blocks)
    assert list(indices) == sorted(set(indices))
    assert 0 <= indices[0] <= indices[-1] < blocks
    assert draw(nonce, contract_id, blocks, count) == indices


def test_drawn_indices_reach_every_block() -> None:
    drawn = {index for number in range(200) for index in draw(number.to_bytes(32, "big"), NONCE, 64, 4)}
    assert drawn == set(range(64))


@given(WORDS, WORDS, st.integers(1, 2**36))
def test_the_chain_asks_for_keccak_of_seed_and_id(seed: bytes, contract_id: bytes, blocks: int) -> None:
    assert chain_index(seed, contract_id, blocks) == int(keccak256(seed + contract_id).hex(), 16) % blocks


def test_an_audit_is_paid_like_a_download() -> None:
    assert audit_price(2**21, 29, 2**20) == 29 * (BLOCK + 21 * 32)


@given(st.integers(1, 9 * BLOCK), WORDS, st.integers(1, 6))
def test_a_host_that_has_the_shard_passes(length: int, nonce: bytes, count: int) -> None:
    kept = Kept(length)
    asked = challenge(kept, draw(nonce, kept.contract.digest(MARKET), kept.contract.blocks, count), nonce)
    asked.validate(MARKET, kept.contract, sign(MARKET, asked, AUDITOR), NOW)
    answer = kept.answer(asked)
    finding = judge(MARKET, kept.contract, asked, answer, sign(MARKET, answer, HOST), asked.deadline)
    assert finding.verdict is Verdict.PASSED


@pytest.mark.parametrize("fault", ["changed", "another block", "cut", "fewer", "more", "path"])
def test_a_signed_answer_with_anything_else_is_wrong(fault: str) -> None:
    asked = challenge()
    right = KEPT.answer(asked).proofs
    first, second, third = right
    proofs = {
        "changed": (first, replace(second, block=b"\xff" + second.block[1:]), third),
        "another block": (first, first, third),
        "cut": (first, second, replace(third, block=third.block[:-1])),
        "fewer": (first, second),
        "more": (*right, third),
        "path": (first, replace(second, path=second.path[:-1]), third),
    }[fault]
    answer = Answer(asked.digest(MARKET), proofs)
    finding = judge(MARKET, KEPT.contract, asked, answer, sign(MARKET, answer, HOST), NOW)
    assert finding.verdict is Verdict.WRONG


def test_a_host_that_kept_only_hashes_cannot_answer() -> None:
    """The old attack: keep the tree (or a midstate of the hash) instead of the data, and answer from it."""
    asked = challenge(indices=(3,))
    path = KEPT.answer(asked).proofs[0].path
    leaf = KEPT.tree[3 * 32 : 4 * 32]
    for made_up in (leaf, leaf + NONCE, bytes(BLOCK)):
        answer = Answer(asked.digest(MARKET), (Proof(made_up, path),))
        finding = judge(MARKET, KEPT.contract, asked, answer, sign(MARKET, answer, HOST), NOW)
        assert finding.verdict is Verdict.WRONG


def test_a_host_cannot_answer_from_another_contracts_shard() -> None:
    asked = challenge(indices=(0,))
    other = Kept(6 * BLOCK)  # it begins with the same bytes
    answer = Answer(asked.digest(MARKET), (other.proof(0),))
    finding = judge(MARKET, KEPT.contract, asked, answer, sign(MARKET, answer, HOST), NOW)
    assert finding.verdict is Verdict.WRONG


def test_no_late_unsigned_or_replayed_answer_passes() -> None:
    asked = challenge()
    answer = KEPT.answer(asked)
    signature = sign(MARKET, answer, HOST)
    replayed = KEPT.answer(challenge(nonce=b"\x78" * 32))
    for given_answer, given_signature, arrived, reason in (
        (None, b"", asked.deadline + 1, "no answer"),
        (answer, signature, asked.deadline + 1, "1 s late"),
        (answer, sign(MARKET, answer, STRANGER), NOW, "not signed by the host"),
        (answer, b"", NOW, "not signed by the host"),
        (replace(answer, proofs=answer.proofs[:1]), signature, NOW, "not signed by the host"),
        (replayed, sign(MARKET, replayed, HOST), NOW, "another challenge"),
    ):
        finding = judge(MARKET, KEPT.contract, asked, given_answer, given_signature, arrived)
        assert finding.verdict is Verdict.SILENT
        assert reason in finding.reason


def test_a_host_need_not_answer_what_is_not_its_auditors_challenge() -> None:
    kept = KEPT.contract
    asked = challenge()
    signature = sign(MARKET, asked, RENTER)
    asked.validate(MARKET, kept, signature, NOW)
    for wrong, now, reason in (
        (replace(asked, id=bytes(32)), NOW, "another contract"),
        (replace(asked, indices=(6,)), NOW, "block 6 of 6"),
        (asked, asked.deadline + 1, "has passed"),
        (asked, asked.deadline - 1, "leaves 1 s"),
    ):
        with pytest.raises(EvidenceError, match=reason):
            wrong.validate(MARKET, kept, sign(MARKET, wrong, RENTER), now)
    with pytest.raises(BadSignatureError):
        asked.validate(MARKET, kept, sign(MARKET, asked, STRANGER), NOW)
    alone = replace(kept, auditor=NOBODY)
    unaudited = replace(asked, id=alone.digest(MARKET))
    with pytest.raises(BadSignatureError):
        unaudited.validate(MARKET, alone, sign(MARKET, unaudited, AUDITOR), NOW)


@pytest.mark.parametrize(
    "change",
    [
        {"id": b""},
        {"nonce": b"short"},
        {"indices": ()},
        {"indices": (3, 0)},
        {"indices": (1, 1)},
        {"indices": (-1,)},
        {"indices": (2**64,)},
        {"indices": tuple(range(MAX_SAMPLE + 1))},
        {"deadline": NOW - 1},
        {"deadline": 2**63},
    ],
)
def test_impossible_challenges_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(EvidenceError, match="challenge"):
        replace(challenge(), **change)


def test_impossible_proofs_are_refused() -> None:
    for block, path in ((b"", ()), (bytes(BLOCK + 1), ()), (b"x", (b"short",)), (b"x", (bytes(32),) * 37)):
        with pytest.raises(EvidenceError, match="proof"):
            Proof(block, path)
    with pytest.raises(EvidenceError, match="answer"):
        Answer(b"", ())
