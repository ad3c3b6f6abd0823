"""JSON-RPC endpoints behind web3: one bounded request each, and failover between them.

Public endpoints fail in every way there is: they time out, answer 429 or an HTML page, cut their JSON off, or serve
another network. Here every such answer becomes one typed error; an endpoint that failed rests for a while, and the next
one is asked. The chain id is checked before an endpoint is believed for the first time.

This is a provider of our own because web3's would write URLs, which may hold API keys, into the debug log, and would
read answers of any size. What a *chain* answers with an error object is raised as `RpcError` before web3 makes
something of it (among other things, web3 would fetch URLs that a contract names, EIP-3668).
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import aiohttp
from web3 import AsyncWeb3
from web3.exceptions import Web3Exception
from web3.providers.async_base import AsyncJSONBaseProvider
from web3.types import RPCEndpoint, RPCResponse

from wallet.chains.base import ChainAnswerError, ChainError, ChainUnreachableError, WrongChainError

MAX_ANSWER = 16 * 2**20
"""Bytes of one answer; the largest we ask for are logs."""
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

T = TypeVar("T")
Client = AsyncWeb3["HttpProvider"]


class RpcError(Exception):
    """The chain's own answer: an error object. `data`: what a contract gave back, if it was asked."""

    def __init__(self, code: int, message: str, data: bytes) -> None:
        super().__init__(message)
        self.code = code
        self.data = data


class HttpProvider(AsyncJSONBaseProvider):
    """One endpoint. Raises `ChainUnreachableError`, `ChainAnswerError` (remote faults) and `RpcError`."""

    def __init__(self, url: str, timeout: float) -> None:
        super().__init__()
        self.host = _host(url)
        self._url = url
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None

    def __str__(self) -> str:
        return self.host

    async def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """One request, one answer, within the deadline."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        body = self.encode_rpc_request(method, params)
        try:
            async with self._session.post(
                self._url, data=body, headers={"Content-Type": "application/json"}, allow_redirects=False
            ) as response:
                raw = await _read(response, self.host)
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
        return self._answer(raw)

    async def disconnect(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _check_status(self, response: aiohttp.ClientResponse, raw: bytes) -> None:
        if response.status == 429:
            wait = _seconds(response.headers.get("Retry-After", ""))
            raise ChainAnswerError(f"{self.host} allows no more requests for now", retry_after=wait)
        # Some servers send JSON-RPC errors with a status of 4xx or 5xx; those are answers.
        if response.status != 200 and not raw.lstrip().startswith(b"{"):
            raise ChainAnswerError(f"{self.host} answers HTTP {response.status}")

    def _answer(self, raw: bytes) -> RPCResponse:
        try:
            answer = json.loads(raw)
        except (ValueError, RecursionError):
            kind = "a web page" if raw.lstrip().startswith(b"<") else "something that is not JSON"
            raise ChainAnswerError(f"{self.host} answers with {kind}") from None
        if not isinstance(answer, dict):
            raise ChainAnswerError(f"{self.host} answers with JSON that is not JSON-RPC")
        if answer.get("error") is not None:
            error = _rpc_error(answer["error"])
            if error.code in _ENDPOINT_FAULTS:
                raise ChainAnswerError(f"{self.host} cannot answer: {error}")
            raise error
        if "result" not in answer:
            raise ChainAnswerError(f"{self.host} answers with JSON that is not JSON-RPC")
        return cast("RPCResponse", {"jsonrpc": "2.0", "id": 0, "result": answer["result"]})


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
        # No middleware: we format and check what we read ourselves, and want no requests that we did not make.
        self._clients: list[Client] = [AsyncWeb3(HttpProvider(url, timeout), middleware=[]) for url in urls]
        self._checked: set[Client] = set()
        self._rests: dict[Client, float] = {}

    async def close(self) -> None:
        for client in self._clients:
            await client.provider.disconnect()

    async def ask(self, question: Callable[[Client], Awaitable[T]], *, rounds: int = ROUNDS) -> T:
        """The first answer. Raises `RpcError` (an answer, too), or the last remote fault when nobody answered.

        `question` may raise `ValueError`, `TypeError`, `KeyError` or a web3 error for an answer of the wrong shape.
        """
        fault: ChainError = ChainUnreachableError("no endpoint is configured")
        wait = 0.0
        for turn in range(rounds):
            if turn:
                if not fault.retry or wait > LONGEST_WAIT:
                    break
                await self._sleep(max(BACKOFF * 2 ** (turn - 1), wait))
            for client in self._order():
                try:
                    await self._check(client)
                    return await question(client)
                except (ChainUnreachableError, ChainAnswerError, WrongChainError) as error:
                    fault = error
                except (Web3Exception, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
                    fault = ChainAnswerError(
                        f"{client.provider.host} answers in a wrong shape ({type(error).__name__})"
                    )
                wait = fault.retry_after if isinstance(fault, ChainAnswerError) else 0.0
                self._rests[client] = self._clock() + min(max(REST, wait), MAX_REST)
        raise fault

    def _order(self) -> list[Client]:
        """As configured, those at rest last."""
        now = self._clock()
        return sorted(self._clients, key=lambda client: self._rests.get(client, now) > now)

    async def _check(self, client: Client) -> None:
        if client in self._checked:
            return
        host = client.provider.host
        try:
            found = int(await client.eth.chain_id)
        except RpcError as error:
            raise ChainAnswerError(f"{host} does not tell its chain: {error}") from None
        if found != self._chain_id:
            raise WrongChainError(f"{host} serves chain {found}, not {self._chain_id}")
        self._checked.add(client)


async def _read(response: aiohttp.ClientResponse, host: str) -> bytes:
    parts, size = [], 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > MAX_ANSWER:
            raise ChainAnswerError(f"{host} answers with more than {MAX_ANSWER >> 20} MiB")
        parts.append(part)
    return b"".join(parts)


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


def _rpc_error(error: object) -> RpcError:
    if not isinstance(error, dict):
        return RpcError(0, _line(error), b"")
    code, data = error.get("code"), error.get("data")
    if isinstance(data, dict):  # some nodes wrap it once more
        data = data.get("data")
    try:
        given = bytes.fromhex(data.removeprefix("Reverted ").removeprefix("0x")) if isinstance(data, str) else b""
    except ValueError:
        given = b""
    return RpcError(code if isinstance(code, int) else 0, _line(error.get("message", "")), given)


def _line(text: object) -> str:
    """A server's words as one line of printable characters."""
    return "".join(c if c.isprintable() else " " for c in str(text))[:200]
