"""The port `MarketPort` over the wallet's bindings, and what a host's transactions cost.

What is final. Contracts are read at the head only. What was read at one head, and is still read when that head's block
is final, is taken for final. (A reorganisation that takes it away and brings the very same back between two looks goes
unseen; who was paid is paid then too.) A start waits for finality anew.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from wallet.address import Address
from wallet.chains.base import Call, ChainAdapter, Receipt, RevertedError
from wallet.storage.calls import BlockProof
from wallet.storage.chain import StorageMarket
from wallet.storage.errors import SeedLostError
from wallet.storage.events import Answered
from wallet.storage.records import ContractRecord
from wallet.storage_terms import Market, StorageContract


@dataclass(frozen=True, slots=True)
class Seen:
    """`node.ports.storage.OnChain`."""

    status: int = 0
    epochs: int = 0
    attempt: int = 0
    seed_block: int = 0
    answer_by: int = 0
    index: int = 0
    paid: int = 0

    @classmethod
    def of(cls, record: ContractRecord) -> Seen:
        challenge = record.challenge
        return cls(
            status=record.status,
            epochs=record.epochs,
            attempt=0 if record.begun is None else record.begun + 1,
            seed_block=record.seed_block,
            answer_by=0 if challenge is None else challenge.answer_by,
            index=0 if challenge is None else challenge.index,
            paid=record.paid,
        )


class ChainMarket:
    """One rail's market."""

    def __init__(self, contract: StorageMarket, chain: ChainAdapter) -> None:
        self._contract = contract
        self._chain = chain
        self._calls = contract.calls
        self._waiting: dict[bytes, tuple[Seen, int]] = {}
        """What was read of a contract, and the head at which it was first read like that."""
        self._final: dict[bytes, Seen] = {}

    @property
    def market(self) -> Market:
        return self._contract.market

    async def balance(self, account: Address) -> int:
        await self._contract.ensure()
        return await self._contract.balance(account)

    async def states(self, contract_ids: Sequence[bytes]) -> Sequence[Seen]:
        return [Seen.of(record) for record in await self._contract.records(contract_ids)]

    async def final(self, contract_id: bytes) -> Seen:
        seen = Seen.of(await self._contract.record(contract_id))
        known, since = self._waiting.get(contract_id, (None, 0))
        if seen != known:
            # The head after it: what was read is of no later block.
            self._waiting[contract_id] = (seen, (await self._chain.head()).number)
        elif (await self._chain.final()).number >= since:
            self._final[contract_id] = seen
        return self._final.get(contract_id, Seen())

    async def final_time(self) -> int:
        return (await self._chain.final()).timestamp

    async def chosen(self, contract: StorageContract) -> tuple[int, int] | None:
        try:
            found = await self._contract.chosen(contract)
        except SeedLostError:
            return None
        except RevertedError as error:
            if error.refusal == "NothingThere":
                return None
            raise
        return None if found is None else (found.epoch, found.index)

    def won(self, receipt: Receipt) -> Mapping[bytes, int]:
        found = self._contract.happened(receipt)
        return {event.id: event.bond for event in found if isinstance(event, Answered)}

    def begin_proof(self, contract: StorageContract) -> Call:
        return self._calls.begin_proof(contract)

    def prove(self, contract: StorageContract, block: bytes, path: Sequence[bytes]) -> Call:
        return self._calls.prove(contract, BlockProof(block, path))

    def answer(self, contract: StorageContract, block: bytes, path: Sequence[bytes]) -> Call:
        return self._calls.answer(contract, BlockProof(block, path))

    def settle(self, contract: StorageContract, through_epoch: int, signature: bytes) -> Call:
        return self._calls.settle(contract, through_epoch, signature)

    def call_off(self, contract: StorageContract) -> Call:
        return self._calls.call_off(contract)

    def exit(self, contract: StorageContract) -> Call:
        return self._calls.exit(contract)

    def close(self, contract: StorageContract) -> Call:
        return self._calls.close(contract)

    def cancel(
        self, contract: StorageContract, through_epoch: int, renter_signature: bytes, host_signature: bytes
    ) -> Call:
        return self._calls.cancel(contract, through_epoch, (renter_signature, host_signature))


class ChainFees:
    """`rate`: token units that one native unit is worth; None: not known."""

    def __init__(self, chain: ChainAdapter, sender: Address, rate: Fraction | None) -> None:
        self._chain = chain
        self._sender = sender
        self._rate = Fraction(1) if rate is None and chain.native == chain.rail.token else rate

    async def fee(self, call: Call) -> int | None:
        """Token units, rounded up; None where the rate is not known. Raises `ChainError`."""
        fee = await self._chain.estimate(call, self._sender)
        return None if self._rate is None else math.ceil(fee.total * self._rate)
