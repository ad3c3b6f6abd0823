"""The ground that tests of the renter stand on: a clock, records and a market in memory, and points to die at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from node.ports.renting import (
    AuditRecord,
    MarketError,
    MarketRefusedError,
    OnChain,
    Rental,
    SentLabel,
    StoredObject,
)
from node.ports.storagebooks import Committed
from node.services.renter.policy import Policy
from node.storage.lifecycle import MarketStatus
from node.storage.sealing import wrapping_key
from node.storage.standing import Standing
from wallet.address import Address
from wallet.keys import PrivateKey
from wallet.storage_terms import Market, StorageContract, Voucher, verify

RAIL = "eip155:1029"
MARKET = Market(1029, Address(b"\x0a" * 20))
RENTER = PrivateKey(b"\x01" * 32)
WRAPPING = wrapping_key(b"\x07" * 64)
NOW = 1_800_000_000
WEALTH = 10**30
PART = 4 << 20
RENTER_ENGINE = "192.0.2.1:6881"
POLICY = Policy(lead=600, margin=120, retry=5, avoid=60, dispute=True, max_bond=1000)


class Crash(BaseException):
    """The process is gone."""


class Points:
    """Numbers what leaves the process; `die_at` n: before (or, `after`, behind) the n-th effect, counted from 1."""

    def __init__(self) -> None:
        self.count = 0
        self.die_at = 0
        self.after = False
        self.dead = False

    @contextmanager
    def passing(self) -> Iterator[None]:
        self.count += 1
        here = self.count == self.die_at
        if self.dead or (here and not self.after):
            self.dead = True
            raise Crash
        yield
        if here:
            self.dead = True
        self.check()

    def check(self) -> None:
        """Raises where the process is gone: another task may have met its end meanwhile."""
        if self.dead:
            raise Crash

    def restart(self) -> None:
        self.count, self.die_at, self.dead = 0, 0, False


class WorldClock:
    def __init__(self) -> None:
        self.seconds = NOW

    def now(self) -> float:
        return float(self.seconds)

    def wall(self) -> int:
        return self.seconds


class MemoryRenterStore:
    """`RenterStore` in memory: what a database would have kept."""

    def __init__(self, points: Points) -> None:
        self._points = points
        self.kept: dict[str, StoredObject] = {}
        self.contracts: dict[bytes, Rental] = {}
        self.verdicts: list[AuditRecord] = []
        self.sent: dict[bytes, SentLabel] = {}
        self.promised: dict[bytes, tuple[int, int]] = {}
        """Contract → the day of its offer, its escrow; what comes back is not followed here."""
        self.known: dict[tuple[str, Address], Standing] = {}

    async def save_object(self, stored: StoredObject) -> None:
        with self._points.passing():
            self.kept[stored.id] = stored

    async def objects(self) -> Sequence[StoredObject]:
        return list(self.kept.values())

    async def remove_object(self, object_id: str) -> None:
        with self._points.passing():
            self.kept.pop(object_id, None)
            gone = {rental.id for rental in self.contracts.values() if rental.object == object_id}
            self.contracts = {key: rental for key, rental in self.contracts.items() if key not in gone}
            self.sent = {key: label for key, label in self.sent.items() if key not in gone}
            self.verdicts = [audit for audit in self.verdicts if audit.contract not in gone]

    async def save_rental(self, rental: Rental) -> None:
        with self._points.passing():
            old = self.contracts.get(rental.id)
            if old is not None and old.vouched > rental.vouched:
                rental = replace(rental, vouched=old.vouched, voucher_signature=old.voucher_signature)
            self.contracts[rental.id] = rental

    async def offer(self, rentals: Sequence[Rental], day: int) -> None:
        with self._points.passing():
            for rental in rentals:
                self.contracts[rental.id] = rental
                self.promised[rental.id] = (day, rental.terms.escrow)

    async def committed(self, day: int) -> Committed:
        return Committed(
            sum(escrow for _, escrow in self.promised.values()),
            sum(escrow for when, escrow in self.promised.values() if when == day),
        )

    async def rentals(self, object_id: str | None = None) -> Sequence[Rental]:
        found = [rental for rental in self.contracts.values() if object_id in (None, rental.object)]
        return sorted(found, key=lambda rental: (rental.shard, rental.terms.start, rental.id))

    async def save_audit(self, audit: AuditRecord) -> None:
        with self._points.passing():
            self.verdicts.append(audit)

    async def save_standing(self, standing: Standing) -> None:
        with self._points.passing():
            self.known[standing.rail, standing.host] = standing

    async def standings(self, rail: str) -> Sequence[Standing]:
        return [standing for standing in self.known.values() if standing.rail == rail]

    async def audits(self, contract: bytes) -> Sequence[AuditRecord]:
        return [audit for audit in self.verdicts if audit.contract == contract]

    async def save_label(self, label: SentLabel) -> None:
        with self._points.passing():
            if label.contract in self.contracts:
                self.sent[label.contract] = label

    async def labels(self, object_id: str) -> Sequence[SentLabel]:
        return [label for label in self.sent.values() if label.object == object_id]


@dataclass
class Entry:
    """A contract in the market. `moved`: units that went to the host's payee."""

    terms: StorageContract
    status: MarketStatus = MarketStatus.ACTIVE
    paid: int = 0
    moved: int = 0
    epochs: int = 0
    exiting: bool = False
    answer_by: int = 0


