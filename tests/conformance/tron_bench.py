"""Our TRON devnet behind java-tron's HTTP, and what only a devnet lets a test do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from node.devnet.deployment import Deployment
from node.devnet.tron.server import TronDevnetServer, TronDevnetSettings
from wallet.address import Address
from wallet.amount import BTT, Token
from wallet.chains.assets import Asset, AssetKind
from wallet.chains.base import ChainAdapter
from wallet.chains.tron import TronChain, TronSettings
from wallet.cheque import Rail

MAX_FEE = 10**12
OLD_TOKEN = Asset(AssetKind.TRC10, Token("BTTOLD", 6), number=1_002_000)


class TronBench:
    """The compiled contracts on the TVM. `max_fee` in sun."""

    max_fee = MAX_FEE
    asks_price = False
    """Everybody pays the network's price."""

    def __init__(self, chain: TronChain, session: aiohttp.ClientSession, deployment: Deployment) -> None:
        self.deployment = deployment
        self._chain = chain
        self._session = session

    @property
    def chain(self) -> ChainAdapter:
        return self._chain

    async def fund(self, owner: Address, *, native: int = 0, token: int = 0, trc10: int = 0) -> None:
        """`trc10`: units of `OLD_TOKEN`."""
        await self._devnet("faucet", address=owner.tron, native=native, token=token, asset=trc10)

    async def mine(self, blocks: int = 1) -> None:
        await self._devnet("mine", blocks=blocks)

    async def automine(self, on: bool) -> None:
        await self._devnet("automine", on=on)

    async def pass_time(self, seconds: int) -> None:
        await self._devnet("time", seconds=seconds)
        await self.mine()

    async def snapshot(self) -> int:
        return int((await self._devnet("snapshot"))["snapshot"])

    async def restore(self, snapshot: int) -> None:
        assert (await self._devnet("revert", snapshot=snapshot))["reverted"]

    async def _devnet(self, method: str, **parameters: object) -> Any:
        async with self._session.post(f"{self.deployment.url}/devnet/{method}", json=parameters) as response:
            answer = await response.json()
        assert "Error" not in answer, answer
        return answer


@asynccontextmanager
async def tron_bench(*, finality: int, notice: int, answer: int = 3600) -> AsyncIterator[TronBench]:
    server = TronDevnetServer(
        TronDevnetSettings(
            chain_id=0x2B6653DC, block_time=0, notice_period=notice, answer_period=answer, confirmations=finality
        )
    )
    found = await server.start()
    settings = TronSettings(
        rail=Rail("tron:0x2b6653dc", 0x2B6653DC, Address.parse(found.vault), BTT),
        native=Token("TRX", 6),
        token=Address.parse(found.token),
        endpoints=(found.url,),
        max_fee=MAX_FEE,
    )
    try:
        async with TronChain(settings) as chain, aiohttp.ClientSession() as session:
            yield TronBench(chain, session, found)
    finally:
        await server.close()
