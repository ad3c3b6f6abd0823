"""A small world for a renter: hosts, a market, a carrier that copies files, and a clock that only the test moves.

Everything that a real node would do outside its memory passes a numbered point. A test can let the process "die" at
any of them, before or after the effect; from then on every point raises, and only what was durable is left.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from node.ports.peerapi import Peer, PeerAwayError, PeerRefusedError
from node.ports.renting import (
    AuditRecord,
    FoundHost,
    MarketError,
    MarketRefusedError,
    OnChain,
    Rental,
    SentLabel,
    StoredObject,
    TransferError,
)
from node.ports.storagebooks import Committed
from node.services.renter.keeper import Renter
from node.services.renter.policy import Policy
from node.services.renter.spending import StorageLimits
from node.storage.audit import Answer, Proof, Verdict
from node.storage.errors import TermsError
from node.storage.lifecycle import MarketStatus
from node.storage.merkle import TreeHasher, TreeLayout, Write
from node.storage.messages import (
    AnswerBody,
    CancelCall,
    ChallengeCall,
    Consent,
    LabelCall,
    Proposal,
    Quote,
    RecallCall,
    Recalled,
    Taken,
    VoucherCall,
)
from node.storage.placement import NEUTRAL
from node.storage.sealing import wrapping_key
from node.storage.standing import Standing
from node.storage.terms import DAY, PriceTable, validate_offer
from node.storage.torrent import pieces
from wallet.address import Address
from wallet.keys import PrivateKey
from wallet.storage_terms import Market, StorageContract, accept_voucher, sign, verify

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
        self.settle(entry.terms, through_epoch)
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

    def settle(self, contract: StorageContract, through: int) -> None:
        """What the host's voucher brings."""
        entry = self.entries[contract.digest(MARKET)]
        if through > entry.paid:
            entry.moved += (through - entry.paid) * contract.price_per_epoch
            entry.paid = through

    def prove_all(self) -> None:
        """The hosts prove every epoch themselves, and the contracts run to their end."""
        for entry in self.entries.values():
            self.settle(entry.terms, entry.epochs)
            self._end(entry, MarketStatus.COMPLETED)

    def _end(self, entry: Entry, status: MarketStatus) -> None:
        self.free += entry.terms.escrow - entry.moved
        entry.status = status


def place(tree: bytearray, writes: Iterable[Write]) -> None:
    for offset, nodes in writes:
        tree[offset : offset + len(nodes)] = nodes


