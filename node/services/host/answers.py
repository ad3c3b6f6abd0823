"""Answers to audits: the blocks that renter or auditor ask for, with their paths, off the disk.

An answer costs the host disk reads and traffic, so who may ask is checked before anything is read, and only a few
answers are made at a time: a flood of challenges waits for itself. Renter and auditor each see as many blocks within an
epoch as its price includes, and some more for answers that were lost (`node.storage.terms`); what they show before the
start and after the end counts as an epoch each. A challenge that was answered a moment ago is answered from memory, so
that a lost answer costs nothing. The count starts anew with the node: that gives away one epoch's audits at most.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass

from node.ports.clock import Clock
from node.ports.volumes import VolumeError
from node.services.host.contracts import Contracts
from node.services.host.errors import RefusedError
from node.services.host.shards import DamagedError, Shards
from node.storage.audit import Answer
from node.storage.errors import EvidenceError
from node.storage.lifecycle import LOCKED
from node.storage.messages import AnswerBody, ChallengeCall
from node.storage.terms import answered_blocks
from wallet.address import Address
from wallet.errors import BadSignatureError
from wallet.keys import PrivateKey
from wallet.storage_terms import Market, StorageContract, sign

log = logging.getLogger(__name__)

MOST_AT_ONCE = 4
CACHE = 4
"""Latest answers kept, of at most 1 MiB of blocks each."""


@dataclass(slots=True)
class _Shown:
    """Blocks that one asker saw, or is about to see, in an epoch."""

    epoch: int
    blocks: int = 0


class Answers:
    """One per rail."""

    def __init__(self, contracts: Contracts, shards: Shards, market: Market, *, key: PrivateKey, clock: Clock) -> None:
        self._contracts = contracts
        self._shards = shards
        self._market = market
        self._key = key
        self._clock = clock
        self._shown: dict[bytes, dict[Address, _Shown]] = {}
        """Contract → who asked → what was shown."""
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
        shown = self._count(sender, contract, call)
        try:
            body = await self._make(digest, call)
        except RefusedError:
            shown.blocks -= len(call.challenge.indices)
            raise
        await self._contracts.change(record.id, audits=record.audits + 1, audited_at=now)
        return body

    def _count(self, sender: Address, contract: StorageContract, call: ChallengeCall) -> _Shown:
        """Before the blocks are read: challenges that come together count together."""
        epoch = min(max(-1, contract.epoch_at(self._clock.wall())), contract.epochs)
        wanted = len(call.challenge.indices)
        askers = self._shown.setdefault(call.challenge.id, {})
        shown = askers.get(sender)
        if shown is None or shown.epoch != epoch:
            shown = askers[sender] = _Shown(epoch)
        if shown.blocks + wanted > (most := answered_blocks(contract.length)):
            raise RefusedError(
                "often",
                f"the price of an epoch includes audits of {most} blocks, and {shown.blocks} were shown",
                "ask in the next epoch, or challenge the host on chain",
            )
        shown.blocks += wanted
        return shown

    def forget(self, contract_id: bytes) -> None:
        """The contract has ended."""
        self._shown.pop(contract_id, None)

    async def _make(self, digest: bytes, call: ChallengeCall) -> AnswerBody:
        async with self._reading:
            if self._clock.wall() > call.challenge.deadline:
                raise RefusedError("late", "the deadline has passed")
            contract = self._contracts.known(call.challenge.id).contract
            try:
                proofs = await self._shards.prove(contract, call.challenge.indices)
            except (DamagedError, VolumeError) as error:
                # What is wrong with our disk is told to our owner, not to strangers.
                log.error("an audit of contract %s was not answered: %s", call.challenge.id.hex()[:12], error)
                raise RefusedError("unreadable", "the shard cannot be read now") from None
        body = AnswerBody(proofs, sign(self._market, Answer(digest, proofs), self._key))
        self._latest[digest] = body
        while len(self._latest) > CACHE:
            self._latest.popitem(last=False)
        return body
