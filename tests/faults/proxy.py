"""A bad day between a node and its chain's servers: HTTP that gets lost, mangled, repeated or answered from memory.

What befalls a request is drawn from a seeded generator, so a seed names a day. Every fault is one that public endpoints
are known for. An answer from memory is never given twice running to the same question: a server that lags catches up.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from enum import Enum, auto
from random import Random
from types import TracebackType

import aiohttp
from aiohttp import web

HANG = 5.0
"""Seconds that a hanging request is held at most; the client is to give up long before."""


class Fault(Enum):
    """What befalls one request."""

    PASS = auto()
    HANG = auto()
    """It reaches the server; the client waits for an answer in vain."""
    DROP_BEFORE = auto()
    """The connection breaks, and the server has heard nothing."""
    DROP_AFTER = auto()
    """The connection breaks when the server has done what was asked."""
    HTML = auto()
    TOO_MANY = auto()
    HALF_JSON = auto()
    TWICE = auto()
    """The server hears the question twice; the client gets the second answer."""
    STALE = auto()
    """The server is not asked: the client gets the answer to the same question from before."""
    KILL_BEFORE = auto()
    """The client dies with the question on its lips."""
    KILL_AFTER = auto()
    """The client dies when the server has done what was asked."""


class FaultyProxy:
    """An async context manager; `url` is what the client is to be given instead of `upstream`.

    `weights` of the faults; `kill` ends the client's work. `calm` ends all faults.
    """

    def __init__(self, upstream: str, seed: int, weights: dict[Fault, int], kill: Callable[[], object]) -> None:
        self.url = ""
        self.seen: Counter[Fault] = Counter()
        self._upstream = upstream
        self._random = Random(seed)
        self._faults: Sequence[Fault] = list(weights)
        self._weights: Sequence[int] = list(weights.values())
        self._kill = kill
        self._memory: dict[tuple[str, str, bytes], tuple[int, bytes]] = {}
        self._last_stale: set[tuple[str, str, bytes]] = set()

    def calm(self) -> None:
        self._faults, self._weights = [Fault.PASS], [1]

    async def __aenter__(self) -> FaultyProxy:
        self._session = aiohttp.ClientSession()
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()
        await self._session.close()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        question = (request.method, request.path_qs, await request.read())
        (fault,) = self._random.choices(self._faults, self._weights)
        if fault is Fault.STALE and (question not in self._memory or question in self._last_stale):
            fault = Fault.PASS
        self.seen[fault] += 1
        self._last_stale.discard(question)
        match fault:
            case Fault.DROP_BEFORE:
                return self._drop(request)
            case Fault.KILL_BEFORE:
                self._kill()
                return self._drop(request)
            case Fault.HTML:
                return web.Response(status=502, text="<html><h1>502 Bad Gateway</h1></html>", content_type="text/html")
            case Fault.TOO_MANY:
                return web.Response(status=429, headers={"Retry-After": "1"}, text="too many requests")
            case Fault.STALE:
                self._last_stale.add(question)
                return _json(*self._memory[question])
            case Fault.TWICE:
                await self._forward(question)
        status, answer = await self._forward(question)
        self._memory[question] = (status, answer)
        match fault:
            case Fault.HANG:
                await asyncio.sleep(HANG)
                return self._drop(request)
            case Fault.DROP_AFTER:
                return self._drop(request)
            case Fault.KILL_AFTER:
                self._kill()
                return self._drop(request)
            case Fault.HALF_JSON:
                return _json(status, answer[: len(answer) // 2])
        return _json(status, answer)

    async def _forward(self, question: tuple[str, str, bytes]) -> tuple[int, bytes]:
        method, path, body = question
        headers = {"Content-Type": "application/json"}
        async with self._session.request(method, self._upstream + path, data=body, headers=headers) as response:
            return response.status, await response.read()

    def _drop(self, request: web.Request) -> web.StreamResponse:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()


def _json(status: int, body: bytes) -> web.Response:
    return web.Response(status=status, body=body, content_type="application/json")
