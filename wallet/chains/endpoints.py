"""JSON-RPC endpoints: one bounded request each, failover between them, and a strict reading of what comes back.

Public endpoints fail in every way there is: they time out, answer 429 or an HTML page, cut their JSON off, or serve
another network. Here every such answer becomes one typed error; an endpoint that failed rests for a while, and the next
one is asked. The chain id is checked before an endpoint is believed for the first time. URLs may hold API keys, so only
their host is ever shown.

Written on aiohttp rather than on web3's providers: those put URLs into the debug log, read answers of any size, hand on
values of any type, and fetch URLs that a contract names (EIP-3668). Importing web3 also raises the recursion limit of
the whole process to 100 000 (py_ecc does), with which deeply nested JSON from anywhere overflows the C stack.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp

from wallet.chains.base import ChainAnswerError, ChainError, ChainUnreachableError, WrongChainError

MAX_ANSWER = 16 * 2**20
"""Bytes of one answer; the largest we ask for are logs."""
MAX_DEPTH = 64
"""Nesting of one answer; a full block has 5 levels."""
ROUNDS = 3
"""How often a question goes through all endpoints."""
BACKOFF = 0.25
"""Seconds before the second round; doubled before each further one."""
LONGEST_WAIT = 5.0
"""Seconds that an endpoint's wish to wait is granted for within one question."""
REST = 30.0
"""Seconds for which an endpoint that failed is asked last."""
MAX_REST = 3600.0

_ENDPOINT_FAULTS = frozenset({-32002, -32005, -32601})
"""JSON-RPC codes (EIP-1474) that say something of the endpoint, not of the chain: resource unavailable, limit exceeded,
method not found."""
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))

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


# --- one endpoint ---------------------------------------------------------------------------------------------------


