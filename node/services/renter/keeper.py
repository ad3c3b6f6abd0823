"""The renter as its user meets it: store, list, restore, verify, renew, forget; and the loop that keeps it all going.

Each object has a lock: what the user asks for and what the loop does never change its records at the same time.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from node.ports.clock import Clock
from node.ports.peerapi import PeerApi
from node.ports.renting import (
    Discovery,
    MarketPort,
    Rental,
    RenterStore,
    ShardCarrier,
    Stage,
    StoredObject,
)
from node.ports.storagebooks import Committed
from node.ports.store import StoreError
from node.services.renter.appointed import Appointed
from node.services.renter.auditing import Auditing, Examined
from node.services.renter.chainhealth import ChainHealth
from node.services.renter.contracts import Contracts
from node.services.renter.decisions import delivered, latest
from node.services.renter.disputes import Disputes
from node.services.renter.errors import RequestError, RestoreError, UnknownObjectError
from node.services.renter.estimating import Estimate
from node.services.renter.evidence import EvidenceBook
from node.services.renter.hostlist import HostDirectory
from node.services.renter.hosts import Hosts
from node.services.renter.labelling import Labelling
from node.services.renter.placing import Placing
from node.services.renter.policy import Policy
from node.services.renter.recovering import Recovering, Recovery
from node.services.renter.repairing import Repairing
from node.services.renter.restores import Restores
from node.services.renter.restoring import Restoring
from node.services.renter.serving import Serving
from node.services.renter.spending import Spending, StorageLimits
from node.services.renter.staging import Staging
from node.services.renter.standings import Rated, Standings
from node.services.renter.tending import Tending
from node.services.renter.together import together
from node.services.renter.watch import Watch
from node.services.renter.whereabouts import Whereabouts
from node.storage.erasure import MAX_SHARDS
from node.storage.lifecycle import ENDS, LOCKED
from node.storage.manifest import Manifest, Placed, Shard, export, read
from node.storage.messages import Appointment
from node.storage.sealing import KEY_BYTES
from node.storage.terms import DAY
from wallet.address import Address
from wallet.amount import MAX_AMOUNT
from wallet.keys import PrivateKey
from wallet.storage_terms import MAX_TERM, NOBODY, Market

log = logging.getLogger(__name__)

TICK = 2.0
"""Seconds between two rounds where nothing has happened; each does only what is due."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreRequest:
    """What the user wants stored. `max_price`: units per GiB and day, all in, None for any; `rail` "": the only one."""

    path: Path
    k: int = 10
    n: int = 30
    days: int = 30
    max_price: int | None = None
    public: bool = False
    renew: bool = True
    auditor: Address = NOBODY
    rail: str = ""


@dataclass(frozen=True, slots=True)
class Overview:
    """An object as it stands. `good`: shards whose host showed them and has not been silent since; `until`: Unix second
    when the first of the covering contracts ends, 0 for none; `locked`: token units in running contracts; `paid`: by
    contract, for vouchers and for what hosts proved to the market instead; `labelled`: hosts that keep the sealed
    manifest, too; `note`: what holds the object up, and whether the chain is away."""

    stored: StoredObject
    manifest: Manifest | None
    rentals: Sequence[Rental]
    good: int
    until: int
    locked: int
    paid: Mapping[bytes, int]
    labelled: int
    note: str


