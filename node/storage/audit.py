"""Audits: how many blocks to ask for, what a right answer is, and which block the chain asks for.

Sampling (Ateniese et al. 2007). If a host lost a share of a shard's N blocks, L of them, then s distinct random blocks
miss the loss with probability C(N - L, s) / C(N, s); the plan is the smallest s that leaves at most the accepted risk.
For large shards 29 blocks find a loss of 10 % with 95 %, and 299 one of 1 %, whatever the size.

A challenge names a contract, a fresh nonce and block indices, drawn from the nonce, so that a host cannot know them
before. The answer carries the blocks themselves and their paths to the contract's root: a hash over data and nonce
could be computed from a stored midstate, without the data; a block cannot. Both are signed (EIP-712, in the market's
domain). A wrong answer with the host's signature convicts it; a missing one is only the auditor's word, and for that
the market takes bonded challenges. Where the renter is silent, the host proves on chain a block that nobody chooses:

    index = keccak256(seed ‖ contract id) mod blocks        seed: hash of the block after the one that began the proof
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256

from node.storage.errors import EvidenceError
from node.storage.merkle import BLOCK, NODE, PADDING, depth_of, holds
from wallet.amount import cost
from wallet.digests import typed_digest, word
from wallet.errors import BadSignatureError
from wallet.keys import keccak256
from wallet.storage_terms import Market, StorageContract
from wallet.storage_terms import verify as verify_signature

CHALLENGE_TYPE = keccak256(b"AuditChallenge(bytes32 id,bytes32 nonce,bytes32 indices,uint64 issued,uint64 deadline)")
ANSWER_TYPE = keccak256(b"AuditAnswer(bytes32 challenge,bytes32 proofs)")
MAX_SAMPLE = 64
"""Blocks of one challenge: an answer of a bit more than 1 MiB. Larger samples are several challenges."""
REGULAR_LOSS, REGULAR_CONFIDENCE = 100, 950
"""Of the audits that contracts pay for, in per mille: a loss of 10 % is found with 95 %."""
ANSWER_SECONDS = 120
"""Time a host has: a few seeks per block on a busy disk, and 1 MiB on a slow line."""
MAX_TIME = 2**63 - 1
PER_MILLE = 1000


def sample_size(blocks: int, loss: int, confidence: int) -> int:
    """Blocks to ask for so that a loss of `loss` ‰ of a shard's blocks is found with at least `confidence` ‰.

    1 ≤ loss ≤ 1000, 1 ≤ confidence ≤ 999; exact. Raises `ValueError` outside, or for a shard without blocks.
    """
    if blocks < 1 or not 1 <= loss <= PER_MILLE or not 1 <= confidence < PER_MILLE:
        raise ValueError(f"no such audit: {blocks} blocks, {loss} ‰ lost, found with {confidence} ‰")
    kept = blocks - max(1, -(-blocks * loss // PER_MILLE))
    # missed / all: the probability that every block drawn so far is among those kept.
    missed, every, drawn = PER_MILLE, PER_MILLE - confidence, 0
    while missed > every:
        missed *= kept - drawn
        every *= blocks - drawn
        drawn += 1
    return drawn


@lru_cache(maxsize=64)
def regular_sample(blocks: int) -> int:
    """Blocks of one audit as contracts pay for it: at most 29 of any number."""
    return sample_size(blocks, REGULAR_LOSS, REGULAR_CONFIDENCE)


def draw(nonce: bytes, contract_id: bytes, blocks: int, count: int) -> tuple[int, ...]:
    """`count` distinct indices (all, if there are fewer), ascending, as random as the nonce: 32 fresh random bytes."""
    if count >= blocks:
        return tuple(range(blocks))
    chosen: set[int] = set()
    number = 0
    while len(chosen) < count:
        chosen.add(int.from_bytes(sha256(nonce + contract_id + number.to_bytes(4, "big")).digest(), "big") % blocks)
        number += 1
    return tuple(sorted(chosen))


def chain_index(seed: bytes, contract_id: bytes, blocks: int) -> int:
    """The block that a proof on chain must show; both inputs are 32 bytes."""
    return int.from_bytes(keccak256(word(seed) + word(contract_id)), "big") % blocks


def audit_price(blocks: int, count: int, download_price: int) -> int:
    """What an audit costs: its answer's bytes, at the host's download price (units per MiB), rounded up."""
    return cost(count * (BLOCK + NODE * depth_of(blocks)), download_price)


@dataclass(frozen=True, slots=True)
class Challenge:
    """Asks a host for blocks; signed by renter or auditor. Times are Unix seconds. Raises `EvidenceError`."""

    id: bytes
    nonce: bytes
    indices: tuple[int, ...]
    issued: int
    deadline: int

    def __post_init__(self) -> None:
        if len(self.id) != 32 or len(self.nonce) != 32:
            raise EvidenceError("challenge: id and nonce have 32 bytes")
        if not 1 <= len(self.indices) <= MAX_SAMPLE:
            raise EvidenceError(f"challenge: asks for 1 to {MAX_SAMPLE} blocks, not {len(self.indices)}")
        if list(self.indices) != sorted(set(self.indices)) or not 0 <= self.indices[0] <= self.indices[-1] < 2**64:
            raise EvidenceError("challenge: indices are not ascending and distinct")
        if not 0 <= self.issued <= self.deadline <= MAX_TIME:
            raise EvidenceError("challenge: its deadline is before it was issued, or out of range")

    def digest(self, market: Market) -> bytes:
        """What is signed, and what the answer names."""
        indices = sha256(b"".join(index.to_bytes(8, "big") for index in self.indices)).digest()
        return typed_digest(
            market.separator, CHALLENGE_TYPE, self.id, self.nonce, indices, word(self.issued), word(self.deadline)
        )

    def validate(self, market: Market, contract: StorageContract, signature: bytes, now: int) -> None:
        """Why the host of `contract` need not answer at Unix second `now`.

        Raises `EvidenceError`, and `BadSignatureError` unless renter or auditor signed.
        """
        if self.id != contract.digest(market):
            raise EvidenceError("challenge: for another contract")
        if self.indices[-1] >= contract.blocks:
            raise EvidenceError(f"challenge: block {self.indices[-1]} of {contract.blocks}")
        if now > self.deadline:
            raise EvidenceError("challenge: its deadline has passed")
        if self.deadline - now < ANSWER_SECONDS // 2:
            raise EvidenceError(f"challenge: leaves {self.deadline - now} s, and {ANSWER_SECONDS} are usual")
        verify_signature(market, self, signature, contract.renter, contract.auditor)


@dataclass(frozen=True, slots=True)
class Proof:
    """A block and its path. Raises `EvidenceError` for sizes that no block or path has."""

    block: bytes
    path: tuple[bytes, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.block) <= BLOCK:
            raise EvidenceError(f"proof: a block has 1 to {BLOCK} bytes, not {len(self.block)}")
        if len(self.path) >= len(PADDING) or any(len(node) != NODE for node in self.path):
            raise EvidenceError("proof: not a path of 32-byte nodes")


@dataclass(frozen=True, slots=True)
class Answer:
    """A host's answer, in the order of the challenge's indices. `challenge`: its digest."""

    challenge: bytes
    proofs: tuple[Proof, ...]

    def __post_init__(self) -> None:
        if len(self.challenge) != 32 or len(self.proofs) > MAX_SAMPLE:
            raise EvidenceError("answer: names no challenge, or has too many proofs")

    def digest(self, market: Market) -> bytes:
        """What the host signs: it binds every block and path."""
        parts = (sha256(proof.block).digest() + sha256(b"".join(proof.path)).digest() for proof in self.proofs)
        return typed_digest(market.separator, ANSWER_TYPE, self.challenge, sha256(b"".join(parts)).digest())


class Verdict(StrEnum):
    """How an audit ended."""

    PASSED = "passed"
    WRONG = "wrong"
    """Signed by the host, and not the blocks of the contract."""
    SILENT = "silent"
    """No answer that the host signed, or it came late: the auditor's word only."""
    SPENT = "spent"
    """Not asked for blocks again: the host has shown some in this epoch, and its price includes no more. Says nothing
    about the host, so there is no evidence of it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict and its reason in one line."""

    verdict: Verdict
    reason: str


