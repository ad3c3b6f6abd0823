"""The owner's terms: what they ask, how much they take on, and the price table that says the first of it to renters.

A table is signed for a day and anew after half of it, so that whoever asks gets one with at least half a day to use.
Tables handed out stay in force until they expire, also when room or free space has changed since: of those a renter is
judged by the kindest. They are not kept over a restart: then a renter is asked to get a new one, and nothing is lost.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from node.ports.clock import Clock
from node.ports.volumes import Volumes
from node.services.host.errors import RefusedError
from node.storage.errors import TermsError
from node.storage.merkle import BLOCK, NODE
from node.storage.messages import Quote
from node.storage.terms import DAY, PriceTable, validate_offer
from wallet.address import Address
from wallet.amount import MAX_AMOUNT, MAX_SIZE
from wallet.keys import PrivateKey
from wallet.storage_terms import Market, StorageContract, sign

VALIDITY = DAY
LOOK_EVERY = 5.0
"""Seconds between two looks at the disks for those who ask for the terms, whoever they are."""
MAX_TABLES = 8
"""That are in force together; the oldest goes first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostTerms:
    """What the owner has decided. Prices as in `PriceTable`; sizes in bytes; `epoch_length` in seconds.

    `max_collateral`: the most that may be at stake in all contracts together; `max_shard`: the longest shard;
    `per_renter`: what one renter may have here, so that no single one fills the disk; `max_contracts`: in all.
    """

    storage_price: int
    upload_price: int = 0
    download_price: int = 0
    collateral_percent: int = 100
    epoch_length: int = DAY
    min_epochs: int = 1
    max_epochs: int = 90
    max_collateral: int = MAX_AMOUNT
    max_shard: int = MAX_SIZE
    per_renter: int = MAX_SIZE
    max_contracts: int = 10_000


class PriceTables:
    """Signs the tables of one market."""

    def __init__(
        self,
        terms: HostTerms,
        market: Market,
        *,
        key: PrivateKey,
        payee: Address | None = None,
        volumes: Volumes,
        clock: Clock,
    ) -> None:
        self.terms = terms
        self._market = market
        self._key = key
        self._payee = payee or key.address
        self._volumes = volumes
        self._clock = clock
        self._tables: deque[Quote] = deque(maxlen=MAX_TABLES)
        self._look_at = 0.0

    async def quote(self) -> Quote:
        """The table in force, signed. Raises `VolumeError`."""
        now = self._clock.wall()
        latest = self._tables[-1] if self._tables else None
        if latest is not None and latest.table.until > now and self._clock.now() < self._look_at:
            return latest
        self._look_at = self._clock.now() + LOOK_EVERY
        free = await self.free()
        if latest is not None and _still_says(latest.table.free, free) and latest.table.until - now > VALIDITY // 2:
            return latest
        table = PriceTable(
            host=self._key.address,
            payee=self._payee,
            storage_price=self.terms.storage_price,
            upload_price=self.terms.upload_price,
            download_price=self.terms.download_price,
            collateral_percent=self.terms.collateral_percent,
            epoch_length=self.terms.epoch_length,
            min_epochs=self.terms.min_epochs,
            max_epochs=self.terms.max_epochs,
            free=free,
            until=now + VALIDITY,
        )
        quote = Quote(self._market, table, sign(self._market, table, self._key))
        self._tables.append(quote)
        return quote

    async def free(self) -> int:
        """Bytes of the longest shard that would find room: a shard lies on one volume, with its tree beside it."""
        return shard_in(max((volume.room for volume in await self._volumes.volumes()), default=0))

    def judge(self, contract: StorageContract, *, free: int, renews: int | None) -> None:
        """Raises `RefusedError` unless a table in force agrees to an offer, with the room that there is now."""
        now = self._clock.wall()
        in_force = [quote.table for quote in reversed(self._tables) if quote.table.until > now]
        if not in_force:
            raise RefusedError("terms", "no price table is in force", "ask for the terms first")
        fault = ""
        for table in in_force:
            try:
                validate_offer(contract, replace(table, free=free), now, renews=renews)
            except TermsError as error:
                fault = fault or str(error)
            else:
                return
        raise RefusedError("terms", fault, "ask for the terms again: they may have changed")


def _still_says(told: int, free: int) -> bool:
    """Whether a table still tells renters how much room there is: never too much, and at least half of it, so that a
    larger quota brings offers at once and each shard that leaves no new table."""
    return told <= free <= 2 * told


def shard_in(room: int) -> int:
    """The longest shard that fits `room` bytes with its tree.

    A tree has fewer than 2 nodes per block and at most one odd node per level: less than 1/256 and 64 nodes.
    """
    return max(0, (room - 64 * NODE) * BLOCK // (BLOCK + 2 * NODE))
