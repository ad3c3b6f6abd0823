"""The TRON door: java-tron's HTTP API, TronGrid's `/v1`, and development methods, on one port.

This module knows paths, bodies, limits and how an error looks; the tables behind it know the methods. A request is
answered in one visit to the chain's thread. java-tron answers bad requests with status 200 and an `Error`, and clients
rely on it; TronGrid says 400.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from node.devnet.errors import DevnetError, StorageError
from node.devnet.thread import ChainThread
from node.devnet.tron import build, calls, reads
from node.devnet.tron.chain import TronChain
from node.devnet.tron.grid import ENDPOINTS, Asked, Endpoint
from node.devnet.tron.protojson import BadJsonError, Json, load, visible_in
from node.devnet.tron.records import Code, RejectedError
from node.devnet.tron.request import Handler, Request

MAX_BODY = 4 * 1024 * 1024
"""Bytes of one HTTP request (java-tron: `GRPC_MAX_MESSAGE_SIZE`)."""

METHODS: Mapping[str, Handler] = {**build.METHODS, **calls.METHODS, **reads.METHODS}
SOLID_METHODS: Mapping[str, Handler] = {name: METHODS[name] for name in (*calls.SOLID, *reads.SOLID)}

_INT32 = frozenset({"Permission_id", "id", "version", "precision", "num", "trx_num", "vote_score"})
_BAD_REQUEST = 400

log = logging.getLogger(__name__)


class TronHttp:
    """An aiohttp application that answers for one chain. `development` is the table behind `/devnet/`."""

    def __init__(self, chain: ChainThread[TronChain], development: Mapping[str, Handler]) -> None:
        self._chain = chain
        self._development = development

    def application(self) -> web.Application:
        application = web.Application(client_max_size=MAX_BODY, middlewares=[_plain_errors])
        for prefix, methods in (("wallet", METHODS), ("walletsolidity", SOLID_METHODS)):
            handle = self._node(methods, solid=prefix == "walletsolidity")
            application.router.add_get(f"/{prefix}/{{method}}", handle)
            application.router.add_post(f"/{prefix}/{{method}}", handle)
        for path, endpoint in ENDPOINTS.items():
            application.router.add_get(path, self._grid(endpoint))
        application.router.add_get("/healthcheck", _healthy)
        application.router.add_post("/devnet/{method}", self._node(self._development, solid=False))
        return application

    def _node(self, methods: Mapping[str, Handler], *, solid: bool) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(http: web.Request) -> web.Response:
            name = http.match_info["method"]
            method = methods.get(name)
            if method is None:
                raise web.HTTPNotFound
            try:
                request = await _read(http, solid=solid, query_only=name in reads.QUERY_ONLY)
                answer = await self._chain.run(lambda chain: method(chain, request))
            except (BadJsonError, DevnetError) as error:
                _note(error)
                answer = _call_error(error) if name in calls.CALLS else {"Error": _words(error)}
            as_strings = http.method == "GET" and http.query.get("int64_as_string") == "true"
            return web.json_response(_with_strings(answer) if as_strings else answer)

        return handle

    def _grid(self, endpoint: Endpoint) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(http: web.Request) -> web.Response:
            url = f"{http.scheme}://{http.host}{http.path}"
            asked = Asked(url, http.match_info["subject"], Request(dict(http.query)))
            try:
                answer = await self._chain.run(lambda chain: endpoint(chain, asked))
            except (BadJsonError, DevnetError) as error:
                _note(error)
                failure = {"success": False, "error": str(error), "statusCode": _BAD_REQUEST}
                return web.json_response(failure, status=_BAD_REQUEST)
            return web.json_response(answer)

        return handle


async def _healthy(_request: web.Request) -> web.Response:
    """TronWeb asks its event server this."""
    return web.json_response({"success": True})


async def _read(http: web.Request, *, solid: bool, query_only: bool) -> Request:
    """A body's parameters, or the query's. Raises `BadJsonError`."""
    query: Json = dict(http.query)
    if http.method == "GET" or query_only:
        return Request(query, visible_in(query), solid)
    try:
        body = load(await http.read())
    except web.HTTPRequestEntityTooLarge:
        raise BadJsonError(f"body size is too big, the limit is {MAX_BODY}") from None
    return Request(body, visible_in(body), solid)


def _words(error: Exception) -> str:
    return f"{type(error).__name__} : {error}"


def _note(error: Exception) -> None:
    """The sender's mistakes are the sender's to read; the machine's are the operator's."""
    if isinstance(error, StorageError):
        log.error("devnet: %s", error)


def _call_error(error: Exception) -> Json:
    """`GrpcAPI.Return` of a call that could not begin."""
    code = error.code if isinstance(error, RejectedError) else Code.OTHER_ERROR
    text = str(error) if isinstance(error, RejectedError) else _words(error)
    return {"result": {"code": code, "message": text.encode().hex()}}


def _with_strings(value: object, key: str = "") -> object:
    """64-bit numbers as text, for readers without them."""
    if isinstance(value, dict):
        return {name: _with_strings(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_strings(item, key) for item in value]
    is_wide = isinstance(value, int) and not isinstance(value, bool) and key not in _INT32
    return str(value) if is_wide else value


@web.middleware
async def _plain_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Unknown paths and methods in the words of the rest."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < _BAD_REQUEST:
            raise
        return web.json_response({"Error": f"{error.status} : {error.reason}"}, status=error.status)