def judge(
    market: Market,
    contract: StorageContract,
    challenge: Challenge,
    answer: Answer | None,
    signature: bytes,
    arrived: int,
) -> Finding:
    """What an answer that arrived at Unix second `arrived` shows; `answer` None: nothing came by then.

    An answer that the host did not sign counts as none: anybody could have sent it.
    """
    if answer is None:
        return Finding(Verdict.SILENT, "no answer by the deadline")
    try:
        verify_signature(market, answer, signature, contract.host)
    except BadSignatureError:
        return Finding(Verdict.SILENT, "the answer is not signed by the host")
    if answer.challenge != challenge.digest(market):
        return Finding(Verdict.SILENT, "the answer is for another challenge")
    wrong = _wrong(contract, challenge, answer)
    if wrong is not None:
        return Finding(Verdict.WRONG, wrong)
    if arrived > challenge.deadline:
        return Finding(Verdict.SILENT, f"the answer came {arrived - challenge.deadline} s late")
    return Finding(Verdict.PASSED, f"{len(challenge.indices)} blocks are the contract's")


def _wrong(contract: StorageContract, challenge: Challenge, answer: Answer) -> str | None:
    if len(answer.proofs) != len(challenge.indices):
        return f"{len(answer.proofs)} proofs for {len(challenge.indices)} blocks"
    for index, proof in zip(challenge.indices, answer.proofs, strict=True):
        if not holds(contract.root, contract.length, index, proof.block, proof.path):
            return f"block {index} is not the contract's"
    return None
