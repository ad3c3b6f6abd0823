"""An endpoint on loopback that answers what a test tells it to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from aiohttp import web

from wallet.address import Address
from wallet.amount import BTT
from wallet.chains.evm import EvmChain, EvmSettings
from wallet.cheque import Rail

VAULT, TOKEN = Address(b"\x11" * 20), Address(b"\x22" * 20)
RAIL = Rail("eip155:199", 199, VAULT, BTT)


class Stub:
    """`answers`: method → result, or a function of the parameters. `reply` takes every request over when set."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[str] = []
        self.answers: dict[str, Any] = {"eth_chainId": hex(199)}
        self.reply: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.asked.append(body["method"])
        if self.reply is not None and body["method"] != "eth_chainId":
            return await self.reply(request)
        answer = self.answers[body["method"]]
        if callable(answer):
            answer = answer(*body["params"])
        if isinstance(answer, RpcFault):
            return web.json_response({"jsonrpc": "2.0", "id": body["id"], "error": answer.error})
        return web.json_response({"jsonrpc": "2.0", "id": body["id"], "result": answer})

    def always(self, text: str, *, status: int = 200, headers: dict[str, str] | None = None) -> None:
        """Answer everything but the chain id like this."""

        async def reply(_request: web.Request) -> web.StreamResponse:
            return web.Response(text=text, status=status, headers=headers)

        self.reply = reply


class RpcFault:
    """An answer that is a JSON-RPC error object."""

    def __init__(self, message: str, code: int = -32000, data: object = None) -> None:
        self.error = {"code": code, "message": message} | ({} if data is None else {"data": data})


S = TypeVar("S", bound=Stub)


@asynccontextmanager
async def serve(stub: S) -> AsyncIterator[S]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", stub.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    stub.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield stub
    finally:
        await runner.cleanup()


class Waits:
    """A clock that moves only by sleeping on it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)


def chain_at(
    *urls: str,
    waits: Waits | None = None,
    timeout: float = 5.0,
    finality: int = 1,
    max_fee: int | None = None,
) -> EvmChain:
    waits = waits or Waits()
    settings = EvmSettings(RAIL, BTT, TOKEN, urls, finality=finality, timeout=timeout, max_fee=max_fee)
    return EvmChain(settings, clock=waits.clock, sleep=waits.sleep)
