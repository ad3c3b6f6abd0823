"""A renter and its hosts, all of it the node's own code, on the compiled contracts of a devnet.

Only two things are doubles: shards move by copying files instead of over sockets, and calls between nodes go straight
to the handlers of the host's API, once they are found young enough. Every node has a clock of its own, which shows the
chain's time and may be wrong.

`Landlord` is an honest host. A crook is one with a departure: `Stage.crooked` puts something between its API and those
who ask, the files on its disk can be changed, and `serves` says whether it uploads.
"""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

from node.http.hostapi import HostApi
from node.http.peers import RefusalError
from node.peerapi.envelope import EnvelopeError, Gate, Request
from node.ports.peerapi import Peer, PeerAwayError, PeerRefusedError
from node.ports.renting import FoundHost, Rental, TransferError
from node.services.host.contracts import Contracts
from node.services.host.host import Host
from node.services.host.market import ChainFees
from node.services.host.market import ChainMarket as HostMarket
from node.services.host.terms import HostTerms
from node.services.renter.chainmarket import ChainMarket as RenterMarket
from node.services.renter.keeper import Renter, StoreRequest
from node.services.renter.policy import Policy
from node.services.renter.spending import StorageLimits
from node.services.settlement import Settlement, SettlementSettings
from node.storage.placement import NEUTRAL
from node.storage.sealing import wrapping_key
from node.store import SqlStore, open_store
from tests.conformance.storage_kit import FUNDS, RENTER, StorageBench, storage_bench
from tests.unit.hosting.kit import FakeEngine
from tests.unit.volumes.kit import open_volumes
from wallet.address import Address
from wallet.chains.base import Receipt
from wallet.intents import Intent
from wallet.keys import PrivateKey
from wallet.outbox import Outbox
from wallet.storage_terms import Market

