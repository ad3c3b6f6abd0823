"""Recovery: the wallet's seed and nothing else → its objects and contracts, to restore and to look after again.

    market's final log ─→ contracts in force ─→ hosts (registry) ─→ recall: signature, voucher, label ─→ records

What the chain says is true, what hosts say is checked: the signature and the voucher by who signed them, the label by
its seal (`node.storage.label`). A contract whose host is silent still finds its place by its shard's root, when another
host shows the object's label. Money is safe without any old record: a contract is signed the same way twice, a voucher
says how much is paid in all, so one too low only says less, and only contracts that the market has are taken in, so
nothing is offered or funded anew.

Contracts are written before their object: until the object is there, nobody looks after it, and nobody could take a
shard for lost whose contract was not written yet. Recovering twice adds what the first time did not bring.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path

from node.ports.clock import Clock
from node.ports.peerapi import PeerApiError, PeerRefusedError
from node.ports.renting import (
    Discovery,
    FoundHost,
    MarketError,
    MarketPort,
    OnChain,
    Rental,
    RenterStore,
    SentLabel,
    Stage,
    StoredObject,
)
from node.services.renter.errors import HostError
from node.services.renter.hosts import Hosts, heard_from
from node.services.renter.together import together
from node.storage.errors import LabelError
from node.storage.label import Newest, Piece, newest, open_piece
from node.storage.lifecycle import State, from_chain
from node.storage.manifest import Manifest
from node.storage.messages import Quote, Recalled
from wallet.address import Address
from wallet.keys import PrivateKey
from wallet.storage_terms import StorageContract, sign

log = logging.getLogger(__name__)

HOSTS_AT_ONCE = 16
BUSY_TRIES, BUSY_PAUSE = 30, 2.0
"""A host with many contracts of ours answers some of them a second."""


@dataclass(frozen=True, slots=True)
class FoundObject:
    """An object that the wallet has. `contracts`: in force, `silent` of them with a host that does not answer;
    `shards`: how many different ones can be asked for; `new`: it was not known here."""

    stored: StoredObject
    length: int
    contracts: int
    silent: int
    shards: int
    new: bool


@dataclass(frozen=True, slots=True)
class LostContract:
    """A contract in force of which no host tells what it is about."""

    id: bytes
    rail: str
    host: Address
    until: int
    escrow: int
    why: str


@dataclass(slots=True)
class Recovery:
    """One run, as far as it is. `doing`: in words; `done` of `total`: its blocks, or contracts; `faults`: rails that
    could not be read, in one line each."""

    doing: str = "starting"
    done: int = 0
    total: int = 0
    finished: bool = False
    objects: list[FoundObject] = field(default_factory=list)
    lost: list[LostContract] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Heard:
    """A contract with what its host says. `host`, `quote`, `said`, `piece`: None where there is none; `why`: the reason
    why there is no piece."""

    terms: StorageContract
    chain: OnChain
    host: FoundHost | None = None
    quote: Quote | None = None
    said: Recalled | None = None
    piece: Piece | None = None
    why: str = ""


class Recovering:
    """Recovers all rails. `lock`: of an object, held while its records change; `pause`: waits so many seconds."""

    def __init__(
        self,
        *,
        markets: Mapping[str, MarketPort],
        discovery: Discovery,
        hosts: Mapping[str, Hosts],
        store: RenterStore,
        key: PrivateKey,
        wrapping: bytes,
        clock: Clock,
        lock: Callable[[str], AbstractAsyncContextManager[object]],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._markets = markets
        self._discovery = discovery
        self._hosts = hosts
        self._store = store
        self._key = key
        self._wrapping = wrapping
        self._clock = clock
        self._lock = lock
        self._pause = pause

    async def run(self, recovery: Recovery) -> None:
        """Fill `recovery` in as it goes. Raises `StoreError`."""
        try:
            for rail in self._markets:
                try:
                    await self._rail(rail, recovery)
                except MarketError as error:
                    recovery.faults.append(f"rail '{rail}': {error}")
        finally:
            recovery.doing, recovery.finished = "done", True

    async def _rail(self, rail: str, recovery: Recovery) -> None:
        def progress(done: int, total: int) -> None:
            recovery.done, recovery.total = done, total

        recovery.doing = f"reading the market's log on '{rail}'"
        running = await self._markets[rail].running(progress)
        recovery.doing, recovery.done, recovery.total = f"asking hosts on '{rail}'", 0, len(running)
        heard = await self._ask(rail, running, recovery)
        recovery.doing = f"writing down what was found on '{rail}'"
        found, faults = self._labels(heard)
        known = {stored.id: stored for stored in await self._store.objects() if stored.rail == rail}
        manifests = {name: Manifest.decode(stored.manifest) for name, stored in known.items() if stored.manifest}
        manifests |= {name: label.manifest for name, label in found.items() if name not in known}
        placed, rest = _places(heard, manifests)
        for name in sorted(placed, key=lambda name: (name not in known, name)):
            async with self._lock(name):
                stored = known.get(name) or _object(rail, found[name])
                recovery.objects.append(await self._take(stored, placed[name], new=name not in known))
        recovery.lost += [self._lost(rail, each, faults) for each in rest]

    # --- asking ------------------------------------------------------------------------------------------------------

    async def _ask(
        self, rail: str, running: Sequence[tuple[StorageContract, OnChain]], recovery: Recovery
    ) -> list[_Heard]:
        found = {host.peer.address: host for host in await self._discovery.hosts(rail)} if running else {}
        by_host: defaultdict[Address, list[_Heard]] = defaultdict(list)
        for terms, chain in running:
            by_host[terms.host].append(_Heard(terms, chain, found.get(terms.host)))
        turns = asyncio.Semaphore(HOSTS_AT_ONCE)

        async def ask(contracts: list[_Heard]) -> list[_Heard]:
            async with turns:
                return await self._ask_host(self._hosts[rail], contracts, recovery)

        return [each for answers in await together(map(ask, by_host.values())) for each in answers]

    async def _ask_host(self, hosts: Hosts, contracts: Sequence[_Heard], recovery: Recovery) -> list[_Heard]:
        """What one host says of its contracts; after one call that it does not answer it is asked no more."""
        host, quote, why = contracts[0].host, None, ""
        if host is None:
            why = "its host is not in the registry"
        else:
            try:
                quote = await hosts.quote(host.peer, self._clock.wall())
            except (PeerApiError, HostError) as error:
                log.info("recovery: %s", error)  # one that rents out nothing more may still have what we look for
        answers = []
        for each in contracts:
            said = None
            if host is not None and not why:
                try:
                    said = await self._recall(hosts, host, each.terms)
                except PeerRefusedError as error:
                    answers.append(replace(each, quote=quote, why=f"its host says: {error}"))
                    recovery.done += 1
                    continue
                except (PeerApiError, HostError) as error:
                    why = str(error)
            answers.append(self._opened(hosts, replace(each, quote=quote, said=said, why=why)))
            recovery.done += 1
        return answers

    async def _recall(self, hosts: Hosts, host: FoundHost, terms: StorageContract) -> Recalled:
        for _ in range(BUSY_TRIES):
            try:
                return await hosts.recall(host.peer, terms)
            except PeerRefusedError as error:
                if error.code != "busy":
                    raise
                await self._pause(BUSY_PAUSE)
        return await hosts.recall(host.peer, terms)

    def _opened(self, hosts: Hosts, heard: _Heard) -> _Heard:
        if heard.said is None:
            return heard
        if not heard.said.number:
            return replace(heard, why="its host has no label")
        contract_id = heard.terms.digest(hosts.market)
        try:
            return replace(heard, piece=open_piece(heard.said.data, contract_id, heard.said.number, self._wrapping))
        except LabelError as error:
            return replace(heard, why=str(error))

    # --- putting together --------------------------------------------------------------------------------------------

    def _labels(self, heard: Sequence[_Heard]) -> tuple[dict[str, Newest], dict[str, str]]:
        """Object → its newest label, or why it has none."""
        pieces: defaultdict[str, list[tuple[int, Piece]]] = defaultdict(list)
        for each in heard:
            if each.piece is not None and each.said is not None:
                pieces[each.piece.object].append((each.said.number, each.piece))
        found, faults = {}, {}
        for name, parts in pieces.items():
            try:
                found[name] = newest(parts)
            except LabelError as error:
                faults[name] = str(error)
        return found, faults

    def _lost(self, rail: str, heard: _Heard, faults: Mapping[str, str]) -> LostContract:
        terms, why = heard.terms, heard.why
        if heard.piece is not None:
            why = faults.get(heard.piece.object, "its label is another shard's")
        contract_id = terms.digest(self._markets[rail].market)
        return LostContract(contract_id, rail, terms.host, terms.end, terms.escrow, why)

    # --- writing -----------------------------------------------------------------------------------------------------

    async def _take(self, stored: StoredObject, placed: Sequence[tuple[int, _Heard]], *, new: bool) -> FoundObject:
        """Write down what is new of an object. Its lock is held."""
        known = {rental.id: rental for rental in await self._store.rentals(stored.id)}
        market = self._markets[stored.rail].market
        ids = {(each.terms.root, each.terms.host, each.terms.end): each.terms.digest(market) for _, each in placed}
        for shard, each in placed:
            terms, contract_id = each.terms, each.terms.digest(market)
            before = ids.get((terms.root, terms.host, terms.start), b"")
            rental = known.get(contract_id) or self._rental(stored, shard, each, before)
            if each.host is not None and not rental.url:
                rental = replace(rental, url=each.host.peer.url, network=each.host.network)
            rental = heard_from(rental, each.said, each.quote)
            if rental != known.get(contract_id):
                await self._store.save_rental(rental)
            if new and each.piece is not None and each.said is not None:
                label = SentLabel(contract_id, stored.id, each.said.number, each.piece.digest)
                await self._store.save_label(label)
        if new:
            await self._store.save_object(stored)
        return FoundObject(
            stored=stored,
            length=Manifest.decode(stored.manifest).length,
            contracts=len(placed),
            silent=sum(each.said is None for _, each in placed),
            shards=len({shard for shard, each in placed if each.said is not None}),
            new=new,
        )

    def _rental(self, stored: StoredObject, shard: int, heard: _Heard, renews: bytes) -> Rental:
        terms, chain, now = heard.terms, heard.chain, self._clock.wall()
        market = self._markets[stored.rail].market
        begun = now >= terms.start
        # Whether its host has the shard is for the first audit to say: of a contract that has begun, as in any epoch;
        # of one that has not, before it begins (`Todo.DELIVER`).
        state = from_chain(chain.status, challenged=bool(chain.answer_by), exiting=chain.exiting, delivered=begun)
        silent = heard.said is None and begun
        return Rental(
            id=terms.digest(market),
            object=stored.id,
            shard=shard,
            rail=stored.rail,
            terms=terms,
            state=state or State.UPLOADING,
            url="",
            network="",
            peers=(),
            download_price=0,
            renter_signature=sign(market, terms, self._key),
            renews=renews,
            missed=int(silent),
            missed_epoch=terms.epoch_at(now) + 1 if silent else 0,
            leaves=terms.epoch_start(chain.epochs) if chain.exiting else 0,
        )


def _object(rail: str, found: Newest) -> StoredObject:
    label, manifest = found.label, found.manifest
    return StoredObject(
        id=label.object,
        rail=rail,
        stage=Stage.FORGOTTEN if label.forgotten else Stage.KEPT,
        path=Path(manifest.name),
        k=manifest.k,
        n=manifest.n,
        public=manifest.key is None,
        seconds=label.seconds,
        max_price=label.max_price,
        created=label.created,
        until=label.until,
        auditor=label.auditor,
        renew=label.renew,
        manifest=label.manifest,
    )


def _places(
    heard: Sequence[_Heard], manifests: Mapping[str, Manifest]
) -> tuple[dict[str, list[tuple[int, _Heard]]], list[_Heard]]:
    """Object → its contracts with their shards' numbers; and the contracts that belong to none. By the label where its
    host shows it, by the root where it does not; of equal shards the one with the fewest contracts."""
    placed: defaultdict[str, list[tuple[int, _Heard]]] = defaultdict(list)
    taken: Counter[tuple[str, int]] = Counter()
    rest: list[_Heard] = []
    by_root: defaultdict[bytes, list[tuple[str, int]]] = defaultdict(list)
    for name, manifest in manifests.items():
        for number, shard in enumerate(manifest.shards):
            by_root[shard.root].append((name, number))
    for each in sorted(heard, key=lambda each: each.piece is None):
        fitting = by_root.get(each.terms.root, [])
        named = None if each.piece is None else (each.piece.object, each.piece.shard)
        if named is not None and named not in fitting:
            rest.append(each)
        elif fitting:
            place = named or min(fitting, key=lambda place: taken[place])
            taken[place] += 1
            placed[place[0]].append((place[1], each))
        else:
            rest.append(each)
    return dict(placed), rest
