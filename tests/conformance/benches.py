"""What a test may do to a chain, whichever it is: give money, make blocks, let time pass, take blocks back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

import aiohttp

from node.devnet.server import DevnetServer, DevnetSettings
from wallet.address import Address
from wallet.amount import BTT
from wallet.chains.base import ChainAdapter
from wallet.chains.evm import EvmChain, EvmSettings
from wallet.chains.fake import FakeChain
from wallet.chains.fake_tron import FakeTronChain
from wallet.cheque import Rail

FINALITY = 2
NOTICE = 3600


class Bench(Protocol):
    """`max_fee`: the bound that the adapter was given, in native units."""

    max_fee: int

    @property
    def chain(self) -> ChainAdapter: ...

    async def fund(self, owner: Address, *, native: int = 0, token: int = 0) -> None: ...

    async def mine(self, blocks: int = 1) -> None: ...

    async def automine(self, on: bool) -> None: ...

    async def pass_time(self, seconds: int) -> None: ...

    async def snapshot(self) -> int: ...

    async def restore(self, snapshot: int) -> None:
        """Every block since is undone, and its transactions are forgotten."""


class FakeBench:
    """A chain in memory."""

    def __init__(self, kind: type[FakeChain | FakeTronChain]) -> None:
        self.max_fee = 10**18
        self.fake = kind(finality=FINALITY, notice_period=NOTICE, max_fee=self.max_fee)
        self.fake.automine = True

    @property
    def chain(self) -> ChainAdapter:
        return self.fake

    async def fund(self, owner: Address, *, native: int = 0, token: int = 0) -> None:
        self.fake.fund(owner, native=native, token=token)

    async def mine(self, blocks: int = 1) -> None:
        self.fake.mine(blocks)

    async def automine(self, on: bool) -> None:
        self.fake.automine = on

    async def pass_time(self, seconds: int) -> None:
        self.fake.pass_time(seconds)

    async def snapshot(self) -> int:
        return (await self.fake.head()).number

    async def restore(self, snapshot: int) -> None:
        self.fake.reorg((await self.fake.head()).number - snapshot, forget=True)


class DevnetBench:
    """Our devnet: the compiled contract on py-evm, behind JSON-RPC."""

    def __init__(self, chain: EvmChain, session: aiohttp.ClientSession, url: str, max_fee: int) -> None:
        self.max_fee = max_fee
        self._chain = chain
        self._session = session
        self._url = url

    @property
    def chain(self) -> ChainAdapter:
        return self._chain

    async def fund(self, owner: Address, *, native: int = 0, token: int = 0) -> None:
        await self._rpc("bttnode_faucet", owner.evm, hex(native), hex(token))

    async def mine(self, blocks: int = 1) -> None:
        await self._rpc("anvil_mine", hex(blocks))

    async def automine(self, on: bool) -> None:
        await self._rpc("evm_setAutomine", on)

    async def pass_time(self, seconds: int) -> None:
        await self._rpc("evm_increaseTime", seconds)
        await self.mine()

    async def snapshot(self) -> int:
        return int(await self._rpc("evm_snapshot"), 16)

    async def restore(self, snapshot: int) -> None:
        assert await self._rpc("evm_revert", hex(snapshot))

    async def _rpc(self, method: str, *parameters: object) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
        async with self._session.post(self._url, json=body) as response:
            answer = await response.json()
        assert "error" not in answer, answer
        return answer["result"]


@asynccontextmanager
async def fake_bench() -> AsyncIterator[Bench]:
    yield FakeBench(FakeChain)


@asynccontextmanager
async def fake_tron_bench() -> AsyncIterator[Bench]:
    yield FakeBench(FakeTronChain)


@asynccontextmanager
async def devnet_bench() -> AsyncIterator[Bench]:
    server = DevnetServer(DevnetSettings(block_time=0, notice_period=NOTICE))
    found = await server.start()
    settings = EvmSettings(
        rail=Rail(found.chain, found.chain_id, Address.parse(found.vault), BTT),
        native=BTT,
        token=Address.parse(found.token),
        endpoints=(found.url,),
        finality=FINALITY,
        max_fee=10**24,
    )
    try:
        async with EvmChain(settings) as chain, aiohttp.ClientSession() as session:
            yield DevnetBench(chain, session, found.url, 10**24)
    finally:
        await server.close()


WITH_NONCES = {"fake": fake_bench, "devnet": devnet_bench}
WITH_EXPIRY = {"fake-tron": fake_tron_bench}
BENCHES = WITH_NONCES | WITH_EXPIRY
