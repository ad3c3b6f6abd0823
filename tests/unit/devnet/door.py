"""A client of a served chain."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web

from node.devnet import evm_json as j
from node.devnet.chain import GWEI, Chain, ChainSettings
from node.devnet.evm_method import Method
from node.devnet.evm_rpc import EvmRpc
from node.devnet.thread import ChainThread
from tests.unit.devnet.support import ALICE, COIN, RECORDER, address, signed


class Door:
    """JSON-RPC over HTTP POST."""

    def __init__(self, session: aiohttp.ClientSession, url: str, thread: ChainThread[Chain]) -> None:
        self.session, self.url, self.thread = session, url, thread

    async def post(self, body: bytes) -> Any:
        async with self.session.post(self.url, data=body) as response:
            assert response.status == 200
            return await response.json()

    async def ask(self, method: str, *parameters: object) -> dict[str, Any]:
        request = {"jsonrpc": "2.0", "id": 7, "method": method, "params": list(parameters)}
        answer = await self.post(json.dumps(request).encode())
        assert (answer["jsonrpc"], answer["id"]) == ("2.0", 7)
        return dict(answer)

    async def result(self, method: str, *parameters: object) -> Any:
        answer = await self.ask(method, *parameters)
        assert "error" not in answer, answer
        return answer["result"]

    async def error(self, method: str, *parameters: object) -> dict[str, Any]:
        answer = await self.ask(method, *parameters)
        assert "result" not in answer
        return dict(answer["error"])


@asynccontextmanager
async def served(extra: Mapping[str, Method] | None = None) -> AsyncIterator[Door]:
    settings = ChainSettings(gas_price=GWEI, allocation={address(ALICE): 1000 * COIN})
    thread = await ChainThread.open(lambda: Chain(settings))
    runner = web.AppRunner(EvmRpc(thread, extra).application())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    async with aiohttp.ClientSession() as session:
        yield Door(session, f"http://127.0.0.1:{runner.addresses[0][1]}", thread)
    await runner.cleanup()
    await thread.close()
    await thread.close()  # closing twice is one close


async def deploy_recorder(door: Door) -> str:
    sent = await door.result("eth_sendRawTransaction", j.data(signed(ALICE, 0, data=RECORDER)))
    return str((await door.result("eth_getTransactionReceipt", sent))["contractAddress"])