class Endpoint:
    """One server. Raises `ChainUnreachableError` and `ChainAnswerError` (remote faults) and `RpcError`."""

    def __init__(self, url: str, timeout: float) -> None:
        self.host = _host(url)
        self.checked = False
        """Whether it has told that it serves our chain."""
        self.rests_until = 0.0
        self._url = url
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None

    async def request(self, method: str, parameters: Sequence[object]) -> Any:
        """One request, one result, within the deadline."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
        try:
            async with self._session.post(self._url, json=body, allow_redirects=False) as response:
                raw = await self._read(response)
                self._check_status(response, raw)
        except TimeoutError:
            raise ChainUnreachableError(f"{self.host} did not answer in {self._timeout.total:g} s") from None
        except aiohttp.InvalidURL:
            raise ChainUnreachableError("an endpoint is not a URL: write it like https://host") from None
        except aiohttp.ClientConnectorError as error:
            reason = error.os_error.strerror or "no connection"
            raise ChainUnreachableError(f"cannot reach {self.host}: {reason}") from None
        except (aiohttp.ClientError, OSError) as error:
            # Its text may hold the URL.
            raise ChainUnreachableError(f"cannot reach {self.host}: {type(error).__name__}") from None
        return self._result(raw)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        parts, size = [], 0
        async for part in response.content.iter_any():
            size += len(part)
            if size > MAX_ANSWER:
                raise ChainAnswerError(f"{self.host} answers with more than {MAX_ANSWER} bytes")
            parts.append(part)
        return b"".join(parts)

    def _check_status(self, response: aiohttp.ClientResponse, raw: bytes) -> None:
        if response.status == 429:
            wait = _seconds(response.headers.get("Retry-After", ""))
            raise ChainAnswerError(f"{self.host} allows no more requests for now", retry_after=wait)
        # Some servers send JSON-RPC errors with a status of 4xx or 5xx; those are answers.
        if response.status != 200 and not raw.lstrip().startswith(b"{"):
            raise ChainAnswerError(f"{self.host} answers HTTP {response.status}")

    def _result(self, raw: bytes) -> Any:
        try:
            if _depth(raw) > MAX_DEPTH:
                raise ChainAnswerError(f"{self.host} answers with JSON of endless depth")
            answer = json.loads(raw)
        except ValueError:
            kind = "a web page" if raw.lstrip().startswith(b"<") else "something that is not JSON"
            raise ChainAnswerError(f"{self.host} answers with {kind}") from None
        if not isinstance(answer, dict):
            raise ChainAnswerError(f"{self.host} answers with JSON that is not JSON-RPC")
        error = answer.get("error")
        if error is not None:
            if isinstance(error, dict) and error.get("code") in _ENDPOINT_FAULTS:
                raise ChainAnswerError(f"{self.host} cannot answer: {_line(error.get('message', ''))}")
            raise _rpc_error(error)
        if "result" not in answer:
            raise ChainAnswerError(f"{self.host} answers with JSON that is not JSON-RPC")
        return answer["result"]


# --- all of them ----------------------------------------------------------------------------------------------------


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
        self._clock = clock
        self._sleep = sleep
        self._endpoints = [Endpoint(url, timeout) for url in urls]

    async def close(self) -> None:
        for endpoint in self._endpoints:
            await endpoint.close()

    async def ask(
        self, method: str, parameters: Sequence[object], read: Callable[[Any], T], *, rounds: int = ROUNDS
    ) -> T:
        """The first result that `read` accepts; it raises `ValueError`, `TypeError` or `KeyError` for a wrong shape.

        Raises `RpcError` (an answer, too), or the last remote fault when nobody answered.
        """
        fault: ChainError = ChainUnreachableError("no endpoint is configured")
        wait = 0.0
        for turn in range(rounds):
            if turn:
                if not fault.retry or wait > LONGEST_WAIT:
                    break
                await self._sleep(max(BACKOFF * 2 ** (turn - 1), wait))
            for endpoint in self._order():
                try:
                    await self._check(endpoint)
                    return read(await endpoint.request(method, parameters))
                except (ChainUnreachableError, ChainAnswerError, WrongChainError) as error:
                    fault = error
                except (ValueError, TypeError, KeyError):
                    fault = ChainAnswerError(f"{endpoint.host} answers {method} in a wrong shape")
                wait = fault.retry_after if isinstance(fault, ChainAnswerError) else 0.0
                endpoint.rests_until = self._clock() + min(max(REST, wait), MAX_REST)
        raise fault

    def _order(self) -> list[Endpoint]:
        """As configured, those at rest last."""
        now = self._clock()
        return sorted(self._endpoints, key=lambda endpoint: endpoint.rests_until > now)

    async def _check(self, endpoint: Endpoint) -> None:
        if endpoint.checked:
            return
        try:
            found = quantity(await endpoint.request("eth_chainId", []))
        except RpcError as error:
            raise ChainAnswerError(f"{endpoint.host} does not tell its chain: {error}") from None
        if found != self._chain_id:
            raise WrongChainError(f"{endpoint.host} serves chain {found}, not {self._chain_id}")
        endpoint.checked = True


# --- the parts ------------------------------------------------------------------------------------------------------


def _host(url: str) -> str:
    """Host and port: a URL's other parts may be secret."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "endpoint"
    return f"{parts.hostname}{port}" if parts.hostname else "endpoint"


def _seconds(text: str) -> float:
    """`Retry-After` in seconds; its other form, a date, is not used by the services we know."""
    return float(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0.0


def _depth(raw: bytes) -> int:
    """The deepest nesting of brackets; those in strings count, too."""
    depth = deepest = 0
    for bracket in raw.translate(None, _NO_BRACKETS):
        if bracket in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        else:
            depth -= 1
    return deepest


def _rpc_error(error: object) -> RpcError:
    if not isinstance(error, dict):
        return RpcError(_line(error), b"")
    given = error.get("data")
    if isinstance(given, dict):  # some nodes wrap it once more
        given = given.get("data")
    try:
        returned = data(given.removeprefix("Reverted ")) if isinstance(given, str) else b""
    except ValueError:
        returned = b""
    return RpcError(_line(error.get("message", "")), returned)


def _line(text: object) -> str:
    """A server's words as one line of printable characters."""
    return "".join(c if c.isprintable() else " " for c in str(text)[:200])