class FakeMarket:
    """`MarketPort` with books: money in equals money out."""

    def __init__(self, points: Points, clock: WorldClock) -> None:
        self._points = points
        self._clock = clock
        self.wallet = WEALTH
        self.free = 0
        self.entries: dict[bytes, Entry] = {}
        self.deposits: dict[str, int] = {}
        self.opens: list[bytes] = []
        self.slashed = 0
        self.bonds = 0
        self.challenges: dict[bytes, int] = {}
        self.away = ""
        """Why the chain does not answer."""

    def _ask(self) -> None:
        if self.away:
            raise MarketError(self.away)

    @property
    def market(self) -> Market:
        return MARKET

    @property
    def locked(self) -> int:
        return sum(
            entry.terms.escrow - entry.moved for entry in self.entries.values() if entry.status is MarketStatus.ACTIVE
        )

    @property
    def earned(self) -> int:
        return sum(entry.moved for entry in self.entries.values())

    async def balance(self) -> int:
        self._ask()
        return self.free

    async def chain_time(self) -> int:
        self._ask()
        return self._clock.seconds

    async def status(self, contract: StorageContract) -> OnChain:
        self._ask()
        entry = self.entries.get(contract.digest(MARKET))
        if entry is None:
            return OnChain(MarketStatus.UNKNOWN)
        return OnChain(entry.status, entry.epochs, entry.paid, entry.exiting, entry.answer_by)

    async def running(self, progress: Callable[[int, int], None]) -> Sequence[tuple[StorageContract, OnChain]]:
        progress(1, 1)
        active = [entry.terms for entry in self.entries.values() if entry.status is MarketStatus.ACTIVE]
        return [(terms, await self.status(terms)) for terms in active if terms.renter == RENTER.address]

    async def open(self, contract: StorageContract, renter_signature: bytes, host_signature: bytes) -> None:
        with self._points.passing():
            contract_id = contract.digest(MARKET)
            if contract_id in self.entries:
                return  # the same intent: it is final already
            verify(MARKET, contract, renter_signature, contract.renter)
            verify(MARKET, contract, host_signature, contract.host)
            if self._clock.seconds >= contract.start:
                raise MarketRefusedError("TooLate")
            if self.free < contract.escrow:
                raise MarketRefusedError("NotCovered")
            self.free -= contract.escrow
            self.entries[contract_id] = Entry(contract, epochs=contract.epochs)
            self.opens.append(contract_id)

    async def deposit(self, key: str, amount: int) -> None:
        with self._points.passing():
            if key not in self.deposits:
                self.deposits[key] = amount
                self.wallet -= amount
                self.free += amount

    async def call_off(self, contract: StorageContract) -> None:
        with self._points.passing():
            entry = self.entries[contract.digest(MARKET)]
            if entry.status is MarketStatus.ACTIVE:
                if self._clock.seconds >= contract.start:
                    raise MarketRefusedError("TooLate")
                self._end(entry, MarketStatus.CALLED_OFF)

    async def cancel(
        self, contract: StorageContract, through_epoch: int, renter_signature: bytes, host_signature: bytes
    ) -> None:
        with self._points.passing():
            self.cancelled(contract, through_epoch)

    def cancelled(self, contract: StorageContract, through_epoch: int) -> None:
        entry = self.entries[contract.digest(MARKET)]
        if entry.status is not MarketStatus.ACTIVE:
            raise MarketRefusedError("WrongStatus")
        self.pay(entry.terms, through_epoch)
        self._end(entry, MarketStatus.CANCELLED)

    async def bond(self) -> int:
        return 500

    async def challenge(self, contract: StorageContract, index: int) -> None:
        with self._points.passing():
            entry = self.entries[contract.digest(MARKET)]
            if not entry.answer_by:
                if self.free < 500:
                    raise MarketRefusedError("NotCovered")
                self.free -= 500
                self.bonds += 500
                entry.answer_by = self._clock.seconds + 3600
                self.challenges[contract.digest(MARKET)] = index

    async def fail(self, contract: StorageContract) -> None:
        with self._points.passing():
            entry = self.entries[contract.digest(MARKET)]
            if entry.status is MarketStatus.ACTIVE:
                assert self._clock.seconds > entry.answer_by
                entry.answer_by = 0
                self.free += 500
                self.bonds -= 500
                self.slashed += contract.collateral
                self._end(entry, MarketStatus.FAILED)

    async def close(self, contract: StorageContract) -> None:
        with self._points.passing():
            entry = self.entries[contract.digest(MARKET)]
            if entry.status is MarketStatus.ACTIVE:
                self._end(entry, MarketStatus.COMPLETED)

    async def settle(self, contract: StorageContract, through_epoch: int, signature: bytes) -> None:
        with self._points.passing():
            entry = self.entries[contract.digest(MARKET)]
            if entry.status is not MarketStatus.ACTIVE or through_epoch <= entry.paid:
                raise MarketRefusedError("NothingThere")
            verify(MARKET, Voucher(contract.digest(MARKET), through_epoch), signature, contract.renter)
            self.pay(contract, through_epoch)

    def pay(self, contract: StorageContract, through: int) -> None:
        """What the host's voucher brings."""
        entry = self.entries[contract.digest(MARKET)]
        if through > entry.paid:
            entry.moved += (through - entry.paid) * contract.price_per_epoch
            entry.paid = through

    def prove_all(self) -> None:
        """The hosts prove every epoch themselves, and the contracts run to their end."""
        for entry in self.entries.values():
            self.pay(entry.terms, entry.epochs)
            self._end(entry, MarketStatus.COMPLETED)

    def _end(self, entry: Entry, status: MarketStatus) -> None:
        self.free += entry.terms.escrow - entry.moved
        entry.status = status
