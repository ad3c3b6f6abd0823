"""The Ethereum door: JSON-RPC over HTTP POST and over WebSockets, on one port and one path.

This module routes; `evm_envelope` knows requests and error codes, `evm_methods` and its neighbours know the methods.
"""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import WSCloseCode, web

from node.devnet.chain import Chain
from node.devnet.evm_development import DEVELOPMENT
from node.devnet.evm_envelope import answer
from node.devnet.evm_filters import Filters
from node.devnet.evm_method import Method
from node.devnet.evm_methods import METHODS
from node.devnet.evm_socket import Connection
from node.devnet.thread import ChainThread

MAX_BODY = 2 * 1024 * 1024
"""Bytes of one HTTP request or WebSocket message."""
MAX_CONNECTIONS = 64
"""WebSockets at a time."""


class EvmRpc:
    """An aiohttp application that answers for one chain. `extra` adds methods to the common table."""

    def __init__(self, chain: ChainThread[Chain], extra: Mapping[str, Method] | None = None) -> None:
        self._chain = chain
        self._methods = {**METHODS, **DEVELOPMENT, **Filters().methods(), **(extra or {})}
        self._connections: set[Connection] = set()

    def application(self) -> web.Application:
        application = web.Application(client_max_size=MAX_BODY)
        application.router.add_post("/", self._post)
        application.router.add_get("/", self._open)
        application.on_shutdown.append(self._close)
        return application

    async def _post(self, request: web.Request) -> web.Response:
        body = await request.read()
        found = await self._chain.run(lambda chain: answer(chain, self._methods, body))
        # A body of notifications alone has no answer.
        return web.Response(status=204) if found is None else web.json_response(found)

    async def _open(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(max_msg_size=MAX_BODY, compress=False)
        if not socket.can_prepare(request):
            return web.Response(status=426, text="POST JSON-RPC here, or open a WebSocket\n")
        if len(self._connections) >= MAX_CONNECTIONS:
            return web.Response(status=503, text=f"there are {MAX_CONNECTIONS} WebSockets already\n")
        connection = Connection(self._chain, self._methods, socket)
        self._connections.add(connection)
        try:
            await connection.serve(request)
        finally:
            self._connections.discard(connection)
        return socket

    async def _close(self, _application: web.Application) -> None:
        for connection in tuple(self._connections):
            connection.end(WSCloseCode.GOING_AWAY, "the devnet stops")
