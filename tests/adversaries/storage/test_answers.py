"""Hosts that keep hashes, midstates, some blocks or old answers instead of the shard; and proofs about something else.

What a host gains by keeping less is disk; what it risks is told by the audit's plan, to the per mille.
"""

from __future__ import annotations

import random
from fractions import Fraction
from hashlib import sha256
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.services.renter.policy import Policy
from node.storage.audit import ANSWER_SECONDS, Answer, Challenge, Proof, Verdict, chain_index, draw, judge, sample_size
from node.storage.evidence import Evidence, Report, check
from tests.contracts.storage.bench import ANSWER_PERIOD, BLOCK, Shard, StorageBench, refused
from tests.contracts.storage.case import (
    COLLATERAL,
    EPOCHS,
    ESCROW,
    FAILED,
    MALLORY,
    PRICE,
    balances,
    go_to_epoch,
    offer,
    status,
)
from tests.contracts.storage.case import (
    HOST as CHAIN_HOST,
)
from tests.contracts.storage.case import (
    RENTER as CHAIN_RENTER,
)
from tests.unit.storage.samples import HOST, MARKET, NOW, RENTER, Kept
from wallet.keys import PrivateKey
from wallet.storage_terms import sign

SHARD = Kept(40 * BLOCK + 100)
POLICY = Policy()
PER_MILLE = 1000


def challenge(number: int, count: int = 29) -> Challenge:
    nonce, contract_id = sha256(b"%d" % number).digest(), SHARD.contract.digest(MARKET)
    indices = draw(nonce, contract_id, SHARD.contract.blocks, count)
    return Challenge(contract_id, nonce, indices, NOW, NOW + ANSWER_SECONDS)


def verdict_of(asked: Challenge, answer: Answer, signer: PrivateKey = HOST) -> Verdict:
    return judge(MARKET, SHARD.contract, asked, answer, sign(MARKET, answer, signer), NOW + 1).verdict


def substitutes(index: int) -> dict[str, Proof]:
    """What can be shown for a block by who kept the tree and hashes over the data, and not the data."""
    right = SHARD.proof(index)
    leaf = sha256(right.block).digest()
    return {
        "the hash of the block": Proof(leaf, right.path),
        "two nodes for a block": Proof(leaf + right.path[0], right.path[1:]),
        "the root": Proof(SHARD.contract.root, ()),
        "a digest over block and nonce": Proof(sha256(right.block + b"nonce").digest(), right.path),
        "zeros of the right length": Proof(bytes(len(right.block)), right.path),
        "the last byte missing": Proof(right.block[:-1], right.path),
    }


@pytest.mark.parametrize("kept", list(substitutes(0)))
def test_hashes_and_midstates_answer_no_challenge(kept: str) -> None:
    """Fails: an answer is the block, and its path leads to the root only from the block.

    Cheat: signed, it is evidence that anybody can check, and `test_a_lost_block_is_asked_for_by_name` follows. Unsigned
    or left out, it is silence. Victim: nothing.
    """
    asked = challenge(1)
    for place, index in enumerate(asked.indices):
        answer = SHARD.answer(asked)
        proofs = list(answer.proofs)
        proofs[place] = substitutes(index)[kept]
        forged = Answer(answer.challenge, tuple(proofs))
        assert verdict_of(asked, forged) is Verdict.WRONG
        assert verdict_of(asked, forged, RENTER) is Verdict.SILENT  # not signed by the host


def test_an_answer_prepared_for_another_nonce_is_none() -> None:
    """Fails: the signature names the challenge; signed anew, the blocks are not those that were asked for.

    Cheat: a conviction, or a missed voucher. Victim: nothing.
    """
    old, new = challenge(1), challenge(2)
    prepared = SHARD.answer(old)
    assert verdict_of(old, prepared) is Verdict.PASSED
    assert verdict_of(new, prepared) is Verdict.SILENT
    assert verdict_of(new, Answer(new.digest(MARKET), prepared.proofs)) is Verdict.WRONG


def test_a_wrong_answer_is_evidence_that_holds_without_its_auditor() -> None:
    """Fails: both signatures are in the bundle. Cheat: as above. Victim: nothing."""
    asked = challenge(3)
    right = SHARD.answer(asked)
    forged = Answer(right.challenge, (substitutes(asked.indices[0])["zeros of the right length"], *right.proofs[1:]))
    evidence = Evidence(
        market=MARKET,
        contract=SHARD.contract,
        renter_signature=sign(MARKET, SHARD.contract, RENTER),
        host_signature=sign(MARKET, SHARD.contract, HOST),
        challenge=asked,
        challenge_signature=sign(MARKET, asked, RENTER),
        answer=forged,
        answer_signature=sign(MARKET, forged, HOST),
        verdict=Verdict.WRONG,
        arrived=NOW + 1,
        report_signature=sign(MARKET, Report(asked.digest(MARKET), Verdict.WRONG, NOW + 1), RENTER),
    )
    checked = check(Evidence.decode(evidence.encode()))
    assert (checked.finding.verdict, checked.proved) == (Verdict.WRONG, True)


