"""What storing something would cost, before anything is packed, signed or sent: today's quotes and today's choice.

Sizes follow from the source alone, so the escrow of each contract is exact if the same hosts are chosen; hosts may be
others when the shards are ready, and the user's highest price and limits bound what they may ask.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from node.packing.scan import scan
from node.ports.renting import StoredObject
from node.storage.erasure import StripeLayout
from node.storage.sealing import SealLayout
from node.storage.terms import daily_rate
from wallet.address import Address
from wallet.storage_terms import StorageContract


@dataclass(frozen=True, slots=True)
class HostEstimate:
    """One contract. Amounts in token units; `rate`: per GiB and day, all in."""

    url: str
    host: Address
    epochs: int
    epoch_length: int
    price_per_epoch: int
    escrow: int
    collateral: int
    rate: int

    @classmethod
    def of(cls, url: str, terms: StorageContract) -> HostEstimate:
        return cls(
            url=url,
            host=terms.host,
            epochs=terms.epochs,
            epoch_length=terms.epoch_length,
            price_per_epoch=terms.price_per_epoch,
            escrow=terms.escrow,
            collateral=terms.collateral,
            rate=daily_rate(terms.price_per_epoch, terms.length, terms.epoch_length),
        )


@dataclass(frozen=True, slots=True)
class Estimate:
    """`size`: plain bytes; `shards` of `shard_length` bytes each are wanted; `hosts`: those that would be asked now;
    `notes`: why it would not begin, or not be whole, in one line each."""

    rail: str
    size: int
    shards: int
    shard_length: int
    hosts: Sequence[HostEstimate]
    notes: Sequence[str]

    @property
    def escrow(self) -> int:
        """What the term costs, and what is locked for it, if all goes well."""
        return sum(host.escrow for host in self.hosts)


async def sizes(stored: StoredObject) -> tuple[int, int]:
    """(plain bytes, bytes of each shard) of what is to be stored. Raises `PackingError`s."""
    found = await asyncio.to_thread(scan, stored.path)
    sealed = SealLayout(found.length, public=stored.public).sealed_length
    return found.length, StripeLayout(stored.k, sealed).shard_length
