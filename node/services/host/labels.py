"""Labels: what a renter wants to find again with its contract when it has lost everything but its key.

A label is sealed; what we know of it is its size. It is taken only with a contract for which the market has locked
money, replaced only by one with a higher number, and deleted with its contract. All labels of a node are bounded, and
so is how often one renter may have us write: half a MiB, durable, is work for the disk.
"""

from __future__ import annotations

import asyncio

from node.ports.clock import Clock
from node.ports.storage import HostedContract, KeptLabel
from node.services.host.contracts import Contracts
from node.services.host.errors import RefusedError
from node.services.rate import Rate, TooOftenError
from node.storage.label import MAX_LABEL
from node.storage.lifecycle import LOCKED
from node.storage.messages import LabelCall, RecallCall, Recalled
from wallet.address import Address

MAX_BYTES = 2**30
"""Of all labels of a node: 2048 of the longest, or some 10,000 manifests of 10,000 files."""
BURST, EVERY = 256, 10.0
"""Labels that one renter may send at once, and seconds per label after that."""


class Labels:
    """One per rail."""

    def __init__(self, contracts: Contracts, clock: Clock, *, most: int = MAX_BYTES) -> None:
        self._contracts = contracts
        self._most = most
        self._rate = Rate(clock, burst=BURST, every=EVERY)
        self._writing = asyncio.Lock()

    async def keep(self, sender: Address, call: LabelCall) -> None:
        """Returns when it is durable. Raises `RefusedError`, `StoreError`."""
        record = self._theirs(sender, call.id)
        if record.state not in LOCKED:
            raise RefusedError("early", f"the contract is {record.state}", "send it when the market has opened it")
        label = KeptLabel(call.id, call.number, call.data)
        async with self._writing:
            before = await self._contracts.label(call.id)
            if before == label:
                return
            try:
                self._rate.take(str(sender))
            except TooOftenError as error:
                raise RefusedError("often", str(error), error.hint) from None
            room = self._most - await self._contracts.label_bytes() + (len(before.data) if before else 0)
            if len(label.data) > min(room, MAX_LABEL):
                raise RefusedError("room", "this node has no room for such a label", "keep the manifest yourself")
            try:
                kept = await self._contracts.keep_label(label)
            except KeyError:  # its end came while we looked
                raise RefusedError("unknown", f"contract {call.id.hex()[:12]} has ended") from None
        if kept != label:
            raise RefusedError("stale", f"a label with number {kept.number} is here", "recall it")

    async def recall(self, sender: Address, call: RecallCall) -> Recalled:
        """Raises `RefusedError`, `StoreError`."""
        record = self._theirs(sender, call.id)
        label = await self._contracts.label(call.id)
        return Recalled(
            signature=record.host_signature,
            through_epoch=record.voucher,
            voucher=record.voucher_signature or None,
            number=0 if label is None else label.number,
            data=b"" if label is None else label.data,
        )

    def _theirs(self, sender: Address, contract_id: bytes) -> HostedContract:
        record = self._contracts.known(contract_id)
        if sender != record.contract.renter:
            raise RefusedError("sender", f"the contract is {record.contract.renter}'s")
        return record
