"""A TRON devnet of one's own, funded people, and a contract that fails on purpose: for tests with real clients."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from node.devnet.deployment import Deployment
from node.devnet.tron.server import TronDevnetServer, TronDevnetSettings
from wallet.keys import PrivateKey

ALICE, BOB, NOBODY = (PrivateKey(bytes([digit]) * 32) for digit in (0xA1, 0xB0, 0xC0))
TRX, COIN = 10**6, 10**18
BTTOLD = 1_002_000
FEE_LIMIT = 1_000 * TRX

REASON = "out of luck"
_SELECTOR_LOOP = keccak(text="loop()")[:4].hex()
_REVERT_DATA = keccak(text="Error(string)")[:4] + encode(["string"], [REASON])
# By selector: `loop()` jumps in circles; everything else reverts with the bytes that follow the code.
_RUNTIME = bytes.fromhex(f"60003560e01c63{_SELECTOR_LOOP}14601b576064601f60003960646000fd5b601b56") + _REVERT_DATA
FAILING_BYTECODE = bytes.fromhex(f"60{len(_RUNTIME):02x}600c60003960{len(_RUNTIME):02x}6000f3") + _RUNTIME
FAILING_ABI: list[dict[str, Any]] = [
    {"type": "function", "name": name, "inputs": [], "outputs": [], "stateMutability": mutability}
    for name, mutability in (("fail", "nonpayable"), ("check", "view"), ("loop", "nonpayable"))
]


@dataclass
class TronBench:
    """`url`: where the devnet listens. Development methods by `devnet`."""

    deployment: Deployment
    session: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return self.deployment.url

    async def devnet(self, method: str, **parameters: object) -> Any:
        return await self.post(f"devnet/{method}", **parameters)

    async def post(self, path: str, **parameters: object) -> Any:
        async with self.session.post(f"{self.url}/{path}", json=parameters) as answer:
            found = await answer.json()
        assert "Error" not in found, found
        return found


@asynccontextmanager
async def tron_bench(block_time: float = 0) -> AsyncIterator[TronBench]:
    """With funded Alice and Bob."""
    server = TronDevnetServer(TronDevnetSettings(block_time=block_time, notice_period=60))
    deployment = await server.start()
    try:
        async with aiohttp.ClientSession() as session:
            bench = TronBench(deployment, session)
            for person in (ALICE, BOB):
                await bench.devnet("faucet", address=person.address.tron, asset=1_000)
            yield bench
    finally:
        await server.close()