class Renter:
    """One per node. `markets`: by rail; `wrapping`: `node.storage.sealing.wrapping_key` of the wallet's secret;
    `nonce`: random bytes of a length; `uniform(a, b)`: a random number from a to b."""

    def __init__(
        self,
        *,
        base: Path,
        markets: Mapping[str, MarketPort],
        discovery: Discovery,
        api: PeerApi,
        carrier: ShardCarrier,
        store: RenterStore,
        key: PrivateKey,
        wrapping: bytes,
        clock: Clock,
        policy: Policy,
        limits: StorageLimits,
        nonce: Callable[[int], bytes],
        uniform: Callable[[int, int], int],
    ) -> None:
        self._store = store
        self._key = key
        self._clock = clock
        self._policy = policy
        self._wrapping = wrapping
        self._nonce = nonce
        self._staging = Staging(base / "staging")
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._more = asyncio.Event()
        self._tending: dict[str, Tending] = {}
        self._placing: dict[str, Placing] = {}
        self._watch: dict[str, Watch] = {}
        self._serving: dict[str, Serving] = {}
        self._disputes: dict[str, Disputes] = {}
        self._markets = markets
        self._spending = spending = Spending(store, clock, limits)
        self._contracts: dict[str, Contracts] = {}
        self._chains = {rail: ChainHealth(rail, market, clock) for rail, market in markets.items()}
        standings = Standings(store, clock)
        rated = Rated(discovery, standings, clock)
        hosts: dict[str, Hosts] = {}
        followed: dict[str, Contracts] = {}
        for rail, market in markets.items():
            hosts[rail] = Hosts(api, market.market)
            auditing = Auditing(hosts[rail], key, clock, policy, nonce=nonce)
            contracts = Contracts(
                hosts=hosts[rail], market=market, store=store, carrier=carrier, auditing=auditing, key=key, clock=clock,
                policy=policy, standings=standings,
            )  # fmt: skip
            self._contracts[rail] = contracts
            placing = Placing(
                discovery=rated, hosts=hosts[rail], market=market, store=store, key=key, clock=clock, policy=policy,
                spending=spending, nonce=nonce,
            )  # fmt: skip
            labelling = Labelling(hosts[rail], store, clock, policy, wrapping=wrapping, nonce=nonce)
            self._placing[rail] = placing
            self._tending[rail] = Tending(
                store=store, staging=self._staging, carrier=carrier, contracts=contracts, placing=placing,
                repairing=Repairing(carrier, policy, Whereabouts(hosts[rail], clock)), labelling=labelling, clock=clock,
                policy=policy, wrapping=wrapping, nonce=nonce, changed=self._more.set,
            )  # fmt: skip
            followed[rail] = contracts
            self._disputes[rail] = Disputes(
                market, store, policy, standings, spend_bond=placing.spend_bond, uniform=uniform
            )
            self._serving[rail] = Serving(carrier, hosts[rail], base / "sampling", clock, policy, uniform=uniform)
            self._watch[rail] = Watch(
                auditing=auditing, serving=self._serving[rail], hosts=hosts[rail], store=store, key=key, clock=clock,
                policy=policy, standings=standings, uniform=uniform, follow=contracts.follow,
                disputed=self._disputes[rail].hear,
            )  # fmt: skip
        self.appointed = Appointed(
            markets=markets, contracts=followed, watch=self._watch, disputes=self._disputes, store=store,
            own=key.address,
        )  # fmt: skip
        self.evidence = EvidenceBook(store, standings, self._locks)
        self.directory = HostDirectory(rated, hosts, standings, clock)
        self.restores = Restores()
        self._restoring = Restoring(
            base=base / "restoring", carrier=carrier, hosts=hosts, discovery=discovery, clock=clock, policy=policy,
            wrapping=wrapping,
        )  # fmt: skip

        self._recovering = Recovering(
            markets=markets, discovery=discovery, hosts=hosts, store=store, key=key, wrapping=wrapping, clock=clock,
            lock=self._locks.__getitem__,
        )  # fmt: skip
        self._recovery: tuple[Recovery, asyncio.Task[None]] | None = None

    # --- the loop ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Clean up what a crash has left: folders that belong to no object."""
        for stray in self._staging.strays(stored.id for stored in await self._store.objects()):
            self._staging.remove(stray)
        for serving in self._serving.values():
            serving.clean()

    async def run(self, *, every: float = TICK) -> None:
        """Rounds until cancelled; the next one comes at once when there is more to do."""
        while True:
            self._more.clear()
            await self.tick()
            with suppress(TimeoutError):
                async with asyncio.timeout(every):
                    await self._more.wait()

    async def close(self) -> None:
        if self._recovery is not None:
            self._recovery[1].cancel()
            await asyncio.gather(self._recovery[1], return_exceptions=True)
        await self.restores.close()
        for tending in self._tending.values():
            await tending.close()

    async def tick(self) -> None:
        """One round over all objects; a fault of one does not hold up the others."""
        objects = await self._store.objects()
        chains = self._chains if objects else {}
        jobs = [
            *(self._round(stored.id) for stored in objects),
            self.appointed.tick(),
            *(chain.look() for chain in chains.values()),
        ]
        names = [*(stored.id for stored in objects), "audits for others", *chains]
        results = await asyncio.gather(*jobs, return_exceptions=True)
        for name, result in zip(names, results, strict=True):
            if isinstance(result, Exception):
                log.error("%s: %s", name, result, exc_info=result)

    async def settle(self) -> None:
        """Wait for the packing and repairs that are under way."""
        for tending in self._tending.values():
            await tending.settle()

    async def _round(self, object_id: str) -> None:
        async with self._locks[object_id]:
            stored = await self._find(object_id)
            if stored.rail not in self._tending:
                return
            await self._tending[stored.rail].step(stored)
            for rental in await self._store.rentals(object_id):
                await self._disputes[stored.rail].end(rental)
            await self._watch[stored.rail].tick(await self._store.rentals(object_id))

    # --- what the user asks for --------------------------------------------------------------------------------------

    async def store(self, request: StoreRequest) -> StoredObject:
        """Take a path in; packing and placing follow by themselves. Raises `RequestError`."""
        stored = self._accept(request)
        await self._store.save_object(stored)
        self._more.set()
        return stored

    async def estimate(self, request: StoreRequest) -> Estimate:
        """What `store` would cost now; nothing is begun. Raises `RequestError`, `PackingError`s."""
        stored = self._accept(request)
        return await self._placing[stored.rail].estimate(stored)

    def _accept(self, request: StoreRequest) -> StoredObject:
        rail = request.rail or next(iter(self._markets), "")
        if rail not in self._markets or (not request.rail and len(self._markets) > 1):
            known = ", ".join(sorted(self._markets)) or "none"
            raise RequestError(f"no storage market on rail '{rail}': those with one: {known}")
        if not 1 <= request.k < request.n <= MAX_SHARDS:
            raise RequestError(f"copies {request.k}/{request.n}: wanted 1 ≤ k < n ≤ {MAX_SHARDS}, such as 10/30")
        if not 1 <= request.days <= MAX_TERM // DAY:
            raise RequestError(f"{request.days} days: wanted 1 to {MAX_TERM // DAY}")
        if not request.path.exists():
            raise RequestError(f"{request.path} does not exist")
        return StoredObject(
            id=self._nonce(8).hex(),
            rail=rail,
            stage=Stage.PACKING,
            path=request.path,
            k=request.k,
            n=request.n,
            public=request.public,
            seconds=request.days * DAY,
            max_price=MAX_AMOUNT if request.max_price is None else request.max_price,
            created=(now := self._clock.wall()),
            until=now + request.days * DAY,
            auditor=request.auditor,
            renew=request.renew,
        )

    async def stored(self) -> Sequence[Overview]:
        """All objects, the oldest first."""
        return [await self._overview(stored) for stored in await self._store.objects()]

    async def overview(self, name: str) -> Overview:
        """One object, by its id or the beginning of it. Raises `UnknownObjectError`."""
        return await self._overview(await self._find(name))

    async def manifest(self, name: str) -> bytes:
        """The file from which, with the wallet's seed, the object can be restored anywhere.

        Raises `RequestError` while it is being packed.
        """
        return export(await self._manifest(await self._find(name)), self._nonce(KEY_BYTES), self._wrapping)

    async def restore(self, name: str, out: Path, progress: Callable[[int], None] = lambda _: None) -> None:
        """Bring an object back to `out`, which must not exist. Raises what `Restoring.restore` raises."""
        stored = await self._find(name)
        rentals, manifest = await self._store.rentals(stored.id), await self._manifest(stored)
        folder = self._staging.folder(stored.id)
        staged = {
            number: folder / manifest.shards[number].root.hex() for number in self._staging.staged(stored.id, manifest)
        }
        try:
            await self._restoring.restore(manifest, out, rentals=rentals, staged=staged, progress=progress)
        except RestoreError as error:
            if rentals and all(rental.state in ENDS for rental in rentals):
                raise RestoreError(f"{error}; its contracts have ended, so hosts may have deleted it") from error
            raise

    async def restore_manifest(self, data: bytes, out: Path, progress: Callable[[int], None] = lambda _: None) -> None:
        """The same from an exported manifest; nothing of this node's records is needed. Raises `ManifestError`."""
        await self._restoring.restore(read(data, self._wrapping), out, progress=progress)

    def recover(self) -> Recovery:
        """Find again what this wallet stores, on a machine that knows nothing of it; goes on by itself. One at a time:
        where one is under way, that one."""
        if self._recovery is None or self._recovery[0].finished:
            recovery = Recovery()
            self._recovery = recovery, asyncio.create_task(self._recover(recovery))
        return self._recovery[0]

    @property
    def recovery(self) -> Recovery | None:
        """The latest; None where there was none since the start."""
        return None if self._recovery is None else self._recovery[0]

    async def _recover(self, recovery: Recovery) -> None:
        try:
            await self._recovering.run(recovery)
        except StoreError as error:
            recovery.faults.append(str(error))
        except BaseException as error:
            recovery.faults.append(f"it was stopped ({type(error).__name__})")
            raise
        self._more.set()

    async def verify(self, name: str) -> Sequence[tuple[Rental, Examined]]:
        """Audit every host of an object now. Raises `UnknownObjectError`."""
        stored = await self._find(name)
        async with self._locks[stored.id]:
            self._market(stored)
            rentals = [rental for rental in await self._store.rentals(stored.id) if delivered(rental)]
            watch = self._watch[stored.rail]
            return list(zip(rentals, await together(map(watch.audit, rentals)), strict=True))

    async def spending(self) -> tuple[StorageLimits, Committed]:
        """The user's limits, and what counts against them."""
        return self._spending.limits, await self._spending.committed()

    async def renew(self, name: str, *, days: int | None = None, on: bool = True) -> StoredObject:
        """Keep an object for ever, or (`on` False) until its term is over; `days`: a new term, from now."""
        stored = await self._find(name)
        if days is not None and not 1 <= days <= MAX_TERM // DAY:
            raise RequestError(f"{days} days: wanted 1 to {MAX_TERM // DAY}")
        async with self._locks[stored.id]:
            stored = await self._find(stored.id)
            seconds = stored.seconds if days is None else days * DAY
            until = stored.until if days is None else self._clock.wall() + seconds
            changed = replace(stored, renew=on, seconds=seconds, until=until)
            await self._store.save_object(changed)
            return changed

    async def forget(self, name: str) -> StoredObject:
        """End the contracts as soon as their hosts agree, then remove the object."""
        stored = await self._find(name)
        async with self._locks[stored.id]:
            forgotten = replace(await self._find(stored.id), stage=Stage.FORGOTTEN, renew=False, note="")
            await self._store.save_object(forgotten)
            self._more.set()
            return forgotten

    # --- auditors ----------------------------------------------------------------------------------------------------

    async def appointments(self, name: str) -> Sequence[Appointment]:
        """What the auditor of an object has to know: give it to that node (`audit`)."""
        stored = await self._find(name)
        market = self._market(stored)
        return [
            Appointment(
                market,
                rental.terms,
                rental.renter_signature,
                rental.host_signature,
                rental.url,
            )
            for rental in latest(await self._store.rentals(stored.id), self._policy).values()
            if delivered(rental) and rental.terms.auditor != NOBODY
        ]

    # --- helpers -----------------------------------------------------------------------------------------------------

    async def _find(self, name: str) -> StoredObject:
        found = [stored for stored in await self._store.objects() if name and stored.id.startswith(name.lower())]
        if len(found) != 1:
            problem = "several objects match" if found else "no stored object matches"
            raise UnknownObjectError(f"{problem} '{name[:60]}'")
        return found[0]

    def _market(self, stored: StoredObject) -> Market:
        if stored.rail not in self._markets:
            raise RequestError(
                f"{stored.id} is kept by contracts on rail '{stored.rail}', which is not in the settings"
            )
        return self._markets[stored.rail].market

    async def _manifest(self, stored: StoredObject) -> Manifest:
        """With the contracts under which its shards are kept."""
        if not stored.manifest:
            raise RequestError(f"{stored.path.name} is still being packed")
        bare, market = Manifest.decode(stored.manifest), self._market(stored)
        shards = [list[Placed]() for _ in bare.shards]
        covering = latest(await self._store.rentals(stored.id), self._policy)
        for number, rental in covering.items():
            shards[number].append(Placed(market.chain_id, market.contract, rental.terms))
        return replace(
            bare,
            shards=tuple(Shard(shard.root, tuple(placed)) for shard, placed in zip(bare.shards, shards, strict=True)),
        )

    async def _overview(self, stored: StoredObject) -> Overview:
        rentals = await self._store.rentals(stored.id)
        labelled = {label.contract for label in await self._store.labels(stored.id) if label.digest}
        covering = latest(rentals, self._policy).values()
        good = [rental for rental in covering if delivered(rental) and not rental.missed]
        chain, contracts = self._chains.get(stored.rail), self._contracts.get(stored.rail)
        paid = {rental.id: contracts.paid_for(rental) if contracts else 0 for rental in rentals}
        running = stored.stage is not Stage.KEPT or any(rental.state not in ENDS for rental in rentals)
        return Overview(
            stored,
            Manifest.decode(stored.manifest) if stored.manifest else None,
            rentals,
            good=len({rental.shard for rental in good}),
            until=min((rental.terms.end for rental in good), default=0),
            locked=sum(
                rental.terms.escrow - rental.vouched * rental.terms.price_per_epoch
                for rental in rentals
                if rental.state in LOCKED
            ),
            paid=paid,
            labelled=len({rental.terms.host for rental in rentals if rental.state in LOCKED and rental.id in labelled}),
            note="; ".join(filter(None, (stored.note, chain.note if chain and running else ""))),
        )
