"""The contracts that this host has signed, in memory as they are in the store.

Changes are durable before they are seen here: whoever looks never acts on something that a crash would take back.
Several contracts may stand on one root, one after another: a renewal keeps the shard of the contract before it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from node.ports.storage import Bond, HostedContract, KeptLabel, StorageStore
from node.services.host.errors import RefusedError
from node.storage.lifecycle import Event, State, step
from wallet.address import Address
from wallet.storage_terms import Voucher


class Contracts:
    """One per rail. Make it with `open`."""

    def __init__(self, store: StorageStore, rail: str, market: Address, records: Sequence[HostedContract]) -> None:
        self._store = store
        self.rail = rail
        self.market = market
        self._records = {record.id: record for record in records}
        self._by_root: defaultdict[bytes, set[bytes]] = defaultdict(set)
        self._changing: defaultdict[bytes, asyncio.Lock] = defaultdict(asyncio.Lock)
        for record in records:
            self._by_root[record.contract.root].add(record.id)

    @classmethod
    async def open(cls, store: StorageStore, rail: str, market: Address) -> Contracts:
        """Raises `StoreError`."""
        records = [record for record in await store.hosted() if (record.rail, record.market) == (rail, market)]
        return cls(store, rail, market, records)

    def __iter__(self) -> Iterator[HostedContract]:
        return iter(list(self._records.values()))

    def get(self, contract_id: bytes) -> HostedContract | None:
        return self._records.get(contract_id)

    def known(self, contract_id: bytes) -> HostedContract:
        """One that has not ended. Raises `RefusedError`."""
        record = self._records.get(contract_id)
        if record is None:
            raise RefusedError("unknown", f"no contract {contract_id.hex()[:12]} is kept here")
        if not record.live:
            raise RefusedError("unknown", f"contract {contract_id.hex()[:12]} has ended: {record.state}")
        return record

    def live(self) -> list[HostedContract]:
        return [record for record in self._records.values() if record.live]

    def on_root(self, root: bytes) -> list[HostedContract]:
        """Those that have not ended and need this shard."""
        records = (self._records[contract_id] for contract_id in self._by_root.get(root, ()))
        return [record for record in records if record.live]

    async def add(self, record: HostedContract) -> None:
        """A contract that we are about to tell the renter we have signed."""
        await self._store.save_hosted(record)
        self._records[record.id] = record
        self._by_root[record.contract.root].add(record.id)

    async def change(self, contract_id: bytes, **changes: Any) -> HostedContract:
        """Replace fields of a record; returns it as it is then."""
        async with self._changing[contract_id]:
            record = replace(self._records[contract_id], **changes)
            if record != self._records[contract_id]:
                await self._store.save_hosted(record)
                self._records[contract_id] = record
            return record

    async def step(self, contract_id: bytes, event: Event, **changes: Any) -> HostedContract:
        """An event of the life of a contract. Raises `TransitionError` for one that it cannot have now."""
        state = step(self._records[contract_id].state, event)
        return await self.change(contract_id, state=state, **changes)

    async def move(self, contract_id: bytes, state: State, **changes: Any) -> HostedContract:
        """What the chain's own record says a contract has come to, whatever was seen of the way there."""
        return await self.change(contract_id, state=state, **changes)

    async def keep_voucher(self, voucher: Voucher, signature: bytes, at: int) -> None:
        """Raises `StaleChequeError` unless it is higher."""
        async with self._changing[voucher.id]:
            await self._store.keep_voucher(voucher, signature, at)
            self._records[voucher.id] = replace(
                self._records[voucher.id],
                voucher=voucher.through_epoch,
                voucher_signature=signature,
                voucher_at=at,
            )

    async def book_paid(self, contract_id: bytes, paid: int) -> int:
        """Epochs that the final chain has paid; returns what is new, in token units."""
        async with self._changing[contract_id]:
            gain = await self._store.book_paid(contract_id, paid)
            record = self._records[contract_id]
            self._records[contract_id] = replace(record, paid=record.paid | paid)
            return gain

    async def book_bond(self, bond: Bond) -> None:
        async with self._changing[bond.id]:
            if await self._store.book_bond(bond):
                record = self._records[bond.id]
                self._records[bond.id] = replace(record, bonds=record.bonds + bond.amount)

    async def keep_label(self, label: KeptLabel) -> KeptLabel:
        """As `StorageStore.keep_label`."""
        return await self._store.keep_label(label)

    async def label(self, contract_id: bytes) -> KeptLabel | None:
        return await self._store.label(contract_id)

    async def label_bytes(self) -> int:
        """Of all labels of this node."""
        return await self._store.label_bytes()
