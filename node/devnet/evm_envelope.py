"""JSON-RPC 2.0 without a transport: from the text of a request or a batch to what is answered.

Error codes are those of JSON-RPC, EIP-1474 and go-ethereum. Nothing here raises for what a client sends.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from node.devnet.chain import Chain
from node.devnet.errors import BadRequestError, CallFailedError, StorageError, TransactionRejectedError
from node.devnet.evm_json import BadParameterError, data
from node.devnet.evm_method import Method

MAX_BATCH = 1000

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32700, -32600, -32601, -32602
INTERNAL_ERROR, SERVER_ERROR, NOT_SUPPORTED, REVERTED = -32603, -32000, -32004, 3

REFUSED: Mapping[str, str] = {
    "eth_getProof": "state proofs are not available on this chain",
    "eth_sendTransaction": "this node holds no keys: sign the transaction and use eth_sendRawTransaction",
    "eth_sign": "this node holds no keys",
    "eth_signTransaction": "this node holds no keys",
    "eth_subscribe": "subscriptions need a WebSocket: connect to the same address with ws://",
    "eth_unsubscribe": "subscriptions need a WebSocket: connect to the same address with ws://",
}
"""Methods that people may rightly look for, and why they do not find them."""

_ERROR_STRING = bytes.fromhex("08c379a0")  # selector of Error(string)

log = logging.getLogger(__name__)


def answer(chain: Chain, methods: Mapping[str, Method], body: bytes | str) -> object:
    """What to send back, JSON-ready; None where everything asked was a notification. Runs on the chain's thread.

    A batch is answered in one go: its requests see one chain with nobody else's blocks in between.
    """
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        return _failure(None, PARSE_ERROR, "the body is not JSON")
    if not isinstance(request, list):
        return _answer_one(chain, methods, request)
    if not 1 <= len(request) <= MAX_BATCH:
        return _failure(None, INVALID_REQUEST, f"a batch has 1 to {MAX_BATCH} requests, not {len(request)}")
    answers = [_answer_one(chain, methods, one) for one in request]
    return [found for found in answers if found is not None] or None


def _answer_one(chain: Chain, methods: Mapping[str, Method], request: object) -> object:
    if not isinstance(request, dict) or not isinstance(request.get("method"), str):
        return _failure(None, INVALID_REQUEST, "not a JSON-RPC request")
    identity, name, parameters = request.get("id"), request["method"], request.get("params", [])
    method = methods.get(name)
    if method is not None and isinstance(parameters, list):
        found = _run(chain, method, parameters, identity)
    elif method is not None:
        found = _failure(identity, INVALID_PARAMS, "params must be a list")
    elif name in REFUSED:
        found = _failure(identity, NOT_SUPPORTED, REFUSED[name])
    else:
        found = _failure(identity, METHOD_NOT_FOUND, f"the method {name[:60]} does not exist")
    return found if "id" in request else None


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