@given(st.integers(1, 4000), st.integers(0, PER_MILLE), st.integers(1, 12))
def test_who_keeps_a_share_of_the_blocks_passes_audits_no_more_often_than_planned(
    blocks: int, lost_share: int, audits: int
) -> None:
    """Fails: by chance, and chance is counted: with L of N blocks lost, an audit passes with C(N-L, s) / C(N, s).

    Cheat: at a loss of the planned share or more it passes an audit in twenty, and e of them in a row in 20^e.
    Victim: until then, vouchers for a shard that any k others replace.
    """
    sample = sample_size(blocks, POLICY.loss, POLICY.confidence)
    lost = -(-blocks * lost_share // PER_MILLE)
    passes = Fraction(comb(blocks - lost, sample), comb(blocks, sample))
    if lost_share >= POLICY.loss:
        assert passes <= Fraction(PER_MILLE - POLICY.confidence, PER_MILLE)
    assert passes <= Fraction(blocks - lost, blocks) ** sample
    assert passes**audits <= passes
    if lost == blocks:
        assert passes == 0


def test_the_draw_finds_what_the_plan_promises() -> None:
    """Fails: as planned, with the nonces and indices that the node really makes. Cheat and victim: as above.

    1000 audits of a shard of 5000 blocks, of which the host has kept 95, 90, 75 and 50 %.
    """
    blocks, contract_id = 5000, SHARD.contract.digest(MARKET)
    sample = sample_size(blocks, POLICY.loss, POLICY.confidence)
    dice = random.Random(1)
    draws = [draw(dice.randbytes(32), contract_id, blocks, sample) for _ in range(1000)]
    for kept in (950, 900, 750, 500):
        has = set(dice.sample(range(blocks), blocks * kept // PER_MILLE))
        passed = sum(has.issuperset(indices) for indices in draws)
        expected = 1000 * (kept / PER_MILLE) ** sample
        assert abs(passed - expected) <= 4 * max(1.0, expected) ** 0.5 + 1, kept


def test_on_chain_a_host_earns_the_share_of_epochs_that_it_kept_of_the_blocks() -> None:
    """Fails: the chain chooses one block per epoch, and there is one attempt.

    Cheat: in expectation the same share of its income as of the data, and its collateral as soon as anybody asks for a
    block that it does not have. Victim: nothing, what is not proved comes back.
    """
    blocks, epochs, contract_id = 200, 2000, SHARD.contract.digest(MARKET)
    chosen = [chain_index(sha256(b"%d" % number).digest(), contract_id, blocks) for number in range(epochs)]
    for kept in range(0, blocks + 1, 10):
        proved = sum(index < kept for index in chosen)
        assert abs(proved - epochs * kept // blocks) <= 4 * (epochs / 4) ** 0.5


def test_a_lost_block_is_asked_for_by_name(bench: StorageBench) -> None:
    """Fails: an audit told the renter which block is missing, and a challenge names it.

    Cheat: all collateral and every epoch not yet paid. Victim: nothing; the bond comes back.
    """
    shard = Shard(8 * BLOCK)
    terms = offer(bench, shard)
    bench.open(terms, CHAIN_RENTER, CHAIN_HOST)
    bench.now = terms.start
    bench.market.send(CHAIN_RENTER, "challenge", terms, 5)
    for kept in range(8):
        if kept != 5:
            with refused("BadProof"):
                bench.market.send(CHAIN_HOST, "answer", terms, *shard.proof(kept))
    bench.now += ANSWER_PERIOD + 1
    bench.market.send(MALLORY, "fail", terms)
    assert status(bench, terms) == FAILED
    assert balances(bench) == (1000 + COLLATERAL, 1000 - COLLATERAL, 0, 1000)


@pytest.mark.parametrize("length", [BLOCK, 3 * BLOCK, 2 * BLOCK + 1, 2 * BLOCK + 64, 5 * BLOCK - 1])
def test_a_proof_about_anything_but_the_chosen_block_of_the_shard_pays_nothing(
    bench: StorageBench, length: int
) -> None:
    """Fails: root, index and length are the contract's, not the caller's.

    Cheat: the fees of its attempts, and the epoch's price unless it shows the right block after all. Victim: nothing.
    """
    shard, other = Shard(length), Shard(length, "somebody else's")
    terms = offer(bench, shard)
    bench.open(terms, CHAIN_RENTER, CHAIN_HOST)
    go_to_epoch(bench, terms, 1)
    index = bench.begin_proof(terms, CHAIN_HOST)
    data, path = shard.proof(index)
    wrong = {
        "somebody else's block": other.proof(index),
        "somebody else's path": (data, [*path[:-1], bytes(32)] if path else [bytes(32)]),
        "a longer block": (data + b"\0", path),
        "a shorter block": (data[:-1], path),
        "padded to a whole block": (data.ljust(BLOCK + 1, b"\0"), path),
        "a longer path": (data, [*path, bytes(32)]),
        "the leaf for the block": (sha256(data).digest(), path),
    }
    if shard.blocks > 1:
        wrong["another block of the shard"] = shard.proof((index + 1) % shard.blocks)
        wrong["a path from the other side"] = (data, [path[0], *path[1:-1], data[:32]])
    for proof in wrong.values():
        with refused("BadProof"):
            bench.market.send(CHAIN_HOST, "prove", terms, *proof)
    go_to_epoch(bench, terms, EPOCHS + 1)
    bench.market.send(MALLORY, "close", terms)
    assert balances(bench) == (1000, 1000, 0, 1000), f"{ESCROW} came back, at {PRICE} an epoch"
