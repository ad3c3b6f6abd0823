"""JSON-RPC on EVM endpoints: what is asked, and a strict reading of what comes back.

Bounds, failover and faults are `transport`. Written on aiohttp rather than on web3's providers: those put URLs into the
debug log, read answers of any size, hand on values of any type, and fetch URLs that a contract names (EIP-3668).
Importing web3 also raises the recursion limit of the whole process to 100 000 (py_ecc does), with which deeply nested
JSON from anywhere overflows the C stack.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from wallet.chains.base import ChainAnswerError, WrongChainError
from wallet.chains.transport import ROUNDS, Failover, Server

_ENDPOINT_FAULTS = frozenset({-32002, -32005, -32601})
"""JSON-RPC codes (EIP-1474) that say something of the endpoint, not of the chain: resource unavailable, limit exceeded,
method not found."""

T = TypeVar("T")


class RpcError(Exception):
    """The chain's own answer: an error object. `data`: what a contract gave back, if it was asked."""

    def __init__(self, message: str, data: bytes) -> None:
        super().__init__(message)
        self.data = data


# --- reading answers ------------------------------------------------------------------------------------------------


def quantity(value: object) -> int:
    """`0x…` → number. Raises `ValueError`."""
    if not isinstance(value, str) or not value.startswith("0x") or not 3 <= len(value) <= 66:
        raise ValueError("not a quantity")
    if not value[2:].isalnum():
        raise ValueError("not a quantity")  # int() would take signs, spaces and underscores
    return int(value, 16)


def data(value: object, length: int | None = None) -> bytes:
    """`0x…` → bytes, of that length if it is given. Raises `ValueError`."""
    if not isinstance(value, str) or not value.startswith("0x") or not value.isalnum():
        raise ValueError("not data")
    raw = bytes.fromhex(value[2:])
    if length is not None and len(raw) != length:
        raise ValueError(f"{len(raw)} bytes where {length} are due")
    return raw


# --- endpoints ------------------------------------------------------------------------------------------------------


class Endpoint(Server):
    """One JSON-RPC server. Raises `ChainUnreachableError` and `ChainAnswerError` (remote faults) and `RpcError`."""

    async def request(self, method: str, parameters: Sequence[object]) -> Any:
        """One request, one result, within the deadline."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
        status, raw = await self.fetch("POST", body=body)
        # Some servers send JSON-RPC errors with a status of 4xx or 5xx; those are answers.
        if status != 200 and not raw.lstrip().startswith(b"{"):
            raise ChainAnswerError(f"{self.host} answers HTTP {status}")
        answer = self.parse(raw)
        if not isinstance(answer, dict):
            raise ChainAnswerError(f"{self.host} answers with JSON that is not JSON-RPC")
        error = answer.get("error")
        if error is not None:
            if isinstance(error, dict) and error.get("code") in _ENDPOINT_FAULTS:
                raise ChainAnswerError(f"{self.host} cannot answer: {self.line(error.get('message', ''))}")
            raise self._rpc_error(error)
        if "result" not in answer:
            raise ChainAnswerError(f"{self.host} answers with JSON that is not JSON-RPC")
        return answer["result"]

    def _rpc_error(self, error: object) -> RpcError:
        if not isinstance(error, dict):
            return RpcError(self.line(error), b"")
        given = error.get("data")
        if isinstance(given, dict):  # some nodes wrap it once more
            given = given.get("data")
        try:
            returned = data(given.removeprefix("Reverted ")) if isinstance(given, str) else b""
        except ValueError:
            returned = b""
        return RpcError(self.line(error.get("message", "")), returned)


class Endpoints:
    """Asks the endpoints in turn until one answers."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        chain_id: int,
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._chain_id = chain_id
        self._failover = Failover([Endpoint(url, timeout) for url in urls], self._check, clock=clock, sleep=sleep)

    async def close(self) -> None:
        await self._failover.close()

    async def ask(
        self, method: str, parameters: Sequence[object], read: Callable[[Any], T], *, rounds: int = ROUNDS
    ) -> T:
        """The first result that `read` accepts; it raises `ValueError`, `TypeError` or `KeyError` for a wrong shape.

        Raises `RpcError` (an answer, too), or the last remote fault when nobody answered.
        """

        async def question(endpoint: Endpoint) -> T:
            return read(await endpoint.request(method, parameters))

        return await self._failover.ask(method, question, rounds=rounds)

    async def _check(self, endpoint: Endpoint) -> None:
        try:
            found = quantity(await endpoint.request("eth_chainId", []))
        except RpcError as error:
            raise ChainAnswerError(f"{endpoint.host} does not tell its chain: {error}") from None
        if found != self._chain_id:
            raise WrongChainError(f"{endpoint.host} serves chain {found}, not {self._chain_id}")
