"""Answers to audits: the blocks that renter or auditor ask for, with their paths, off the disk.

An answer costs the host disk reads and traffic, so who may ask is checked before anything is read, each contract is
answered so often and no more, and only a few answers are made at a time: a flood of challenges waits for itself. A
challenge that was answered a moment ago is answered from memory, so that a lost answer costs no second turn.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from node.ports.clock import Clock
from node.ports.volumes import VolumeError
from node.services.host.contracts import Contracts
from node.services.host.errors import RefusedError
from node.services.host.shards import DamagedError, Shards
from node.services.rate import Rate, TooOftenError
from node.storage.audit import Answer
from node.storage.errors import EvidenceError
from node.storage.lifecycle import LOCKED
from node.storage.messages import AnswerBody, ChallengeCall
from wallet.address import Address
from wallet.errors import BadSignatureError
from wallet.keys import PrivateKey
from wallet.storage_terms import Market, sign

MOST_AT_ONCE = 4
BURST, EVERY = 8, 60.0
"""Answers of one contract at once, and seconds per answer after that: an epoch needs one."""
CACHE = 4
"""Latest answers kept, of at most 1 MiB of blocks each."""


class Answers:
    """One per rail."""

    def __init__(self, contracts: Contracts, shards: Shards, market: Market, *, key: PrivateKey, clock: Clock) -> None:
        self._contracts = contracts
        self._shards = shards
        self._market = market
        self._key = key
        self._clock = clock
        self._rate = Rate(clock, burst=BURST, every=EVERY)
        self._reading = asyncio.Semaphore(MOST_AT_ONCE)
        self._latest: OrderedDict[bytes, AnswerBody] = OrderedDict()

    async def answer(self, sender: Address, call: ChallengeCall) -> AnswerBody:
        """Signed blocks and paths. Raises `RefusedError`, `StoreError`."""
        record = self._contracts.known(call.challenge.id)
        contract, now = record.contract, self._clock.wall()
        if sender not in (contract.renter, contract.auditor):
            raise RefusedError("sender", f"{sender} is neither renter nor auditor of this contract")
        try:
            call.challenge.validate(self._market, contract, call.signature, now)
        except BadSignatureError as error:
            raise RefusedError("signature", str(error)) from None
        except EvidenceError as error:
            raise RefusedError("late" if now > call.challenge.deadline else "terms", str(error)) from None
        if record.state not in LOCKED or not record.whole:
            raise RefusedError("early", f"the shard is not here yet: the contract is {record.state}", "ask later")
        if record.damaged:
            raise RefusedError("unreadable", "the shard cannot be read now")
        digest = call.challenge.digest(self._market)
        if (made := self._latest.get(digest)) is not None:
            return made
        try:
            self._rate.take(call.challenge.id.hex())
        except TooOftenError as error:
            raise RefusedError("often", str(error), error.hint) from None
        body = await self._make(digest, call)
        await self._contracts.change(record.id, audits=record.audits + 1, audited_at=now)
        return body

    async def _make(self, digest: bytes, call: ChallengeCall) -> AnswerBody:
        async with self._reading:
            if self._clock.wall() > call.challenge.deadline:
                raise RefusedError("late", "the deadline has passed")
            contract = self._contracts.known(call.challenge.id).contract
            try:
                proofs = await self._shards.prove(contract, call.challenge.indices)
            except (DamagedError, VolumeError):
                # What is wrong with our disk is told to our owner, not to strangers.
                raise RefusedError("unreadable", "the shard cannot be read now") from None
        body = AnswerBody(proofs, sign(self._market, Answer(digest, proofs), self._key))
        self._latest[digest] = body
        while len(self._latest) > CACHE:
            self._latest.popitem(last=False)
        return body
