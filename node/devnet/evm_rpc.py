"""The Ethereum door: JSON-RPC 2.0 over HTTP POST, single requests and batches.

This module knows envelopes, limits and error codes; `evm_methods` knows the methods. A whole body is answered in one
visit to the chain's thread, so the requests of a batch see one chain with nobody else's blocks in between.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping

from aiohttp import web
from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from node.devnet.chain import Chain
from node.devnet.errors import BadRequestError, CallFailedError, StorageError, TransactionRejectedError
from node.devnet.evm_json import BadParameterError, data
from node.devnet.evm_methods import METHODS, Method
from node.devnet.thread import ChainThread

MAX_BODY = 2 * 1024 * 1024
"""Bytes of one HTTP request."""
MAX_BATCH = 1000

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32700, -32600, -32601, -32602
INTERNAL_ERROR, SERVER_ERROR, REVERTED = -32603, -32000, 3

_ERROR_STRING = bytes.fromhex("08c379a0")  # selector of Error(string)

log = logging.getLogger(__name__)


class EvmRpc:
    """An aiohttp application that answers for one chain. `extra` adds methods to the common table."""

    def __init__(self, chain: ChainThread[Chain], extra: Mapping[str, Method] | None = None) -> None:
        self._chain = chain
        self._methods = {**METHODS, **(extra or {})}

    def application(self) -> web.Application:
        application = web.Application(client_max_size=MAX_BODY)
        application.router.add_post("/", self._post)
        return application

    async def _post(self, request: web.Request) -> web.Response:
        try:
            body = json.loads(await request.read())
        except (ValueError, RecursionError):
            return web.json_response(_failure(None, PARSE_ERROR, "the body is not JSON"))
        answer = await self._chain.run(lambda chain: self._answer(chain, body))
        # A body of notifications alone has no answer.
        return web.Response(status=204) if answer is None else web.json_response(answer)

    def _answer(self, chain: Chain, body: object) -> object:
        if not isinstance(body, list):
            return self._answer_one(chain, body)
        if not 1 <= len(body) <= MAX_BATCH:
            return _failure(None, INVALID_REQUEST, f"a batch has 1 to {MAX_BATCH} requests, not {len(body)}")
        answers = [self._answer_one(chain, request) for request in body]
        return [answer for answer in answers if answer is not None] or None

    def _answer_one(self, chain: Chain, request: object) -> object:
        if not isinstance(request, dict) or not isinstance(request.get("method"), str):
            return _failure(None, INVALID_REQUEST, "not a JSON-RPC request")
        identity, name, parameters = request.get("id"), request["method"], request.get("params", [])
        method = self._methods.get(name)
        if method is None:
            answer = _failure(identity, METHOD_NOT_FOUND, f"the method {name[:60]} does not exist")
        elif not isinstance(parameters, list):
            answer = _failure(identity, INVALID_PARAMS, "params must be a list")
        else:
            answer = _run(chain, method, parameters, identity)
        return answer if "id" in request else None


def _run(chain: Chain, method: Method, parameters: list[object], identity: object) -> dict[str, object]:
    try:
        result = method.run(chain, *method.arguments(parameters))
    except BadParameterError as error:
        return _failure(identity, INVALID_PARAMS, str(error))
    except CallFailedError as error:
        if not error.reverted:
            return _failure(identity, SERVER_ERROR, str(error))
        return _failure(identity, REVERTED, f"{error}{_reason(error.output)}", data(error.output))
    except (TransactionRejectedError, BadRequestError) as error:
        return _failure(identity, SERVER_ERROR, str(error))
    except StorageError as error:
        log.error("devnet: %s", error)
        return _failure(identity, INTERNAL_ERROR, str(error))
    return {"jsonrpc": "2.0", "id": identity, "result": result}


def _failure(identity: object, code: int, message: str, details: str | None = None) -> dict[str, object]:
    error: dict[str, object] = {"code": code, "message": message}
    if details is not None:
        error["data"] = details
    return {"jsonrpc": "2.0", "id": identity, "error": error}


def _reason(output: bytes) -> str:
    """`: text` where the contract reverted with `Error(string)`, as go-ethereum appends it."""
    if output[:4] != _ERROR_STRING:
        return ""
    try:
        return f": {decode(['string'], output[4:])[0]}"
    except (DecodingError, UnicodeDecodeError):
        return ""
