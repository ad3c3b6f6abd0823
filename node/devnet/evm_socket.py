"""One WebSocket client: requests in; answers and notifications out, in the order in which the chain made them.

What waits to be sent is bounded in bytes. A client that does not read is cut off rather than served later: it would
get a past that it must check anyway. A request is taken only after all that was due has gone out.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Mapping
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from node.devnet.chain import Chain
from node.devnet.evm_method import Method
from node.devnet.evm_subscriptions import Subscriptions
from node.devnet.thread import ChainThread

MAX_QUEUED = 32 * 1024 * 1024
"""Bytes that wait for one client; a single larger answer is let through."""
CLOSE_SECONDS = 1.0

log = logging.getLogger(__name__)


class Connection:
    """`serve` once; `end` makes it return."""

    def __init__(self, chain: ChainThread[Chain], methods: Mapping[str, Method], socket: web.WebSocketResponse) -> None:
        self._chain = chain
        self._socket = socket
        self._subscriptions = Subscriptions(methods, self._send)
        self._loop = asyncio.get_running_loop()
        self._queue: deque[str] = deque()
        self._queued = 0
        self._filled, self._drained = asyncio.Event(), asyncio.Event()
        self._drained.set()
        self._end: asyncio.Future[tuple[WSCloseCode, str]] = self._loop.create_future()

    async def serve(self, request: web.Request) -> None:
        """Returns when either side has ended it."""
        await self._socket.prepare(request)
        work = [asyncio.create_task(self._read()), asyncio.create_task(self._write())]
        ends: list[asyncio.Future[Any]] = [*work, self._end]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in work:
                task.cancel()
            for fault in await asyncio.gather(*work, return_exceptions=True):
                if isinstance(fault, Exception) and not isinstance(fault, ConnectionError):
                    log.error("devnet: a WebSocket failed: %r", fault)
            await self._chain.run(self._subscriptions.close)
            await self._say_goodbye()

    def end(self, code: WSCloseCode, reason: str) -> None:
        if not self._end.done():
            self._end.set_result((code, reason))

    async def _say_goodbye(self) -> None:
        code, reason = self._end.result() if self._end.done() else (WSCloseCode.OK, "")
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._socket.close(code=code, message=reason.encode())
        except TimeoutError:
            pass  # it reads nothing, not even this

    async def _read(self) -> None:
        async for message in self._socket:
            if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                await self._answer(message.data)

    async def _answer(self, body: bytes | str) -> None:
        await self._chain.run(lambda chain: self._subscriptions.answer(chain, body))
        await self._drained.wait()

    async def _write(self) -> None:
        while True:
            await self._filled.wait()
            while self._queue:
                text = self._queue.popleft()
                await self._socket.send_str(text)
                self._queued -= len(text)
            self._filled.clear()
            self._drained.set()

    def _send(self, payload: object) -> None:
        """From the chain's thread."""
        self._loop.call_soon_threadsafe(self._put, json.dumps(payload))

    def _put(self, text: str) -> None:
        if self._queued and self._queued + len(text) > MAX_QUEUED:
            self.end(WSCloseCode.POLICY_VIOLATION, "too much waits to be read")
            return
        self._queue.append(text)
        self._queued += len(text)
        self._drained.clear()
        self._filled.set()