EPOCH = 6 * 3600
EPOCHS = 4
"""Of a contract: a day."""
PRICE = 3 * 10**21
"""Per GiB and day; shards here are so small that an epoch costs about 0.05 of the 2 BTT that everybody has."""
TERMS = HostTerms(storage_price=PRICE, epoch_length=EPOCH, min_epochs=1, max_epochs=40)
POLICY = Policy(lead=900, margin=120, retry=5, avoid=600, patience=1, max_bond=FUNDS, sampled=0)
"""Bonds of any size, and no pieces over BitTorrent unless a test wants them."""
STEP = EPOCH // 2
Answer = Callable[[str, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]


class PartyClock:
    """The chain's time as of the last look; the date is `skew` seconds ahead of it."""

    def __init__(self) -> None:
        self.chain = 0
        self.skew = 0

    def now(self) -> float:
        return float(self.chain)

    def wall(self) -> int:
        return self.chain + self.skew


def settlement_of(bench: StorageBench, store: SqlStore, key: PrivateKey, clock: PartyClock) -> Settlement:
    """Whoever waits for a block makes one."""

    async def next_block(seconds: float) -> None:
        await bench.bench.mine()

    outbox = Outbox(store, bench.chain, key, wall=clock.wall, sleep=next_block, poll=1.0)
    settings = SettlementSettings(auto=False)
    return Settlement(settings, store=store, intents=store, chain=bench.chain, key=key, wall=clock.wall, outbox=outbox)


class Landlord:
    """A host with a disk. Made by `Stage.landlord`."""

    def __init__(self, number: int, key: PrivateKey, folder: Path) -> None:
        self.number = number
        self.key = key
        self.folder = folder
        self.clock = PartyClock()
        self.engine = FakeEngine()
        self.gate = Gate(0)
        self.serves = True
        self.away = False
        self.transactions: list[str] = []
        """Action and number of those that took effect."""
        self.host: Host
        self.api: HostApi

    @property
    def address(self) -> Address:
        return self.key.address

    @property
    def engine_at(self) -> str:
        return f"198.51.{self.number}.1:6881"

    @property
    def peer(self) -> Peer:
        return Peer(self.address, f"http://198.51.{self.number}.1:9000")

    async def open(self, bench: StorageBench, stack: AsyncExitStack) -> Landlord:
        (self.folder / "disk").mkdir(parents=True)
        volumes = open_volumes(self.folder)
        stack.callback(volumes.close)
        await volumes.add(self.folder / "disk", 1 << 30)
        store = await open_store(self.folder / "node.db", None)
        stack.push_async_callback(store.close)
        settlement = settlement_of(bench, store, self.key, self.clock)

        async def note(intent: Intent, receipt: Receipt) -> None:
            _, _, action, number, _ = intent.key.split(":")
            self.transactions.append(f"{action}:{number.partition('-')[0]}")

        settlement.also_book.append(note)
        self.host = Host(
            await Contracts.open(store, bench.chain.rail.id, bench.market.address),
            TERMS,
            HostMarket(bench.market, bench.chain),
            volumes=volumes,
            engine=self.engine,
            transactions=settlement,
            intents=store,
            fees=ChainFees(bench.chain, self.key.address, Fraction(1, 10**12)),
            key=self.key,
            clock=self.clock,
            random=Random(1),
        )
        settlement.also_book.append(self.host.claims.book)
        # A crook does not look for what it lacks; and a read of 4 MiB an hour takes long where hours fly by.
        self.host.selfcheck.look = _not_looked  # type: ignore[method-assign]
        self.api = HostApi([self.host], lambda: [self.engine_at])
        stack.push_async_callback(self.host.close)
        return self

    def shard(self, root: bytes) -> Path | None:
        """Where the bytes of a shard are on its disk."""
        return next((self.folder / "disk").rglob(root.hex()), None)

    def drop(self, root: bytes) -> None:
        """The data goes, its tree stays."""
        path = self.shard(root)
        assert path is not None
        path.write_bytes(bytes(path.stat().st_size))


async def _not_looked(blocks: int = 0) -> int:
    return 0


class Copies:
    """`ShardCarrier` that copies files."""

    addresses = ("192.0.2.1:6881",)

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._seeding: set[bytes] = set()

    async def seed(self, root: bytes, length: int, folder: Path, peers: Sequence[str]) -> None:
        self._seeding.add(root)
        for landlord in self._stage.landlords:
            landlord.engine.swarm[root.hex()] = (folder / root.hex()).read_bytes()

    async def stop(self, root: bytes) -> None:
        self._seeding.discard(root)

    def _server(self, root: bytes, peers: Sequence[str]) -> Path:
        for landlord in self._stage.landlords:
            if landlord.engine_at in peers and landlord.serves and not landlord.away:
                path = landlord.shard(root)
                if path is not None and any(path.read_bytes()):
                    return path
        raise TransferError("nothing came")

    async def fetch(self, root: bytes, length: int, folder: Path, peers: Sequence[str], *, deadline: float) -> Path:
        return Path(shutil.copyfile(self._server(root, peers), folder / root.hex()))

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
        return (insist or root not in self._seeding) and bool(self._server(root, peers))


class Direct:
    """`PeerApi` straight to the handlers; bodies pass through JSON as on a wire."""

    def __init__(self, stage: Stage, sender: Address) -> None:
        self._stage = stage
        self._sender = sender
        self._nonces = itertools.count()

    async def ask(self, peer: Peer, path: str, body: Mapping[str, Any], *, deadline: float = 15.0) -> dict[str, Any]:
        landlord = next(each for each in self._stage.landlords if each.address == peer.address)
        if landlord.away:
            raise PeerAwayError(f"{peer.url}: no answer")
        nonce = next(self._nonces).to_bytes(16, "big")
        request = Request("POST", path, peer.address, self._stage.clock.wall(), nonce, b"")
        try:
            landlord.gate.admit(self._sender, request, landlord.clock.wall())
        except EnvelopeError as error:
            raise PeerRefusedError(error.code, str(error)) from None

        async def honest(path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
            return await landlord.api.routes()[path](self._sender, body)

        crook = self._stage.crooked.get(peer.address)
        try:
            sent = json.loads(json.dumps(body))
            answer = await (crook(path, sent, honest) if crook else honest(path, sent))
        except RefusalError as error:
            raise PeerRefusedError(error.code, str(error), error.hint) from None
        found: dict[str, Any] = json.loads(json.dumps(answer))
        return found


class Stage:
    """Use `stage`. The renter stores one file on two hosts, either of which is enough (1 of 2)."""

    def __init__(self, bench: StorageBench, folder: Path, policy: Policy, stack: AsyncExitStack) -> None:
        self.bench = bench
        self.folder = folder
        self.policy = policy
        self.clock = PartyClock()
        self.landlords: list[Landlord] = []
        self.crooked: dict[Address, Callable[[str, Mapping[str, Any], Answer], Awaitable[Mapping[str, Any]]]] = {}
        self.store: SqlStore
        self.renter: Renter
        self.object = ""
        self._stack = stack
        self._began: dict[Address, int] = {}

    renter_address = RENTER.address

    @property
    def market(self) -> Market:
        return self.bench.market.market

    async def open(self, hosts: int) -> Stage:
        for number in range(hosts):
            key = PrivateKey(bytes((60 + number,)) * 32)
            await self.bench.fund(key)
            self.landlords.append(
                await Landlord(number, key, self.folder / f"host{number}").open(self.bench, self._stack)
            )
        self.store = await open_store(self.folder / "renter.db", None)
        self._stack.push_async_callback(self.store.close)
        rail, stage = self.bench.chain.rail.id, self
        settlement = settlement_of(self.bench, self.store, RENTER, self.clock)

        class Known:
            async def hosts(self, rail: str) -> Sequence[FoundHost]:
                return [FoundHost(each.peer, f"4:c633{each.number:02x}", NEUTRAL) for each in stage.landlords]

        market = RenterMarket(self.bench.market, self.bench.chain, settlement, self.store, RENTER.address)
        self.renter = Renter(
            base=self.folder / "renter",
            markets={rail: market},
            discovery=Known(),
            api=Direct(self, RENTER.address),
            carrier=Copies(self),
            store=self.store,
            key=RENTER,
            wrapping=wrapping_key(b"\x07" * 64),
            clock=self.clock,
            policy=self.policy,
            limits=StorageLimits(),
            nonce=Random(1).randbytes,
            uniform=lambda least, most: least,  # audits come as early in their epochs as they can
        )
        self._stack.push_async_callback(self.renter.close)
        await self.look()
        return self

    # --- time --------------------------------------------------------------------------------------------------------

    async def look(self) -> int:
        """Every node sees what time it is on the chain."""
        now = (await self.bench.chain.head()).timestamp
        for clock in (self.clock, *(landlord.clock for landlord in self.landlords)):
            clock.chain = now
        return now

    async def turn(self, seconds: int = 0, *, renter: bool = True) -> None:
        """Time passes, then everybody does what is due."""
        if seconds:
            await self.bench.go_to(self.clock.chain + seconds)
        await self.look()
        if renter:
            await self.renter.tick()
            await self.renter.settle()
        for landlord in self.landlords:
            if not landlord.away:
                await landlord.host.step()
                await landlord.host.join()
        await self.bench.bench.mine(2)
        await self.look()

    async def go_to(self, moment: int, *, step: int = STEP, renter: bool = True) -> None:
        """Turn by turn; answers to challenges on chain are due in 500 s."""
        while self.clock.chain < moment:
            await self.turn(min(step, moment - self.clock.chain), renter=renter)

    # --- what the renter does ----------------------------------------------------------------------------------------

    async def stored(self, data: bytes = b"kept" * 20_000) -> list[Rental]:
        """A file is with its hosts, whose contracts are about to start: in the order of the hosts."""
        path = self.folder / "file"
        path.write_bytes(data)
        made = await self.renter.store(StoreRequest(path=path, k=1, n=2, days=1, renew=False))
        self.object = made.id
        for _ in range(20):
            await self.turn(5)
            rentals = await self.rentals()
            if len(rentals) == 2 and all(rental.state == "active" for rental in rentals):
                await self.remember()
                return rentals
        raise AssertionError([f"{rental.url} {rental.state}" for rental in await self.rentals()])

    async def rentals(self) -> list[Rental]:
        """Of the hosts' order, the newest contract of each last."""
        order = [landlord.address for landlord in self.landlords]
        return sorted(
            await self.store.rentals(), key=lambda rental: (order.index(rental.terms.host), rental.terms.start)
        )

    def landlord(self, rental: Rental) -> Landlord:
        return next(each for each in self.landlords if each.address == rental.terms.host)

    async def rental(self, contract_id: bytes) -> Rental:
        return next(rental for rental in await self.store.rentals() if rental.id == contract_id)

    # --- money -------------------------------------------------------------------------------------------------------

    async def remember(self) -> None:
        """What follows counts from the deposits on: collateral and escrow that come back are no gain."""
        parties = (RENTER.address, *(landlord.address for landlord in self.landlords))
        self._began = {party: FUNDS + await self.bench.chain.token_balance(party) for party in parties}

    async def gain(self, party: Address) -> int:
        """Units in market and wallet beyond what the party brought; what is still locked counts as lost."""
        (now,) = await self.bench.market.balances(party)
        return now + await self.bench.chain.token_balance(party) - self._began[party]


@asynccontextmanager
async def stage(folder: Path, *, hosts: int = 2, policy: Policy = POLICY) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        bench = await stack.enter_async_context(storage_bench("devnet"))
        yield await Stage(bench, folder, policy, stack).open(hosts)