@dataclass
class FakeHost:
    """A host that does what it should; the flags make it do otherwise."""

    number: int
    folder: Path
    world: World = field(repr=False)
    price: int = 10**15
    alive: bool = True
    accepts: bool = True
    fetches: bool = True
    spent: bool = False
    serves: bool = True
    """Over BitTorrent."""
    tells: bool = True
    """Where its engine is."""
    port: int = 6881
    shards: dict[bytes, bytes] = field(default_factory=dict)
    contracts: dict[bytes, StorageContract] = field(default_factory=dict)
    vouchers: dict[bytes, int] = field(default_factory=dict)
    signatures: dict[bytes, bytes] = field(default_factory=dict)
    labels: dict[bytes, LabelCall] = field(default_factory=dict)
    old_labels: dict[bytes, LabelCall] = field(default_factory=dict)
    """The first of each contract: what a host may show instead of the newest."""
    proposals: int = 0
    leaving: bool = False

    def __post_init__(self) -> None:
        self.key = PrivateKey(bytes((40 + self.number,)) * 32)
        self.folder.mkdir(parents=True, exist_ok=True)

    @property
    def peer(self) -> Peer:
        return Peer(self.key.address, f"http://198.51.{self.number}.1:9000")

    @property
    def engine(self) -> str:
        return f"198.51.{self.number}.1:{self.port}"

    @property
    def table(self) -> PriceTable:
        payee = Address(bytes((90 + self.number,)) * 20)
        until = self.world.clock.seconds + DAY
        return PriceTable(self.key.address, payee, self.price, 7, 8, 150, DAY, 1, 250, 2**40, until)

    def path(self, root: bytes) -> Path:
        return self.folder / root.hex()

    def corrupt(self, root: bytes) -> None:
        """Every block is changed."""
        self.path(root).write_bytes(bytes(byte ^ 1 for byte in self.path(root).read_bytes()))

    def answer(self, call: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return getattr(self, f"_{call}")(body)  # type: ignore[no-any-return] # one method per call

    def _terms(self, body: Mapping[str, Any]) -> dict[str, Any]:
        table = self.table
        peers = (self.engine,) if self.tells else ()
        return Quote(MARKET, table, sign(MARKET, table, self.key), peers).body()

    def _propose(self, body: Mapping[str, Any]) -> dict[str, Any]:
        self.proposals += 1
        proposal = Proposal.parse(body)
        terms = proposal.contract
        verify(MARKET, terms, proposal.signature, terms.renter)
        renews = self.contracts[proposal.renews].end if proposal.renews else None
        if not self.accepts:
            raise PeerRefusedError("declined", "not now")
        try:
            validate_offer(terms, self.table, self.world.clock.seconds, renews=renews)
        except TermsError as error:
            raise PeerRefusedError("terms", str(error)) from None
        self.contracts[terms.digest(MARKET)] = terms
        return Consent(sign(MARKET, terms, self.key)).body()

    def _challenge(self, body: Mapping[str, Any]) -> dict[str, Any]:
        call = ChallengeCall.parse(body)
        terms = self.contracts[call.challenge.id]
        call.challenge.validate(MARKET, terms, call.signature, self.world.clock.seconds)
        if self.spent:
            raise PeerRefusedError("often", "the price of an epoch includes no more")
        if call.challenge.id not in self.world.market.entries:
            raise PeerRefusedError("unopened", "the market does not have it")
        if not self.path(terms.root).exists() and not self._take(terms):
            raise PeerRefusedError("not yet", "the shard is not here")
        answer = self.proofs(terms, call)
        return AnswerBody(answer.proofs, sign(MARKET, answer, self.key)).body()

    def proofs(self, terms: StorageContract, call: ChallengeCall) -> Answer:
        with self.path(terms.root).open("rb") as shard:
            layout = TreeLayout(os.fstat(shard.fileno()).st_size)
            hasher = TreeHasher(layout)
            tree = bytearray(layout.size)
            while data := shard.read(PART):
                place(tree, hasher.update(data))
            place(tree, hasher.finish())
            proofs = []
            for index in call.challenge.indices:
                nodes = [bytes(tree[at : at + size]) for at, size in layout.reads(index)]
                offset, length = layout.block(index)
                proofs.append(Proof(os.pread(shard.fileno(), length, offset), layout.path(index, nodes)))
        return Answer(call.challenge.digest(MARKET), tuple(proofs))

    def _take(self, terms: StorageContract) -> bool:
        """Download the shard from the renter's engine."""
        seeding = self.world.carrier.seeding.get(terms.root)
        if seeding is None or not self.fetches:
            return False
        shutil.copyfile(seeding / terms.root.hex(), self.path(terms.root))
        return True

    def _voucher(self, body: Mapping[str, Any]) -> dict[str, Any]:
        call = VoucherCall.parse(body)
        terms, held = self.contracts[call.voucher.id], self.vouchers.get(call.voucher.id, 0)
        if call.voucher.through_epoch > held:
            accept_voucher(MARKET, terms, call.voucher, call.signature, held)
            self.vouchers[call.voucher.id] = call.voucher.through_epoch
            self.signatures[call.voucher.id] = call.signature
        return Taken(leaving=terms.end if self.leaving else 0).body()

    def _label(self, body: Mapping[str, Any]) -> dict[str, Any]:
        call = LabelCall.parse(body)
        assert call.id in self.world.market.entries
        held = self.labels.get(call.id)
        if held is not None and held.number >= call.number and held != call:
            raise PeerRefusedError("stale", "a newer label is here")
        self.labels[call.id] = call
        self.old_labels.setdefault(call.id, call)
        return {}

    def _recall(self, body: Mapping[str, Any]) -> dict[str, Any]:
        call = RecallCall.parse(body)
        label = self.labels.get(call.id)
        return Recalled(
            signature=sign(MARKET, self.contracts[call.id], self.key),
            through_epoch=self.vouchers.get(call.id, 0),
            voucher=self.signatures.get(call.id),
            number=0 if label is None else label.number,
            data=b"" if label is None else label.data,
        ).body()

    def _cancel(self, body: Mapping[str, Any]) -> dict[str, Any]:
        call = CancelCall.parse(body)
        terms = self.contracts[call.cancel.id]
        verify(MARKET, call.cancel, call.signature, terms.renter)
        begun = terms.epoch_at(self.world.clock.seconds + 15) + 1
        if not min(begun, terms.epochs) <= call.cancel.through_epoch <= terms.epochs:
            raise PeerRefusedError("terms", f"{begun} epochs have begun")
        if self.number % 2:  # some bring it to the market themselves
            self.world.market.cancelled(terms, call.cancel.through_epoch)
        return Consent(sign(MARKET, call.cancel, self.key)).body()


class FakeApi:
    """`PeerApi` that calls the hosts directly."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.asked: list[tuple[Address, str]] = []

    async def ask(self, peer: Peer, path: str, body: Mapping[str, Any], *, deadline: float = 15.0) -> dict[str, Any]:
        with self._world.points.passing():
            call = path.rsplit("/", 1)[1]
            self.asked.append((peer.address, call))
            host = next(host for host in self._world.hosts if host.key.address == peer.address)
            if not host.alive or (peer.address, call) in self._world.deaf:
                raise PeerAwayError(f"{peer.url}: no answer")
            return host.answer(call, body)


class CopyCarrier:
    """`ShardCarrier` that copies files between folders."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.seeding: dict[bytes, Path] = {}
        self.fetched: list[bytes] = []
        self.sampled: list[tuple[bytes, int]] = []
        """Root and piece."""

    @property
    def addresses(self) -> tuple[str, ...]:
        return (RENTER_ENGINE,)

    async def seed(self, root: bytes, length: int, folder: Path, peers: Sequence[str]) -> None:
        with self._world.points.passing():
            self.seeding[root] = folder

    async def stop(self, root: bytes) -> None:
        with self._world.points.passing():
            self.seeding.pop(root, None)

    async def fetch(self, root: bytes, length: int, folder: Path, peers: Sequence[str], *, deadline: float) -> Path:
        with self._world.points.passing():
            for host in self._world.hosts:
                if host.engine in peers and host.alive and host.serves and host.path(root).exists():
                    self.fetched.append(root)
                    return Path(shutil.copyfile(host.path(root), folder / root.hex()))
        raise TransferError("its host is away")

    async def sample(
        self,
        root: bytes,
        length: int,
        piece: int,
        folder: Path,
        peers: Sequence[str],
        *,
        deadline: float,
        insist: bool = False,
    ) -> bool:
        assert 0 <= piece < pieces(length)
        with self._world.points.passing():
            if root in self.seeding and not insist:
                return False
            for host in self._world.hosts:
                if host.engine in peers and host.alive and host.serves and host.path(root).exists():
                    self.sampled.append((root, piece))
                    return True
        raise TransferError("nothing came")


class World:
    """Hosts, market, carrier, and one renter that can be restarted."""

    def __init__(self, base: Path, hosts: int, *, policy: Policy = POLICY, seed: int = 1) -> None:
        self.base = base
        self.policy = policy
        self.limits = StorageLimits()
        self.points = Points()
        self.clock = WorldClock()
        self.store = MemoryRenterStore(self.points)
        self.market = FakeMarket(self.points, self.clock)
        self.carrier = CopyCarrier(self)
        self.api = FakeApi(self)
        self.random = random.Random(seed)
        self.wrapping = WRAPPING
        self.deaf: set[tuple[Address, str]] = set()
        """Hosts, and calls that they do not answer now."""
        self.hosts = [FakeHost(number, base / f"host{number}", self) for number in range(hosts)]
        self.renter = self.new_renter()

    async def hosts_of(self) -> Sequence[FoundHost]:
        return [FoundHost(host.peer, f"4:c633{host.number:02x}", NEUTRAL) for host in self.hosts]

    def new_renter(
        self, base: Path | None = None, *, key: PrivateKey = RENTER, store: MemoryRenterStore | None = None
    ) -> Renter:
        world = self

        class Announced:
            async def hosts(self, rail: str) -> Sequence[FoundHost]:
                return await world.hosts_of()

        return Renter(
            base=base or self.base / "renter",
            markets={RAIL: self.market},
            discovery=Announced(),
            api=self.api,
            carrier=self.carrier,
            store=store or self.store,
            key=key,
            wrapping=self.wrapping,
            clock=self.clock,
            policy=self.policy,
            limits=self.limits,
            nonce=self.random.randbytes,
            uniform=self.random.randint,
        )

    async def restart(self) -> None:
        """Kill the process and start another one on what was durable."""
        await self.renter.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        self.points.restart()
        self.carrier.seeding.clear()
        self.renter = self.new_renter()
        await self.renter.start()

    async def turn(self, seconds: int = 10, times: int = 1) -> None:
        """Time passes; the renter does what is due, and finishes what takes long."""
        for _ in range(times):
            await self.renter.tick()
            await self.renter.settle()
            self.clock.seconds += seconds

    async def until(self, done: Callable[[], bool], *, seconds: int = 10, most: int = 200) -> None:
        """Turns until something is so."""
        for _ in range(most):
            if done():
                return
            await self.turn(seconds)
        raise AssertionError("it does not happen")

    def holder(self, root: bytes) -> FakeHost:
        """A host whose contract about a shard is in force."""
        for host in self.hosts:
            for contract_id, terms in host.contracts.items():
                entry = self.market.entries.get(contract_id)
                if terms.root == root and entry is not None and entry.status is MarketStatus.ACTIVE:
                    return host
        raise AssertionError("nobody holds it")

    def check_books(self) -> None:
        """No unit is made or lost, and nothing was opened twice."""
        assert self.market.wallet + self.market.free + self.market.locked + self.market.earned + self.market.bonds == (
            WEALTH
        )
        assert len(self.market.opens) == len(set(self.market.opens))


def passed(audits: Sequence[AuditRecord]) -> int:
    return sum(audit.verdict is Verdict.PASSED for audit in audits)
