"""A node's BTFS service with a real store, over JSON-RPC to a devnet with doubles of BTFS's contracts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from aiohttp import web

from node.devnet.chain import Chain
from node.devnet.evm_rpc import EvmRpc
from node.devnet.thread import ChainThread
from node.services.btfs import Btfs
from node.services.budget import Budget
from node.services.settlement import Settlement, SettlementSettings
from node.services.vault import VaultView
from node.services.wallet import Purse, Wallet
from node.store import SqlStore, open_store
from tests.contracts.bench import START, Contract, key
from tests.contracts.btfs_bench import CURRENT, BtfsBench
from wallet.amount import BTT, Token
from wallet.btfs import wire
from wallet.btfs.chain import BtfsVaults
from wallet.btfs.wire import SignedBtfsCheque
from wallet.chains.assets import Asset, AssetKind
from wallet.chains.evm import EvmChain, EvmSettings
from wallet.cheque import Rail
from wallet.keys import PrivateKey
from wallet.limits import SpendLimits
from wallet.outbox import Outbox
from wallet.spending import Holdings, TransferLimits

T = TypeVar("T")

RENTER, OURS, OTHER = (key(number) for number in range(31, 34))
RAIL = "eip155:199"
USDD = Token("USDD", 18)


@dataclass
class Clock:
    time: int = START

    def now(self) -> float:
        return float(self.time)

    def wall(self) -> int:
        return self.time


@dataclass
class BtfsNode:
    """`restart` forgets everything that is not in the store. `vault`: the renter's; `ours`: our own."""

    thread: ChainThread[Chain]
    bench: BtfsBench
    vault: Contract
    ours: Contract
    chain: EvmChain
    store: SqlStore
    clock: Clock = field(default_factory=Clock)
    caps: SpendLimits = field(default_factory=SpendLimits)
    limits: TransferLimits = field(default_factory=TransferLimits)

    async def restart(self, caps: SpendLimits | None = None, limits: TransferLimits | None = None) -> None:
        self.caps, self.limits = caps or self.caps, limits or self.limits
        outbox = Outbox(self.store, self.chain, OURS, wall=self.clock.wall, sleep=self._next_block)
        self.settlement = Settlement(
            SettlementSettings(auto=False),
            store=self.store,
            intents=self.store,
            chain=self.chain,
            key=OURS,
            wall=self.clock.wall,
            outbox=outbox,
        )
        assets = (
            Asset(AssetKind.NATIVE, BTT),
            Asset(AssetKind.TOKEN, self.chain.rail.token, self.bench.wbtt.address),
            Asset(AssetKind.TOKEN, USDD, self.bench.usdd.address),
        )
        holdings = Holdings(OURS.address, assets, self.chain.rail.vault, self.chain.rail.token)
        self.wallet = Wallet(
            {"bttc": Purse("bttc", "bttc (play money)", self.chain, holdings, self.settlement)},
            own=OURS.address,
            history=self.store,
            limits=self.limits,
            cheque_limits=self.caps,
            clock=self.clock,
        )
        view = VaultView({RAIL: self.chain}, store=self.store, own=OURS.address, now=self.clock.now)
        self.budget = Budget(self.caps, store=self.store, vault=view, clock=self.clock)
        self.btfs = Btfs(
            BtfsVaults(self.chain, self.bench.factory.address, self.bench.wbtt.address),
            await self.store.btfs_cheques(RAIL),
            chain=self.chain,
            assets=assets,
            key=OURS,
            store=self.store,
            intents=self.store,
            settlement=self.settlement,
            budget=self.budget,
            wallet=self.wallet,
            clock=self.clock,
        )

    async def _next_block(self, _seconds: float) -> None:
        await self.thread.run(lambda chain: chain.mine())

    async def on_chain(self, act: Callable[[BtfsBench], T]) -> T:
        """What others do, in the chain's own thread."""
        return await self.thread.run(lambda _: act(self.bench))

    async def deploy(self, generation: str = CURRENT, *, amount: int = 1000) -> Contract:
        """Another vault of the renter's."""
        vault = await self.on_chain(lambda bench: bench.deploy(RENTER, generation))
        await self.on_chain(lambda bench: bench.fund(vault, amount))
        return vault

    def signed(self, cumulative: int, *, vault: Contract | None = None, usdd: bool = False) -> SignedBtfsCheque:
        """The renter's cheque to us."""
        return self.bench.cheque(vault or self.vault, RENTER, OURS, cumulative, self.bench.usdd if usdd else None)

    def raw(self, cumulative: int, *, vault: Contract | None = None, usdd: bool = False) -> bytes:
        return wire.encode(self.signed(cumulative, vault=vault, usdd=usdd), self.bench.wbtt.address)

    async def holds(self, owner: PrivateKey = OURS, *, usdd: bool = False) -> int:
        return await self.on_chain(lambda bench: bench.wallet(owner, bench.usdd if usdd else None))


@asynccontextmanager
async def btfs_node(folder: Path) -> AsyncIterator[BtfsNode]:
    """The renter's vault and ours hold 1000 units of WBTT and of USDD each."""
    made: list[tuple[BtfsBench, Contract, Contract]] = []

    def make() -> Chain:
        bench = BtfsBench()
        vaults = bench.deploy(RENTER), bench.deploy(OURS)
        for vault in vaults:
            bench.fund(vault, 1000)
            bench.fund(vault, 1000, bench.usdd)
        made.append((bench, *vaults))
        return bench.chain

    thread = await ChainThread.open(make)
    [(bench, theirs, ours)] = made
    runner = web.AppRunner(EvmRpc(thread).application(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    store = await open_store(folder / "node.db", folder / "mark")
    rail = Rail(RAIL, 199, theirs.address, Token("WBTT", 18))  # no ChequeVault is involved
    try:
        async with EvmChain(EvmSettings(rail, BTT, bench.wbtt.address, (url,), finality=2)) as chain:
            node = BtfsNode(thread, bench, theirs, ours, chain, store)
            await node.restart()
            yield node
    finally:
        await store.close()
        await runner.cleanup()
        await thread.close()
